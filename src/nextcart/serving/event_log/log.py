"""The event log: many callers' events in one write and one sync, each event id once."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from nextcart.config.serving import EventLogConfig
from nextcart.errors import LogBusy, LogFull, LogUnavailable, UnreadableInput
from nextcart.serving.event_log.keeper import Keeper
from nextcart.serving.event_log.known_ids import KnownIds
from nextcart.serving.event_log.lines import LoggedEvent, event_ids, event_line
from nextcart.serving.event_log.retention import DAY_SECONDS, Retention
from nextcart.serving.event_log.segments import closed, read
from nextcart.types import Id

log = logging.getLogger(__name__)

_LINES_PER_ID = 4
"""After a start ids are looked for in so many of the newest lines for each that may be remembered."""

OnCommit = Callable[[int, float], None]
"""Called with the events of a commit and the seconds that it took."""


class _Waiting(NamedTuple):
    names: list[str | None]
    lines: list[bytes]
    caller: asyncio.Future[list[bool]]


class EventLog:
    """Events of all worker processes of a host in one folder; of one event loop.

    While one commit is on its way to the disk the events of all further callers gather for the next.

    Args:
        folder: where the segments are; made with the first event.
        config: sizes and limits.
        on_commit: told of each commit that came through, on the event loop.

    Attributes:
        lag: events that are not on disk yet.
        last_commit_seconds: how long the last commit took; 0 before the first.
    """

    def __init__(self, folder: Path, config: EventLogConfig, on_commit: OnCommit | None = None) -> None:
        self.lag = 0
        self.last_commit_seconds = 0.0
        self._max_pending = config.max_pending
        self._window = config.remembered_ids
        self._on_commit = on_commit
        self._known = KnownIds(config.remembered_ids)
        self._is_recalled = False
        retention = Retention(config.keep_days * DAY_SECONDS)
        self._keeper = Keeper(folder, "events", config, retention, lambda lines: self._known.add(event_ids(lines)))
        self._waiting: list[_Waiting] = []
        self._is_committing = False
        self._idle = asyncio.Event()
        self._idle.set()
        self._is_closed = False

    async def append(self, events: Sequence[LoggedEvent]) -> list[bool]:
        """Write events; returns once they are on disk. A caller that is cancelled does not take them back.

        Returns:
            For each event whether it is new; False where one of its ``event_id`` is on disk already.

        Raises:
            LogBusy: too many events wait; none of these was taken.
            LogFull: the disk is full or cannot be written; none of these is acknowledged, send them again.
            LogUnavailable: the log is closed.
            UnicodeEncodeError: an id is no text; none of these was taken.
        """
        if not events:
            return []
        if self._is_closed:
            raise LogUnavailable(f"{self._keeper.folder}: the event log is closed, the server stops; send again")
        if self.lag and self.lag + len(events) > self._max_pending:
            raise LogBusy(f"{self.lag:,} events wait for the disk of {self._keeper.folder}; send again in a second")
        now_ms = time.time_ns() // 1_000_000
        # Here and not in the commit, where an event that has no line would fail the events of others.
        lines = [event_line(event, now_ms) for event in events]
        caller: asyncio.Future[list[bool]] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting([event.event_id for event in events], lines, caller))
        self.lag += len(events)
        if not self._is_committing:
            self._begin()
        return await caller

    async def tick(self) -> None:
        """Upkeep: learn what other workers wrote, close the segment where it is old, compress, remove old ones.

        Call it every second.
        """
        await self._keeper.tick(self._recall)

    async def erase(self, session_ids: Iterable[Id]) -> dict[str, int]:
        """Remove sessions from all segments; gives the lines removed by segment, see `erasing.erase`."""
        return await self._keeper.erase(session_ids)

    async def close(self) -> None:
        """Take no more events, wait until those that wait are on disk, end the threads."""
        self._is_closed = True
        await self._idle.wait()
        await self._keeper.close()

    def _begin(self) -> None:
        group, self._waiting = self._waiting, []
        self._is_committing = True
        self._idle.clear()
        self._keeper.writing.submit(self._run, asyncio.get_running_loop(), group)

    def _run(self, loop: asyncio.AbstractEventLoop, group: list[_Waiting]) -> None:
        """In the writing thread: one commit, whatever comes of it."""
        began = time.perf_counter()
        outcome: list[list[bool]] | Exception
        try:
            outcome = self._commit(group)
        except OSError as error:
            outcome = LogFull(
                f"{self._keeper.folder}: the event log cannot be written ({error.strerror or error}); free space on "
                "its disk, or make the folder writable; the events were not taken, send them again"
            )
        except Exception as error:  # noqa: BLE001 - whatever it is, the callers must hear of it
            outcome = error
        loop.call_soon_threadsafe(self._ended, group, outcome, time.perf_counter() - began)

    def _ended(self, group: list[_Waiting], outcome: list[list[bool]] | Exception, seconds: float) -> None:
        count = sum(len(waiting.lines) for waiting in group)
        self.lag -= count
        self._is_committing = False
        if self._waiting:
            self._begin()
        else:
            self._idle.set()
        if isinstance(outcome, Exception):
            for waiting in group:
                if not waiting.caller.done():
                    waiting.caller.set_exception(outcome)
            return
        self.last_commit_seconds = seconds
        for waiting, is_new in zip(group, outcome, strict=True):
            if not waiting.caller.done():
                waiting.caller.set_result(is_new)
        if self._on_commit is not None:
            self._on_commit(count, seconds)

    def _commit(self, group: list[_Waiting]) -> list[list[bool]]:
        with self._keeper.active.held():
            self._recall()
            added: dict[str, None] = {}
            fresh: list[bytes] = []
            answers = [self._choose(waiting, added, fresh) for waiting in group]
            # With no fresh line too: the known ones may be of a process that was killed before it had synced them.
            self._keeper.append(b"".join(fresh), durable=True)
            self._known.add(added)
        return answers

    def _choose(self, waiting: _Waiting, added: dict[str, None], fresh: list[bytes]) -> list[bool]:
        """Put the lines of new events into ``fresh`` and their ids into ``added``; whether each is new."""
        answer = []
        for name, line in zip(waiting.names, waiting.lines, strict=True):
            is_new = name is None or not (name in added or name in self._known)
            if is_new:
                fresh.append(line)
                if name is not None:
                    added[name] = None
            answer.append(is_new)
        return answer

    def _recall(self) -> None:
        """Once, and while no segment can be closed: the ids of segments that were closed before this process came."""
        if self._is_recalled:
            return
        lines = _LINES_PER_ID * self._window
        for segment in reversed(closed(self._keeper.folder)):
            try:
                ids = [name for chunk in read(segment) for name in event_ids(chunk)]
            except FileNotFoundError:
                # Another process has removed it for its age.
                continue
            except (OSError, UnreadableInput) as error:
                log.warning("%s: its event ids are not remembered (%s)", segment.path, error)
                continue
            lines -= len(ids)
            if not self._known.add_older(ids) or lines <= 0:
                break
        self._is_recalled = True
