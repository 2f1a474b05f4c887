"""Compiles the kernels with the system's C++ compiler: `python -m engine.kernels.build`.

One library holds a variant for each instruction set; which one runs is chosen when it is loaded.
Beside the library stands a JSON receipt with its SHA-256 and a fingerprint of what it was made
from. A library without a fitting receipt is never opened.
"""

import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).parent
SOURCES = (
    "lanes.h", "product.h", "attention.h", "team.h", "decoder.h", "rank.h", "handlers.cc",
    "variant.cc",
)  # fmt: skip
FLAGS = ("-std=c++17", "-O3", "-fPIC", "-ffp-contract=off", "-Wno-psabi")
AVX2 = ("-mavx2", "-mfma", "-mf16c")
AVX512 = (*AVX2, "-mavx512f", "-mavx512bw", "-mavx512vl", "-mavx512vnni")
VARIANTS = {"portable": (), "avx2": AVX2, "avx512": AVX512}


class NoKernels(RuntimeError):
    """The kernels cannot be used; the message says why and what to do."""


def library_path() -> Path:
    return HERE / "built" / "kernels.so"


def receipt_path() -> Path:
    return library_path().with_suffix(".json")


def variants() -> tuple[str, ...]:
    """The variants that this machine's compiler is asked for."""
    x86 = platform.machine().lower() in ("x86_64", "amd64")
    return tuple(VARIANTS) if x86 else ("portable",)


def fingerprint(include: Path) -> str:
    """SHA-256 of everything that the library is made from, XLA's header among it."""
    digest = hashlib.sha256()
    for path in (*(HERE / name for name in SOURCES), include / "xla/ffi/api/c_api.h"):
        digest.update(path.read_bytes())
    digest.update(json.dumps([FLAGS, VARIANTS, platform.machine(), sys.platform]).encode())
    return digest.hexdigest()


def compiler() -> str:
    """The C++ compiler: $CXX or the first of the usual names. Raises NoKernels."""
    for name in (os.environ.get("CXX"), "c++", "g++", "clang++"):
        if name and (path := shutil.which(name)):
            return path
    raise NoKernels("no C++ compiler was found; install g++ or clang++ (or name one in CXX)")


def build(include: Path) -> Path:
    """Compiles the library if it is missing, damaged or made from something else.

    Raises NoKernels with the compiler's words.
    """
    path = library_path()
    if not stale(include):
        return path
    path.parent.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        work, cxx = Path(folder), compiler()
        objects = [work / "variant.o"]
        jobs = [_start([cxx, *FLAGS, "-c", str(HERE / "variant.cc"), "-o", str(objects[0])])]
        for name in variants():
            objects.append(work / f"{name}.o")
            jobs.append(
                _start(
                    [cxx, *FLAGS, *VARIANTS[name], f"-DVARIANT={name}", "-isystem", str(include),
                     "-c", str(HERE / "handlers.cc"), "-o", str(objects[-1])]
                )
            )  # fmt: skip
        _finish(jobs)
        made = work / path.name
        _finish([_start([cxx, "-shared", "-o", str(made), *map(str, objects), "-pthread"])])
        receipt = {"made_from": fingerprint(include), "sha256": _digest(made)}
        receipt_path().unlink(missing_ok=True)  # so that no reader pairs the old with the new
        os.replace(made, path)
        temporary = work / "receipt"
        temporary.write_text(json.dumps(receipt) + "\n")
        os.replace(temporary, receipt_path())
    return path


def stale(include: Path) -> str:
    """Why the library on disk must not be opened; "" if it may be."""
    try:
        receipt = json.loads(receipt_path().read_text())
        found = _digest(library_path())
    except (OSError, ValueError):
        return "it is not built"
    if not isinstance(receipt, dict) or receipt.get("made_from") != fingerprint(include):
        return "it was built from other sources or for another machine"
    return "" if receipt.get("sha256") == found else "it is damaged or was replaced"


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _start(command: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def _finish(jobs: Sequence[subprocess.Popen[str]]) -> None:
    said = [job.communicate()[0] for job in jobs]
    for job, words in zip(jobs, said, strict=True):
        if job.returncode:
            raise NoKernels(f"the C++ compiler failed: {words.strip()[-800:]}")


if __name__ == "__main__":
    import jax

    try:
        build(Path(jax.ffi.include_dir()))
    except NoKernels as problem:  # no reason to stop: there is the slower way
        print(f"The kernels were not built, replies will be slower: {problem}", file=sys.stderr)
