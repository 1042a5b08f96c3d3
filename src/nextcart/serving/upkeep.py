"""What a worker does by itself, twice a second: rules that changed, segments that grew old, gauges."""

from __future__ import annotations

import asyncio
import logging

from nextcart.serving.metrics import declared
from nextcart.serving.services import Services

log = logging.getLogger(__name__)

TICK_SECONDS = 0.5


class Upkeep:
    """The upkeep of services, of one event loop."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._versions: dict[str, tuple[str, int]] = {}
        self._dropped = 0

    async def run(self) -> None:
        """Keep up until cancelled."""
        while True:
            await asyncio.sleep(TICK_SECONDS)
            try:
                await self.tick()
            except Exception:
                # The next round may do better; without upkeep the server would go on and nobody would know.
                log.exception("upkeep failed")

    async def tick(self) -> None:
        """One round."""
        services = self._services
        await asyncio.to_thread(services.rules.poll)
        await services.event_log.tick()
        await services.exposures.tick()
        self._tell_versions()
        self._tell_gauges()
        services.metrics.tick()

    def _tell_versions(self) -> None:
        live = {"production": self._services.answering(), "candidate": self._services.live.candidate}
        versions = {alias: (each.name, len(each.recommender.vocabulary)) for alias, each in live.items() if each}
        if versions != self._versions:
            self._services.metrics.set_versions(versions)
            self._versions = versions

    def _tell_gauges(self) -> None:
        services, metrics = self._services, self._services.metrics
        metrics.set(declared.LOG_LAG, services.event_log.lag)
        metrics.set(declared.BREAKER_OPEN, float(services.sessions.state != "closed"))
        metrics.set(declared.RULES_VERSION, services.rules.document.version)
        dropped = services.exposures.dropped
        metrics.count(declared.EXPOSURES_DROPPED, by=dropped - self._dropped)
        self._dropped = dropped
