"""engine/kernels/check.cc under the address and undefined-behaviour sanitizers."""

import shutil
import subprocess
from pathlib import Path

import pytest

from engine.kernels import build, calls

# not optimised: no access is left out, and it compiles in half the time
SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-O0", "-g1")


@pytest.mark.parametrize(
    "name",
    [pytest.param("portable", marks=pytest.mark.slow), "avx2", "avx512"],
)
def test_no_kernel_leaves_its_buffers_on_odd_shapes(name: str, tmp_path: Path):
    best = calls.variant()
    if name not in ("portable", best):
        pytest.skip(f"the kernels of this processor are {best}")
    if not shutil.which("c++"):
        pytest.skip("no C++ compiler")
    program = tmp_path / "check"
    flags = [f for f in build.FLAGS if f not in ("-O3", "-fPIC")]
    source = build.HERE / "check.cc"
    subprocess.run(
        ["c++", *flags, *SANITIZERS, *build.VARIANTS[name], f"-DVARIANT={name}", str(source),
         "-o", str(program), "-pthread"],
        check=True,
    )  # fmt: skip
    done = subprocess.run([program], capture_output=True, text=True)
    assert done.stdout == "all hold\n", done.stdout + done.stderr
