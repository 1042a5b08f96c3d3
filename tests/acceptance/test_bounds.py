"""Numba leaves indices unchecked; here the kernels' tests run once more with every index checked."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAST_THE_END = "import numpy, numba; numba.njit(lambda a, i: a[i])(numpy.zeros(3), 7)"


def checked(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    # A cache of its own: a kernel compiled with checks is another one.
    env = os.environ | {"NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": str(folder)}
    return subprocess.run([sys.executable, *command], cwd=ROOT, env=env, capture_output=True, text=True, check=False)


def test_no_kernel_reaches_past_its_arrays(tmp_path: Path) -> None:
    assert "IndexError" in checked(tmp_path, "-c", PAST_THE_END).stderr
    run = checked(tmp_path, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/unit/kernels")
    assert run.returncode == 0, run.stdout[-3000:]
    assert " passed" in run.stdout
