"""The folder of one run of several workers: their board and what they count, in the system's temporary folder."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PREFIX = "nextcart-serve-"
_LOCK = "lock"


@contextmanager
def run_folder() -> Iterator[Path]:
    """A folder for as long as it is used; removes those of services that were killed."""
    _sweep()
    folder = Path(tempfile.mkdtemp(prefix=PREFIX))
    try:
        with _held(folder):
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    # Under its name the lock is never free while its owner lives: a start at the same moment would take it for dead.
    beside = folder / f".{_LOCK}"
    with beside.open("xb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        beside.rename(folder / _LOCK)
        yield


def _sweep() -> None:
    for folder in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        try:
            if folder.is_symlink() or folder.stat().st_uid != os.getuid():
                continue
            with (folder / _LOCK).open("rb") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
        except OSError:
            # Not whole yet, in use, or gone meanwhile.
            continue
