"""Numba leaves indices unchecked; here the kernels' tests run once more with every index checked."""

import os
import shutil
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAST_THE_END = "import numpy, numba; numba.njit(lambda a, i: a[i])(numpy.zeros(3), 7)"


def cache_of(config: pytest.Config) -> Path:
    """Kept from run to run until any kernel changes; numba itself would look at the compiled one's own file alone."""
    sources = sorted((ROOT / "src/nextcart/kernels").glob("*.py"))
    digest = sha256(b"".join(source.read_bytes() for source in sources)).hexdigest()
    assert config.cache
    folder: Path = config.cache.mkdir(f"kernels-checked-{digest[:16]}")
    for other in folder.parent.glob("kernels-checked-*"):
        if other != folder:
            shutil.rmtree(other)
    return folder


def checked(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    # A cache of its own: a kernel compiled with checks is another one.
    env = os.environ | {"NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": str(folder)}
    return subprocess.run([sys.executable, *command], cwd=ROOT, env=env, capture_output=True, text=True, check=False)


def test_no_kernel_reaches_past_its_arrays(pytestconfig: pytest.Config) -> None:
    folder = cache_of(pytestconfig)
    assert "IndexError" in checked(folder, "-c", PAST_THE_END).stderr
    run = checked(folder, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/unit/kernels")
    assert run.returncode == 0, run.stdout[-3000:]
    assert " passed" in run.stdout
