"""What sessions were shown, written down without anybody waiting for it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from concurrent.futures import Future
from pathlib import Path

from nextcart.config.serving import EventLogConfig
from nextcart.serving.event_log.keeper import Keeper
from nextcart.serving.event_log.lines import Exposure, exposure_lines
from nextcart.serving.event_log.retention import DAY_SECONDS, Retention
from nextcart.types import Id

log = logging.getLogger(__name__)

_WRITTEN_AT = 512
"""So many exposures are written at once, without waiting for the next tick."""


class ExposureLog:
    """Exposures of all worker processes of a host in one folder; of one event loop.

    They are not synced: a power cut may lose those of the last seconds, a killed process those since the last tick.

    Args:
        folder: where the segments are; made with the first exposure.
        config: sizes; at most ``max_pending`` exposures wait, further ones are dropped.

    Attributes:
        dropped: exposures that were not written, because too many waited or the disk did not take them.
    """

    def __init__(self, folder: Path, config: EventLogConfig) -> None:
        self.dropped = 0
        self._max_waiting = config.max_pending
        self._waiting: list[Exposure] = []
        self._writing: Future[None] | None = None
        self._is_closed = False
        retention = Retention(config.exposure_keep_days * DAY_SECONDS, config.exposure_keep_bytes)
        self._keeper = Keeper(folder, "exposures", config, retention, lambda _: None)

    @property
    def lag(self) -> int:
        """Exposures that no write has begun for yet."""
        return len(self._waiting)

    def expose(self, exposure: Exposure) -> None:
        """Take an exposure; returns at once, never raises."""
        waiting = self._waiting
        if len(waiting) >= self._max_waiting or self._is_closed:
            self.dropped += 1
            return
        waiting.append(exposure)
        if len(waiting) >= _WRITTEN_AT and (self._writing is None or self._writing.done()):
            self._begin()

    async def flush(self) -> None:
        """Write all that waits."""
        if self._writing is not None:
            await asyncio.wrap_future(self._writing)
        if self._waiting:
            await asyncio.wrap_future(self._begin())

    async def tick(self) -> None:
        """Write what waits, close the segment where it is old, compress, remove old ones; never raises.

        Call it every second.
        """
        await self.flush()
        await self._keeper.tick(lambda: None)

    async def erase(self, session_ids: Iterable[Id]) -> dict[str, int]:
        """Remove sessions from all segments; gives the lines removed by segment, see `erasing.erase`."""
        await self.flush()
        return await self._keeper.erase(session_ids)

    async def close(self) -> None:
        """Write what waits, end the threads; what comes later is dropped."""
        self._is_closed = True
        await self.flush()
        await self._keeper.close()

    def _begin(self) -> Future[None]:
        group, self._waiting = self._waiting, []
        self._writing = self._keeper.writing.submit(self._write, group)
        return self._writing

    def _write(self, group: list[Exposure]) -> None:
        try:
            data = exposure_lines(group)
            with self._keeper.active.held():
                self._keeper.append(data, durable=False)
        except (OSError, ValueError) as error:
            if not self.dropped:
                log.warning("%s: exposures are dropped (%s)", self._keeper.folder, error)
            self.dropped += len(group)
