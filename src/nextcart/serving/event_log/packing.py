"""Closed segments compressed, one after the other, by one process at a time."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa

from nextcart.disk import FOR_ITS_OWNER, sync
from nextcart.serving.event_log.locks import FileLock
from nextcart.serving.event_log.segments import PACKED, PLAIN, Segment, closed, read, segments

LOCK = ".closed.lock"
"""Held by the process that changes closed segments. Who wants the active one too takes this lock first."""
_BESIDE = ".part"


def pack_all(folder: Path) -> int:
    """Compress the closed segments that are not yet; the number of them. Does nothing while another process is at it.

    Raises:
        OSError: the disk is full, or the folder may not be written; what was there before is untouched.
    """
    plain = [segment for segment in segments(folder) if segment.ending == PLAIN]
    if not plain:
        return 0
    with changing(folder, wait=False) as is_mine:
        if not is_mine:
            return 0
        plain = [segment for segment in closed(folder) if segment.ending == PLAIN]
        for segment in plain:
            replace(segment.ended(PACKED), read(segment), segment.written_ns)
            segment.path.unlink()
        return len(plain)


@contextmanager
def changing(folder: Path, *, wait: bool) -> Iterator[bool]:
    """Be the one process that may change closed segments, and find no leavings; False where another is, and no wait."""
    lock = FileLock(folder / LOCK)
    try:
        if wait:
            with lock.held():
                _settle(folder)
                yield True
        else:
            with lock.held_if_free() as is_mine:
                if is_mine:
                    _settle(folder)
                yield is_mine
    finally:
        lock.close()


def replace(segment: Segment, chunks: Iterable[bytes], written_ns: int) -> None:
    """Write a closed segment beside, then put it under its name; whole or not at all, and no younger than it was.

    Raises:
        OSError: it cannot be written.
    """
    beside = segment.folder / f"{segment.stem}{_BESIDE}"
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        with os.fdopen(os.open(beside, flags, FOR_ITS_OWNER), "wb") as file:
            if segment.ending == PACKED:
                with pa.CompressedOutputStream(file, "zstd") as packed:
                    for chunk in chunks:
                        packed.write(chunk)
            else:
                file.writelines(chunks)
        os.utime(beside, ns=(written_ns, written_ns))
        sync(beside)
        beside.rename(segment.path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    sync(segment.folder)


def _settle(folder: Path) -> None:
    """Remove what a killed process left: files half written, and the plain form of what it had compressed."""
    for path in folder.glob(f"*{_BESIDE}"):
        path.unlink()
    there = segments(folder)
    packed = {segment.stem for segment in there if segment.ending == PACKED}
    for segment in there:
        if segment.ending == PLAIN and segment.stem in packed:
            segment.path.unlink()
