from __future__ import annotations

import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from nextcart.serving.run_folder import run_folder

HOLD = "import time; from nextcart.serving.run_folder import run_folder\nwith run_folder() as folder:\n"
HOLD += "    print(folder, flush=True)\n    time.sleep(60)\n"


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path


def test_a_folder_is_there_for_as_long_as_it_is_used() -> None:
    with run_folder() as folder:
        (folder / "metrics").mkdir()
        assert folder.stat().st_mode & 0o777 == 0o700
    assert not folder.exists()


def test_the_folder_of_a_living_service_stays() -> None:
    with run_folder() as one, run_folder() as two:
        assert one != two
        assert one.is_dir()


def test_the_folder_of_a_killed_service_goes_with_the_next_start() -> None:
    process = subprocess.Popen([sys.executable, "-c", HOLD], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with process, process.stdout:
        left = Path(process.stdout.readline().strip())
        (left / "metrics").mkdir()
        (left / "metrics" / "1.cells").touch()
        process.send_signal(signal.SIGKILL)
    assert left.is_dir()
    with run_folder():
        assert not left.exists()


def test_what_is_not_ours_stays(temporary: Path) -> None:
    target = temporary / "precious"
    target.mkdir()
    (target / "lock").touch()
    (temporary / "nextcart-serve-link").symlink_to(target)
    (temporary / "nextcart-serve-file").touch()
    unlocked = temporary / "nextcart-serve-being-made"
    unlocked.mkdir()
    with run_folder():
        assert (target / "lock").is_file()
        assert unlocked.is_dir()
        assert len(list(temporary.iterdir())) == 5
