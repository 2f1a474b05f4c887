"""The shape of the repository: which package may import which, and where each dependency enters."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAY_IMPORT = {  # besides itself; names of packages or of single modules
    "prompts": (),
    "retrieval": (),
    "engine": ("retrieval.protocol",),
    "app": ("engine", "retrieval", "prompts"),
}
DOORS = {  # the only modules, or folders of modules, that may import it
    "gradio": ("app/ui/",),
    "faiss": ("retrieval/index.py",),
    "sqlite_utils": ("retrieval/sqlite.py",),
    "sentencepiece": ("engine/tokenizer.py",),
    "httpx": ("engine/connection.py",),
    "starlette": ("engine/server/", "app/ui/"),
    "uvicorn": ("engine/server/listening.py",),
    "prometheus_client": ("engine/server/metrics.py",),
    "orbax": ("engine/training/checkpoints.py",),
    "PIL": ("app/evaluation/figures.py",),
}
NAMES_WITHOUT_MEANING = {
    "utils", "util", "common", "helpers", "helper", "types", "manager", "managers", "base", "misc",
}  # fmt: skip
LINES = 300

SOURCES = {
    path.relative_to(ROOT).as_posix(): path
    for package in MAY_IMPORT
    for path in sorted((ROOT / package).rglob("*.py"))
}
MODULES = {
    name.removesuffix(".py").removesuffix("/__init__").replace("/", "."): name for name in SOURCES
}
EVERYWHERE = SOURCES | {
    path.relative_to(ROOT).as_posix(): path
    for path in [*ROOT.glob("*.py"), *sorted((ROOT / "tests").rglob("*.py"))]
}


@cache
def imports(name: str) -> tuple[str, ...]:
    """Full names of what a file imports anywhere in it, also inside functions."""
    return tuple(found_in(name))


def found_in(name: str) -> Iterator[str]:
    package = name.split("/")[:-1]
    for node in ast.walk(ast.parse(EVERYWHERE[name].read_text(), name)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            source = ".".join([*above, *filter(None, [node.module])])
            for alias in node.names:
                inside = f"{source}.{alias.name}"
                yield inside if inside in MODULES else source


def within(name: str, places: tuple[str, ...], separator: str) -> bool:
    return any(name == p or name.startswith(p.rstrip(separator) + separator) for p in places)


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_packages_import_one_way(package: str):
    ours = (*MAY_IMPORT, "tests", "app.py")
    allowed = (package, *MAY_IMPORT[package])
    wrong = [
        f"{name} imports {found}"
        for name in SOURCES
        if name.startswith(f"{package}/")
        for found in imports(name)
        if within(found, ours, ".") and not within(found, allowed, ".")
    ]
    assert not wrong


def test_the_entry_point_imports_the_application_alone():
    found = {i for i in imports("app.py") if within(i, tuple(MAY_IMPORT), ".")}
    assert all(within(i, ("app",), ".") for i in found)


@pytest.mark.parametrize("dependency", DOORS)
def test_a_dependency_enters_by_one_door(dependency: str):
    entering = {
        name for name in SOURCES if any(within(i, (dependency,), ".") for i in imports(name))
    }
    assert {name for name in entering if not within(name, DOORS[dependency], "/")} == set()


def test_init_files_are_empty():
    full = [name for name, path in EVERYWHERE.items() if path.name == "__init__.py"
            and path.read_bytes()]  # fmt: skip
    assert full == []


def test_every_package_has_an_init_file():
    folders = {path.parent for path in SOURCES.values()}
    assert [f for f in sorted(folders) if not (f / "__init__.py").exists()] == []


def test_no_module_has_a_name_without_meaning():
    named = [
        name for name in EVERYWHERE
        if set(name.removesuffix(".py").split("/")) & NAMES_WITHOUT_MEANING
    ]  # fmt: skip
    assert named == []


def test_no_file_is_too_long_to_read_in_one_go():
    lengths = {n: len(path.read_text().splitlines()) for n, path in EVERYWHERE.items()}
    assert {name: lines for name, lines in lengths.items() if lines > LINES} == {}


def test_modules_import_each_other_without_cycles():
    graph = {
        module: {i for i in imports(name) if i in MODULES and i != module}
        for module, name in MODULES.items()
    }
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))


def test_the_seams_load_neither_jax_nor_the_page():
    check = (
        "import sys, engine.protocol, retrieval.protocol, app.records\n"
        "print(sorted({'jax', 'flax', 'gradio', 'faiss', 'sqlite_utils'} & set(sys.modules)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", check], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert result.stdout.strip() == "[]"
