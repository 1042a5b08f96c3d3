"""How much each client may ask: a bucket of tokens that fills at a steady rate.

A bucket is one number, the time at which it will be full again (the generic cell rate algorithm, ITU-T I.371): asking
moves it on by ``1 / rate`` seconds, and whose bucket would be full later than ``burst / rate`` seconds from now has to
wait.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

from nextcart.config import SessionsConfig
from nextcart.errors import SessionsUnavailable
from nextcart.serving.sessions.breaker import Breaker
from nextcart.serving.sessions.commands import Commands

MAX_BUCKETS = 100_000
"""In memory: past so many, the client that asked longest ago is forgotten; its bucket is most likely full."""

_SCRIPT = """
local now = redis.call('TIME')
local t = now[1] * 1000000 + now[2]
local full = math.max(tonumber(redis.call('GET', KEYS[1]) or t), t) + ARGV[1]
local wait = full - t - ARGV[2]
if wait > 0 then return wait end
redis.call('SET', KEYS[1], string.format('%.0f', full), 'PX', math.ceil((full - t) / 1000))
return 0
"""


class MemoryLimits:
    """The buckets of one process.

    Args:
        rate: requests a second.
        burst: so many at once are let through.
        clock: seconds that never jump back.
        max_buckets: the most clients that are remembered.
    """

    def __init__(
        self,
        rate: float,
        burst: int,
        clock: Callable[[], float] = time.monotonic,
        max_buckets: int = MAX_BUCKETS,
    ) -> None:
        self._step = 1 / rate
        self._window = burst / rate
        self._clock = clock
        self._max = max_buckets
        self._full_at: OrderedDict[str, float] = OrderedDict()

    def take(self, name: str) -> float:
        """Seconds until `name` may ask again; 0 where it may now, which is counted."""
        now = self._clock()
        full_at = max(self._full_at.get(name, now), now) + self._step
        wait = full_at - now - self._window
        # The sum of many steps is off by some bits.
        if wait > 1e-6:
            return wait
        self._full_at[name] = full_at
        self._full_at.move_to_end(name)
        if len(self._full_at) > self._max:
            self._full_at.popitem(last=False)
        return 0.0


class RedisLimits:
    """Buckets that all workers and hosts share, by Redis's own clock; a key goes once its bucket is full.

    Args:
        rate: requests a second.
        burst: so many at once are let through.
        commands: the way to Redis.
        sessions: what keys begin with, and when Redis is left alone for a while.
    """

    def __init__(self, rate: float, burst: int, commands: Commands, sessions: SessionsConfig) -> None:
        self._step = max(1, round(1e6 / rate))
        self._window = max(self._step, round(burst * 1e6 / rate))
        self._commands = commands
        self._prefix = sessions.key_prefix
        self._breaker = Breaker(sessions.breaker_failures, sessions.breaker_seconds)

    async def take(self, name: str) -> float:
        """Seconds until `name` may ask again; 0 where it may now, which is counted.

        Raises:
            SessionsUnavailable: Redis does not answer now.
        """
        breaker = self._breaker
        if not breaker.lets_through():
            raise SessionsUnavailable("Redis failed several times in a row and is left alone for a moment")
        try:
            key = f"{self._prefix}:rate:{name}"
            wait = await self._commands.ask("EVAL", _SCRIPT, 1, key, self._step, self._window)
        except SessionsUnavailable:
            breaker.failed()
            raise
        except BaseException:
            breaker.abandoned()
            raise
        breaker.succeeded()
        return int(wait) / 1e6
