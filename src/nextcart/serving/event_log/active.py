"""The active segment: the one file that all worker processes of a host append to, one at a time."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from nextcart.disk import FOR_ITS_OWNER, sync
from nextcart.errors import UnreadableInput
from nextcart.serving.event_log.locks import FileLock
from nextcart.serving.event_log.segments import CHUNK_BYTES, OPEN, PLAIN, Segment, read, segments

log = logging.getLogger(__name__)

LOCK = ".lock"
_REWRITTEN = ".rewritten"

Learn = Callable[[bytes], None]
"""Takes whole lines that another process has written."""


class ActiveSegment:
    """Appends under a lock that all processes share. What a killed process left half written is cut off first.

    All but `held` and `close` is called inside `held`. Nothing here is safe for several threads.

    Args:
        folder: the segments' folder; made when it is needed.
        prefix: what the names of segments begin with.
        learn: told the lines of others, each once, in their order; first of all those of the segment that is active.
    """

    def __init__(self, folder: Path, prefix: str, learn: Learn) -> None:
        self._folder, self._prefix, self._learn = folder, prefix, learn
        self._lock = FileLock(folder / LOCK)
        self._segment: Segment | None = None
        self._descriptor = -1
        self._end = 0
        self._last: int | None = None
        self._in_doubt = False

    @contextmanager
    def held(self) -> Iterator[None]:
        """Be the one process that may append; what others have written meanwhile is learned first.

        Raises:
            OSError: the folder cannot be written, or the segment not read.
        """
        with self._lock.held():
            self._catch_up()
            yield

    @contextmanager
    def held_if_free(self) -> Iterator[bool]:
        """As `held`; yields False at once where another process is the one."""
        with self._lock.held_if_free() as is_mine:
            if is_mine:
                self._catch_up()
            yield is_mine

    def append(self, data: bytes, *, durable: bool) -> None:
        """Append whole lines, all or none of them; ``durable``: return once they and all before them are on disk.

        Raises:
            OSError: they are not; the next call tries anew.
        """
        if self._in_doubt:
            self._rewrite()
        if self._segment is None:
            if not data:
                return
            self._begin()
        written = False
        try:
            _write(self._descriptor, data, self._end)
            written = True
            if durable:
                os.fdatasync(self._descriptor)
        except OSError:
            # After a failed sync the system may take pages for written that are not, and say so the next time.
            self._in_doubt = self._in_doubt or written
            with suppress(OSError):
                os.ftruncate(self._descriptor, self._end)
            raise
        self._end += len(data)

    def is_due(self, most_bytes: int, most_seconds: float) -> bool:
        """Whether the segment is so large or so old that it should be closed; a clock that was put back counts too."""
        if self._segment is None or self._end == 0:
            return False
        return self._end >= most_bytes or abs(time.time() - self._segment.begun_at) >= most_seconds

    def end_segment(self) -> None:
        """Close the segment, if it holds a line: from then on it is another's to read, and never grows.

        Raises:
            OSError: it could not be; it stays the active one.
        """
        if self._in_doubt:
            self._rewrite()
        if self._segment is None or self._end == 0:
            return
        os.fsync(self._descriptor)
        self._segment.path.rename(self._segment.ended(PLAIN).path)
        self._let_go()
        sync(self._folder)

    def parts(self) -> Iterator[bytes]:
        """All lines of the segment, many at a time."""
        return _whole_lines(self._descriptor, 0, self._end) if self._segment else iter(())

    def sweep(self) -> None:
        """Remove what a process left that was killed while it wrote the segment anew."""
        (self._folder / _REWRITTEN).unlink(missing_ok=True)

    def close(self) -> None:
        """Let go of all files; the segment stays the active one."""
        self._let_go()
        self._lock.close()

    def _catch_up(self) -> None:
        if self._segment is not None and not _is_named(self._descriptor, self._segment.path):
            # Closed, or written anew, by another process; what it had until then is still there to be read.
            self._learn_rest()
            self._let_go()
        if self._segment is None:
            self._find()
        if self._segment is None:
            return
        self._end = min(self._end, os.fstat(self._descriptor).st_size)
        self._learn_rest()
        if os.fstat(self._descriptor).st_size > self._end:
            os.ftruncate(self._descriptor, self._end)

    def _find(self) -> None:
        """Open the active segment, if there is one; learn those that came and went since this process looked."""
        found = [segment for segment in segments(self._folder) if segment.prefix == self._prefix]
        missed = {s.stem: s for s in found if self._last is not None and s.number > self._last and s.ending != OPEN}
        for segment in missed.values():
            # What cannot be read can at worst let an event in twice; the store drops one of them.
            with suppress(OSError, UnreadableInput):
                for chunk in read(segment):
                    self._learn(chunk)
        self._last = max((segment.number for segment in found), default=self._last or 0)
        active = [segment for segment in found if segment.ending == OPEN]
        if active:
            self._descriptor = os.open(active[-1].path, os.O_RDWR | os.O_CLOEXEC)
            self._segment, self._end = active[-1], 0

    def _learn_rest(self) -> None:
        """Learn all whole lines behind those that are known."""
        for chunk in _whole_lines(self._descriptor, self._end, os.fstat(self._descriptor).st_size):
            self._learn(chunk)
            self._end += len(chunk)

    def _begin(self) -> None:
        self._last = (self._last or 0) + 1
        segment = Segment.begun(self._folder, self._prefix, self._last)
        descriptor = os.open(segment.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FOR_ITS_OWNER)
        self._descriptor, self._segment, self._end = descriptor, segment, 0
        try:
            sync(self._folder)
        except OSError:
            self._let_go()
            segment.path.unlink(missing_ok=True)
            raise

    def _rewrite(self) -> None:
        """Write the segment anew under its name: of this file it is not known what is on disk."""
        assert self._segment is not None  # noqa: S101  # only its own append brings doubt
        beside = self._folder / _REWRITTEN
        descriptor = os.open(beside, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, FOR_ITS_OWNER)
        try:
            at = 0
            for chunk in self.parts():
                _write(descriptor, chunk, at)
                at += len(chunk)
            os.fsync(descriptor)
            beside.rename(self._segment.path)
            sync(self._folder)
        except OSError:
            os.close(descriptor)
            raise
        os.close(self._descriptor)
        self._descriptor, self._in_doubt = descriptor, False

    def _let_go(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor, self._segment, self._end, self._in_doubt = -1, None, 0, False


def _write(descriptor: int, data: bytes, at: int) -> None:
    view = memoryview(data)
    while view:
        count = os.pwrite(descriptor, view, at)
        view, at = view[count:], at + count


def _whole_lines(descriptor: int, at: int, end: int) -> Iterator[bytes]:
    """The lines between two places of a file, many at a time, up to the first that is not whole."""
    size = CHUNK_BYTES
    while chunk := os.pread(descriptor, min(size, end - at), at):
        # A NUL is in no line: a power cut leaves it where data never came.
        hole = chunk.find(b"\0")
        whole = chunk.rfind(b"\n", 0, hole if hole >= 0 else len(chunk)) + 1
        if whole:
            yield chunk[:whole]
            at += whole
        elif len(chunk) == size:
            size *= 2
        else:
            return


def _is_named(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
