"""What is to outlast a loss of power, forced to disk; what is not for everybody, made for its owner alone."""

from __future__ import annotations

import os
from pathlib import Path

FOR_ITS_OWNER = 0o600
"""The mode of a file that holds sessions' ids."""


def sync(path: Path) -> None:
    """Force a file, or the names in a folder, to disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def make_private(folder: Path) -> None:
    """Make a folder, and those above it that are missing, for their owner alone; one that is there stays as it is.

    Raises:
        OSError: it cannot be made.
    """
    if not folder.is_dir():
        make_private(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)
