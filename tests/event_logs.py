"""An event log for tests: opened, filled and read back."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

from nextcart.config.serving import EventLogConfig
from nextcart.serving.event_log import EventLog, LoggedEvent
from nextcart.serving.event_log.lines import event_line
from nextcart.serving.event_log.packing import pack_all
from nextcart.serving.event_log.segments import OPEN, closed, read, segments
from tests.raw_files import START

T = TypeVar("T")


def config(**changes: Any) -> EventLogConfig:
    return EventLogConfig(**changes)


def click(session: int | str = 1, event_id: str | None = None, aid: int = 7, ts: int = START) -> LoggedEvent:
    return LoggedEvent(session, aid, ts, "clicks", event_id)


def logged(folder: Path) -> list[dict[str, Any]]:
    """All that stands in a folder, closed or not, oldest first."""
    parts = [chunk for segment in closed(folder) for chunk in read(segment)]
    parts += [segment.path.read_bytes() for segment in segments(folder) if segment.ending == OPEN]
    return [json.loads(line) for line in b"".join(parts).splitlines()]


def names(folder: Path) -> list[str | None]:
    return [line.get("event_id") for line in logged(folder)]


def endings(folder: Path) -> list[str]:
    return [segment.ending for segment in segments(folder)]


Use = Callable[[EventLog], Awaitable[T]]


def with_log(folder: Path, use: Use[T], **changes: Any) -> T:
    """A log opened, used and closed again, as by one life of a worker."""

    async def main() -> T:
        log = EventLog(folder, config(**changes))
        try:
            return await use(log)
        finally:
            await log.close()

    return asyncio.run(main())


def fill(folder: Path, *segments: str, pack: bool = False) -> None:
    """Closed segments, the sessions of each given as one letter an event; an event's id is its place."""
    folder.mkdir(exist_ok=True)
    number = count()
    for place, sessions in enumerate(segments, 1):
        lines = b"".join(event_line(click(session, f"{next(number)}"), 1) for session in sessions)
        (folder / f"events-20261124T021500Z-{place:06d}.jsonl").write_bytes(lines)
    if pack:
        pack_all(folder)


def sessions(folder: Path) -> str:
    return "".join(str(line["session"]) for line in logged(folder))
