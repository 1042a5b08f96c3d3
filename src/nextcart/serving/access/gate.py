"""Lets requests in: by key, and by rate."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping
from functools import lru_cache
from ipaddress import IPv6Address

from nextcart.config import AccessConfig, SessionsConfig
from nextcart.errors import SessionsUnavailable
from nextcart.serving.access.keys import ANONYMOUS, ENV, Keys, KeyScope, parse_keys
from nextcart.serving.access.rate_limits import MemoryLimits, RedisLimits
from nextcart.serving.problems import Problem
from nextcart.serving.sessions.commands import Commands


class Access:
    """Who may ask, and how much.

    Args:
        config: the limits, and whether reading needs a key.
        keys: whom the server knows; None reads ``NEXTCART_API_KEYS``.
        commands: the way to Redis, for limits that all workers share; without it, and while Redis does not answer,
            each worker limits by itself.
        sessions: what keys in Redis begin with, and when Redis is left alone for a while.
        limited: told the client's name, "anonymous" without a key, for each request that had to wait.

    Raises:
        ConfigError: ``NEXTCART_API_KEYS`` is not as it should be.
    """

    def __init__(
        self,
        config: AccessConfig,
        keys: Keys | None = None,
        commands: Commands | None = None,
        sessions: SessionsConfig | None = None,
        limited: Callable[[str], None] | None = None,
    ) -> None:
        self._keys = keys or Keys(parse_keys(os.environ.get(ENV, "")), anonymous_read=config.anonymous_read)
        self._limited = limited
        rate, burst = config.requests_per_second, config.burst
        self._memory = MemoryLimits(rate, burst) if rate else None
        self._shared = RedisLimits(rate, burst, commands, sessions or SessionsConfig()) if rate and commands else None

    def admit_now(self, headers: Mapping[bytes, bytes], needed: KeyScope | None) -> bool:
        """Whether the request may go on, and nothing has to be asked for it; False is for `admit` to say.

        Raises:
            Problem: 401 or 403.
        """
        if self._memory is not None:
            return False
        if needed is not None:
            self._keys.check(headers, needed)
        return True

    async def admit(self, headers: Mapping[bytes, bytes], needed: KeyScope | None, address: str) -> str:
        """The client's name, "anonymous" without a key, where the request may go on.

        Args:
            headers: by lower-case name.
            needed: the scope that the route needs; None lets everybody in, uncounted.
            address: whence the request comes, by which clients without a key are limited.

        Raises:
            Problem: 401, 403, or 429 with ``Retry-After``.
        """
        if needed is None:
            return ANONYMOUS
        try:
            client = self._keys.check(headers, needed)
        except Problem:
            # Guessing keys is limited as asking without one is.
            await self._take(ANONYMOUS, address)
            raise
        await self._take(client.name, address)
        return client.name

    async def _take(self, name: str, address: str) -> None:
        if self._memory is None:
            return
        # Names of keys hold no colon, so no address is ever one.
        bucket = name if name != ANONYMOUS else f"address:{network_of(address)}"
        wait = self._memory.take(bucket) if self._shared is None else await self._by_all(bucket, self._shared)
        if wait > 0:
            if self._limited is not None:
                self._limited(name)
            raise _too_many(wait)

    async def _by_all(self, bucket: str, shared: RedisLimits) -> float:
        try:
            return await shared.take(bucket)
        except SessionsUnavailable:
            return self._memory.take(bucket) if self._memory else 0.0


@lru_cache(maxsize=4096)
def network_of(address: str) -> str:
    """An IPv4 address itself, of an IPv6 address the /64: one household has all of it."""
    if ":" not in address:
        return address
    try:
        number = int(IPv6Address(address.partition("%")[0]))
    except ValueError:
        return address
    return f"{IPv6Address(number >> 64 << 64)}/64"


def _too_many(wait: float) -> Problem:
    seconds = max(1, math.ceil(wait))
    detail = f"the limit of this client is reached; ask again in {seconds} s, or raise access.requests_per_second"
    return Problem(429, "too-many-requests", "Too many requests", detail, headers={"retry-after": str(seconds)})
