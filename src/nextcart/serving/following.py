"""Sessions as they go on: what they did before, what they are shown, and what they do then."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from nextcart.errors import SessionsUnavailable
from nextcart.serving.event_log import Exposure, ExposureLog
from nextcart.serving.metrics import Metrics
from nextcart.serving.online import OnlineTruth
from nextcart.serving.schemas import Event, LoggedEventBody, RecommendRequest
from nextcart.serving.scoring import Scored
from nextcart.serving.sessions import SessionStore, Shown
from nextcart.serving.versions.live import LiveVersion, place
from nextcart.types import Id

AT_ONCE = 64
"""So many sessions of one request are asked for together."""


class Following:
    """Follows sessions through the session store; where that does not answer, requests are answered all the same.

    Args:
        sessions: remembers them.
        exposures: takes what they are shown.
        exposure_share: the share of sessions whose exposures are written.
        metrics: counts hits and shown items.
    """

    def __init__(self, sessions: SessionStore, exposures: ExposureLog, exposure_share: float, metrics: Metrics) -> None:
        self._sessions = sessions
        self._exposures = exposures
        self._below = round(exposure_share * 2**32)
        self._metrics = metrics
        self._online = OnlineTruth(metrics)

    async def events(self, session_id: Id, events: list[Event]) -> list[Event]:
        """All that is known of a session, once `events` are added; those alone where the store does not answer."""
        try:
            held = (await self._sessions.append(session_id, events)).events
        except SessionsUnavailable:
            return events
        # A request that brings more than the store keeps is answered with all that it brings.
        return held if len(held) > len(events) else events

    def shown(self, asked: RecommendRequest, version: LiveVersion, request_id: str, scored: Scored) -> None:
        """A session was shown these items; returns at once."""
        self._metrics.show(version.name, asked.objective, scored.rows)
        session_id = asked.session_id
        if session_id is None:
            return
        self._sessions.show(session_id, Shown(request_id, version.name, asked.objective, scored.aids))
        if place(session_id) < self._below:
            now_ms = time.time_ns() // 1_000_000
            exposure = Exposure(session_id, request_id, now_ms, version.name, asked.objective, scored.aids)
            self._exposures.expose(exposure)

    async def happened(self, events: Sequence[LoggedEventBody]) -> None:
        """Add events to their sessions, and see whether their items were among what the sessions were last shown."""
        by_session: dict[Id, list[Event]] = {}
        for event in events:
            by_session.setdefault(event.session_id, []).append(event)
        sessions = list(by_session.items())
        # One after the other, a slow store would hold up a request of many sessions that often.
        for first in range(0, len(sessions), AT_ONCE):
            await asyncio.gather(*(self._happened(*each) for each in sessions[first : first + AT_ONCE]))

    async def _happened(self, session_id: Id, events: Sequence[Event]) -> None:
        try:
            shown = (await self._sessions.append(session_id, events, with_shown=True)).shown
        except SessionsUnavailable:
            # They are in the log; the session goes on with what its own requests bring.
            return
        if shown is not None:
            for each in events:
                self._online.judge(shown, each)
