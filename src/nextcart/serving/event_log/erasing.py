"""Sessions removed from every segment of a folder."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from nextcart.disk import sync
from nextcart.serving.event_log.active import ActiveSegment
from nextcart.serving.event_log.lines import starts
from nextcart.serving.event_log.packing import changing, replace
from nextcart.serving.event_log.segments import Segment, closed, read, segments
from nextcart.types import Id


def erase(folder: Path, session_ids: Iterable[Id]) -> dict[str, int]:
    """Remove all lines of some sessions; waits while another process compresses or erases.

    The active segment is closed first, if it has such a line. A segment is written anew beside and renamed, so a killed
    process leaves it as it was or without them; call again. A segment of which nothing is left is removed.

    Args:
        folder: of the event log, or of the exposures; need not exist.
        session_ids: 12 and "12" are two sessions.

    Returns:
        How many lines were removed from each segment that had some, by the segment's name without its ending.

    Raises:
        OSError: the disk is full, or the folder may not be written.
        UnreadableInput: a compressed segment is damaged.
    """
    wanted = starts(session_ids)
    if not wanted or not segments(folder):
        return {}
    removed: dict[str, int] = {}
    without = _remover(wanted)
    with changing(folder, wait=True):
        _end_active(folder, wanted)
        for segment in closed(folder):
            count = _lines(read(segment), wanted, without)
            if count:
                _write_without(segment, without)
                removed[segment.stem] = count
    return removed


def _end_active(folder: Path, wanted: list[bytes]) -> None:
    """Close the active segments that hold a wanted line; appends wait for as long as it takes to look through them."""
    for prefix in {segment.prefix for segment in segments(folder)}:
        active = ActiveSegment(folder, prefix, learn=lambda _: None)
        try:
            with active.held():
                active.sweep()
                if any(_has(chunk, wanted) for chunk in active.parts()):
                    active.end_segment()
        finally:
            active.close()


def _has(chunk: bytes, wanted: list[bytes]) -> bool:
    return any(start in chunk for start in wanted)


_Remover = Callable[[bytes], tuple[bytes, int]]


def _remover(wanted: list[bytes]) -> _Remover:
    """Takes lines; gives those of other sessions, and how many it has taken out."""
    lines = re.compile(rb"^(?:" + b"|".join(map(re.escape, wanted)) + rb").*\n", re.MULTILINE)
    return lambda chunk: lines.subn(b"", chunk)


def _lines(chunks: Iterable[bytes], wanted: list[bytes], without: _Remover) -> int:
    # To look for bytes takes a hundredth of the time of the pattern; most segments have none of them.
    return sum(without(chunk)[1] for chunk in chunks if _has(chunk, wanted))


def _write_without(segment: Segment, without: _Remover) -> None:
    def kept() -> Iterator[bytes]:
        return (rest for chunk in read(segment) if (rest := without(chunk)[0]))

    if any(kept()):
        replace(segment, kept(), segment.written_ns)
    else:
        segment.path.unlink()
        sync(segment.folder)
