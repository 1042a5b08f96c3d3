"""Old segments removed from a folder: whole closed ones, the oldest first."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import NamedTuple

from nextcart.disk import sync
from nextcart.serving.event_log.packing import changing
from nextcart.serving.event_log.segments import Segment, closed, segments

log = logging.getLogger(__name__)

DAY_SECONDS = 86_400


class Retention(NamedTuple):
    """What stays in a folder; 0 is no limit.

    Attributes:
        seconds: a closed segment stays so long after its last line.
        bytes: the closed segments together may have so many.
    """

    seconds: float = 0
    bytes: int = 0


def remove_old(folder: Path, retention: Retention) -> int:
    """Remove the oldest closed segments that a folder no longer has to keep; the number of them.

    The newest segment stays, whatever its age: numbers count on from it. Does nothing while another process compresses
    or erases.

    Raises:
        OSError: the folder may not be written.
    """
    if not any(retention) or not closed(folder):
        return 0
    with changing(folder, wait=False) as is_mine:
        due = _due(folder, retention) if is_mine else []
        for segment in due:
            segment.path.unlink()
        if due:
            sync(folder)
            log.info("%s: %d old segments are removed, up to %s", folder, len(due), due[-1].stem)
        return len(due)


def _due(folder: Path, retention: Retention) -> list[Segment]:
    """The segments to remove; call it while no other process may change closed ones."""
    newest = max((segment.number for segment in segments(folder)), default=0)
    facts = [(segment, segment.path.stat()) for segment in closed(folder)]
    before, total = time.time() - retention.seconds, sum(fact.st_size for _, fact in facts)
    due = []
    for segment, fact in facts:
        is_old = retention.seconds > 0 and fact.st_mtime <= before
        is_much = 0 < retention.bytes < total
        if segment.number == newest or not (is_old or is_much):
            break
        due.append(segment)
        total -= fact.st_size
    return due
