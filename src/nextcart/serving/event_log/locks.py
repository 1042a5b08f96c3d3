"""A lock between processes, and between threads that have a `FileLock` each."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from nextcart.disk import FOR_ITS_OWNER, make_private, sync


class FileLock:
    """The system's lock on a file, which ends with the process, however that ends; waited for, unlike `events.lock`.

    Args:
        path: the file; it and its folder are made where there is none, and never removed.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor = -1

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lock; waits for it.

        Raises:
            OSError: the file cannot be made.
        """
        self._take(fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    @contextmanager
    def held_if_free(self) -> Iterator[bool]:
        """Hold the lock; yields False where somebody else does."""
        try:
            self._take(fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        try:
            yield True
        finally:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def close(self) -> None:
        """Let go of the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _take(self, how: int) -> None:
        while True:
            if self._descriptor < 0:
                self._descriptor = self._open()
            fcntl.flock(self._descriptor, how)
            if self._is_named():
                return
            # Somebody has removed the file, and other processes lock another one of its name.
            self.close()

    def _is_named(self) -> bool:
        try:
            return os.path.samestat(os.fstat(self._descriptor), self._path.stat())
        except FileNotFoundError:
            return False

    def _open(self) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        try:
            return os.open(self._path, flags, FOR_ITS_OWNER)
        except FileNotFoundError:
            make_private(self._path.parent)
            sync(self._path.parent.parent)
        return os.open(self._path, flags, FOR_ITS_OWNER)
