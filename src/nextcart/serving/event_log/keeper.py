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
from nextcart.types import Id

log = logging.getLogger(__name__)

PATIENCE_SECONDS = 60.0
"""After a failure, such as on a full disk, segments are closed and compressed again only so much later."""


class Keeper:
    """A folder of segments. The active one is touched in one thread alone, closed ones in another.

    Attributes:
        folder: where the segments are.
        active: the segment that is appended to; for `writing` alone.
        writing: the thread that appends.
    """

    def __init__(self, folder: Path, prefix: str, config: EventLogConfig, learn: Learn) -> None:
        self.folder = folder
        self.active = ActiveSegment(folder, prefix, learn)
        self.writing = ThreadPoolExecutor(1, f"{prefix}-write")
        self._tending = ThreadPoolExecutor(1, f"{prefix}-tend")
        self._packing: Future[None] | None = None
        self._config = config
        self._not_before = 0.0

    def append(self, data: bytes, *, durable: bool) -> None:
        """Append whole lines, within ``active.held()``; close the segment where that makes it too large.

        Raises:
            OSError: nothing was appended.
        """
        self.active.append(data, durable=durable)
        self._guarded("be closed", self._end_if_due)

    async def tick(self, catch_up: Callable[[], None]) -> None:
        """Close the segment where it is old, and compress closed ones beside; never raises, call it every second.

        Args:
            catch_up: called in the writing thread with the active segment held.
        """
        await asyncio.wrap_future(self.writing.submit(self._guarded, "be closed", self._look, catch_up))
        if self._packing is None or self._packing.done():
            self._packing = self._tending.submit(self._guarded, "be compressed", self._pack)

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
