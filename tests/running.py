"""How the tests are run: what is settled before them, their order, and who runs which.

The browser tests come first and the tests of compiled models last. One of the two
processes of `make test` takes files from the front and the other from the back, and they end where
they meet: so one alone starts pages and a browser, and one alone compiles most models. A browser
test that needs a model comes after the other browser tests: by then the model has been compiled.
"""

import gc
import os
import shutil
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from xdist.remote import Producer
    from xdist.scheduler import LoadFileScheduling

BROWSER = {"browser"}  # fixtures that start one
COMPILED = {"gopher", "minilm", "retro", "tiny", "weights"}  # fixtures that bring one
FEW = 40  # examples of a property that names no number, where the slow tests are left out
MEMORY = Path("/dev/shm")
ROOM = 1 << 29  # bytes; a run takes a tenth


def runs_tests(config: pytest.Config) -> bool:
    """Whether this is not the process that only waits for the others."""
    return hasattr(config, "workerinput") or not config.getoption("numprocesses", None)


def write_to_memory() -> None:
    """Lets `tmp_path` lie in memory where there is room: on a disk the tests of the log wait for
    each of their thousands of transactions to arrive."""
    if os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > ROOM:
        os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))


def pytest_configure(config: pytest.Config) -> None:
    """Settles jax before anything imports it: on the CPU, and what was compiled once is kept.

    Compiling takes longer than running here, so most of XLA's optimisations are left out too.
    Hypothesis tries the same examples in every run, and no slow machine fails one.
    """
    write_to_memory()
    kept = config.cache.mkdir("jax") if hasattr(config, "cache") else None  # type: ignore
    os.environ["JAX_PLATFORMS"] = "cpu"
    os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(kept or tempfile.mkdtemp()))
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
    os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
    quick = "--xla_cpu_use_fusion_emitters=false --xla_cpu_parallel_codegen_split_count=1"
    os.environ.setdefault("XLA_FLAGS", quick)  # compiles twice as fast
    if runs_tests(config):
        from hypothesis import settings

        few = config.getoption("markexpr") == "not slow"
        settings.register_profile(
            "same each time", deadline=None, derandomize=True, max_examples=FEW if few else 100
        )
        settings.load_profile("same each time")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Importing makes many objects that stay; Python need not look through them for garbage."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()
        gc.set_threshold(20_000, 20, 20)  # tracing makes many objects, hardly any in circles


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    needs: dict[object, set[str]] = {}
    for item in items:
        names = set(getattr(item, "fixturenames", ())) | set(vars(getattr(item, "module", object)))
        needs.setdefault(item.path, set()).update(names)

    def place(item: pytest.Item) -> int:
        browser = bool(needs[item.path] & BROWSER)
        compiled = bool(needs[item.path] & {*COMPILED, "jax", "jnp"})
        return int(compiled) if browser else 2 + compiled

    items.sort(key=place)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(
    config: pytest.Config, log: "Producer"
) -> "LoadFileScheduling | None":
    if config.getoption("dist") != "loadfile":
        return None
    from xdist.scheduler import LoadFileScheduling
    from xdist.workermanage import WorkerController

    class FromBothEnds(LoadFileScheduling):
        def _assign_work_unit(self, node: WorkerController) -> None:
            if self.nodes.index(node) % 2:
                self.workqueue.move_to_end(next(reversed(self.workqueue)), last=False)
            super()._assign_work_unit(node)

    return FromBothEnds(config, log)
