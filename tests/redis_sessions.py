"""Session stores over a real Redis, for the tests of what goes well and what goes wrong with it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest

from nextcart.config import SessionsConfig
from nextcart.errors import SessionsUnavailable
from nextcart.serving.sessions import RedisSessions, SessionState, open_sessions
from tests.redis_server import RedisServer
from tests.unit.serving.sessions.contract import KEEP, TTL_SECONDS, event

PATIENCE = 10.0
FAILURES, BREAKER_SECONDS, TIMEOUT_MS = 3, 0.2, 100
Calls = list[tuple[float, bool]]
Run = Callable[[Coroutine[Any, Any, Any]], Any]


def configured(server: RedisServer, **settings: object) -> SessionsConfig:
    given = {
        "redis_url": server.url,
        "events": KEEP,
        "ttl_seconds": TTL_SECONDS,
        "timeout_ms": TIMEOUT_MS,
        "breaker_failures": FAILURES,
        "breaker_seconds": BREAKER_SECONDS,
    }
    return SessionsConfig.model_validate(given | settings)


@asynccontextmanager
async def opened(server: RedisServer, calls: Calls | None = None, **settings: object) -> AsyncIterator[RedisSessions]:
    noted: Calls = [] if calls is None else calls
    store = open_sessions(configured(server, **settings), lambda seconds, ok: noted.append((seconds, ok)))
    assert isinstance(store, RedisSessions)
    try:
        yield store
    finally:
        await store.close()


async def eventually(store: RedisSessions, session: str = "s") -> SessionState:
    """What it answers once it does."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            return await store.append(session, [event(1)])
        except SessionsUnavailable:
            assert time.monotonic() < end, "it never came back"
            await asyncio.sleep(0.01)


async def fails(store: RedisSessions, match: str) -> float:
    """Seconds that a call took to fail."""
    began = time.monotonic()
    with pytest.raises(SessionsUnavailable, match=match):
        await store.append("s", [event(1)])
    return time.monotonic() - began
