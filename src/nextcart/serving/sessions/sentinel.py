"""Asks Sentinels, through redis-py, which Redis is the master now."""

from __future__ import annotations

from contextlib import AsyncExitStack

from redis.asyncio.sentinel import Sentinel
from redis.exceptions import RedisError

from nextcart.errors import SessionsUnavailable
from nextcart.serving.sessions.address import Address

_SECONDS = 0.5
"""How long one Sentinel may take; the next one is asked then."""


async def find_master(address: Address, name: str) -> tuple[str, int]:
    """Host and port of the master called `name`. The Sentinels themselves are asked without a password.

    Raises:
        SessionsUnavailable: none of them knows a master that is up.
    """
    asking = Sentinel(  # type: ignore[no-untyped-call]
        address.hosts,
        sentinel_kwargs={"socket_timeout": _SECONDS, "socket_connect_timeout": _SECONDS, "ssl": address.tls},
    )
    async with AsyncExitStack() as stack:
        for client in asking.sentinels:
            stack.push_async_callback(client.aclose)
        try:
            host, port = await asking.discover_master(name)
        except (RedisError, OSError):
            raise SessionsUnavailable(
                f"no Sentinel at {address} knows a master called {name!r} that is up; check "
                "sessions.redis_sentinel and redis_url"
            ) from None
    return host, port
