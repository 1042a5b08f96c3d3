"""What the handlers of one worker share, opened and closed together."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from nextcart.config import Settings
from nextcart.serving.access import Access
from nextcart.serving.erasing import Erasures
from nextcart.serving.event_log import EventLog, ExposureLog
from nextcart.serving.following import Following
from nextcart.serving.metrics import Metrics, declared
from nextcart.serving.problems import Problem
from nextcart.serving.rules import LiveRules
from nextcart.serving.sessions import RedisSessions, SessionStore, open_sessions
from nextcart.serving.traces import Traces, open_traces
from nextcart.serving.versions.live import LiveModel, LiveVersion
from nextcart.types import IdType


@dataclass(frozen=True)
class Services:
    """What answers requests: the models, the session store, the logs, the rules, the counters.

    Nothing is connected to or written before the first request that needs it.
    """

    settings: Settings
    live: LiveModel
    sessions: SessionStore
    event_log: EventLog
    exposures: ExposureLog
    rules: LiveRules
    metrics: Metrics
    access: Access
    erasures: Erasures
    following: Following
    traces: Traces

    def id_types(self) -> tuple[IdType | None, IdType | None]:
        """Of the shop's sessions and items; None while no version tells."""
        current = self.answering()
        if current is None:
            return None, None
        data = current.manifest.data
        return data.session_type, data.aid_type

    async def close(self) -> None:
        """Let what is on its way end."""
        await self.event_log.close()
        await self.exposures.close()
        await self.sessions.close()
        self.traces.close()
        self.metrics.close()

    def answering(self) -> LiveVersion | None:
        """The version in production, None while there is none."""
        try:
            return self.live.current
        except Problem:
            return None


def open_services(settings: Settings, live: LiveModel, metrics_folder: Path | None = None) -> Services:
    """The services as configured; `Services.close` ends them.

    Args:
        settings: all of them.
        live: what answers.
        metrics_folder: shared by the workers of one service; None for a single process.

    Raises:
        ConfigError: the settings or the keys in the environment are not as they should be.
    """
    state, metrics = settings.serving.state, Metrics(metrics_folder)
    sessions = open_sessions(settings.sessions, partial(_tell_call, metrics))
    event_log = EventLog(state / "event_log", settings.event_log, lambda _, seconds: metrics.commit(seconds))
    exposures = ExposureLog(state / "exposures", settings.event_log)
    rules = LiveRules(state)
    live.prepare = rules.prepare
    shares_sessions = settings.sessions.redis_url is not None or settings.serving.workers == 1
    others_forget = None if shares_sessions else float(settings.sessions.ttl_seconds)
    return Services(
        settings,
        live,
        sessions,
        event_log,
        exposures,
        rules,
        metrics,
        _access(settings, sessions, metrics),
        Erasures(state, sessions, event_log, exposures, others_forget),
        Following(sessions, exposures, settings.event_log.exposure_share, metrics),
        open_traces(settings.logs),
    )


def _access(settings: Settings, sessions: SessionStore, metrics: Metrics) -> Access:
    return Access(
        settings.access,
        commands=sessions.commands if isinstance(sessions, RedisSessions) else None,
        sessions=settings.sessions,
        limited=lambda client: metrics.count(declared.RATE_LIMITED, client),
    )


def _tell_call(metrics: Metrics, seconds: float, ok: bool) -> None:
    if ok:
        metrics.store_answered(seconds)
    else:
        metrics.store_failed()
