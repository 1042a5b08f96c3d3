"""What the event log and the exposures share: a folder of segments, two threads that work on it, and its upkeep."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from nextcart.config.serving import EventLogConfig
from nextcart.errors import UnreadableInput
from nextcart.serving.event_log.active import ActiveSegment, Learn
from nextcart.serving.event_log.erasing import erase
from nextcart.serving.event_log.packing import pack_all
from nextcart.serving.event_log.retention import Retention, remove_old
from nextcart.types import Id

log = logging.getLogger(__name__)

PATIENCE_SECONDS = 60.0
"""After a failure, such as on a full disk, segments are closed and compressed again only so much later."""
REMOVAL_SECONDS = 60.0
"""How often old segments are looked for."""


class Keeper:
    """A folder of segments. The active one is touched in one thread alone, closed ones in another.

    Args:
        folder: where the segments are; made with the first line.
        prefix: what their names begin with.
        config: when a segment is closed.
        retention: when a closed one is removed.
        learn: see `ActiveSegment`.

    Attributes:
        folder: where the segments are.
        active: the segment that is appended to; for `writing` alone.
        writing: the thread that appends.
    """

    def __init__(self, folder: Path, prefix: str, config: EventLogConfig, retention: Retention, learn: Learn) -> None:
        self.folder = folder
        self.active = ActiveSegment(folder, prefix, learn)
        self.writing = ThreadPoolExecutor(1, f"{prefix}-write")
        self._tending = ThreadPoolExecutor(1, f"{prefix}-tend")
        self._tended: Future[None] | None = None
        self._config = config
        self._retention = retention
        self._not_before = self._removal_due = 0.0

    def append(self, data: bytes, *, durable: bool) -> None:
        """Append whole lines, within ``active.held()``; close the segment where that makes it too large.

        Raises:
            OSError: nothing was appended.
        """
        self.active.append(data, durable=durable)
        self._guarded("be closed", self._end_if_due)

    async def tick(self, catch_up: Callable[[], None]) -> None:
        """Close the segment where it is old; compress closed ones, and remove old ones, beside. Never raises.

        Call it every second.

        Args:
            catch_up: called in the writing thread with the active segment held.
        """
        await asyncio.wrap_future(self.writing.submit(self._guarded, "be closed", self._look, catch_up))
        if self._tended is None or self._tended.done():
            self._tended = self._tending.submit(self._tend)

    async def erase(self, session_ids: Iterable[Id]) -> dict[str, int]:
        """See `erasing.erase`."""
        return await asyncio.wrap_future(self._tending.submit(erase, self.folder, list(session_ids)))

    async def close(self) -> None:
        """Wait for both threads, and let go of the files."""
        for thread in (self.writing, self._tending):
            await asyncio.to_thread(thread.shutdown)
        self.active.close()

    def _look(self, catch_up: Callable[[], None]) -> None:
        if not self.folder.is_dir():
            return
        with self.active.held_if_free() as is_mine:
            if is_mine:
                catch_up()
                self._end_if_due()

    def _end_if_due(self) -> None:
        if self.active.is_due(self._config.segment_bytes, self._config.segment_seconds):
            self.active.end_segment()

    def _tend(self) -> None:
        # Removing comes first: it is what makes room on a full disk.
        self._guarded("be removed", self._remove)
        self._guarded("be compressed", self._pack)

    def _remove(self) -> None:
        if time.monotonic() >= self._removal_due:
            self._removal_due = time.monotonic() + REMOVAL_SECONDS
            remove_old(self.folder, self._retention)

    def _pack(self) -> None:
        if time.monotonic() >= self._not_before:
            pack_all(self.folder)

    def _guarded(self, what: str, work: Callable[..., None], *arguments: object) -> None:
        try:
            work(*arguments)
        except (OSError, UnreadableInput) as error:
            if time.monotonic() >= self._not_before:
                log.warning("%s: a segment could not %s now (%s)", self.folder, what, error)
            self._not_before = time.monotonic() + PATIENCE_SECONDS
