"""The asynchronous client."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from functools import wraps
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

import httpx

from nextcart.client import calls
from nextcart.client.calls import Call
from nextcart.client.carrying import Tries, answer, connection, request_of
from nextcart.client.retries import Retries

P = ParamSpec("P")
T = TypeVar("T")


def _method(build: Callable[P, Call[T]]) -> Callable[Concatenate[AsyncClient, P], Coroutine[Any, Any, T]]:
    """A call as a method of the client, with its arguments and its text."""

    @wraps(build)
    async def method(client: AsyncClient, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await client.send(build(*args, **kwargs))

    return method


class AsyncClient:
    """As `Client`, its methods awaited; of one event loop. Close it with `aclose`, or use it as a context.

    Args:
        url: of the service, such as ``http://127.0.0.1:8080``.
        api_key: where the service asks for one.
        connect_seconds: a connection may take so long.
        read_seconds: so long may pass without a byte of the answer.
        max_connections: connections at once, all kept open for the next calls.
        retries: of calls that may be made twice.
        sleep: waits between tries.
        transport: carries the requests; None: over the network.
    """

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None = None,
        connect_seconds: float = 1.0,
        read_seconds: float = 5.0,
        max_connections: int = 20,
        retries: Retries | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        settings = connection(url, api_key, connect_seconds, read_seconds, max_connections)
        self._http = httpx.AsyncClient(**settings, transport=transport)
        self._retries = retries or Retries()
        self._sleep = sleep

    recommend = _method(calls.recommend)
    recommend_batch = _method(calls.recommend_batch)
    top_sellers = _method(calls.top_sellers)
    bought_together = _method(calls.bought_together)
    similar = _method(calls.similar)
    post_events = _method(calls.post_events)
    erase_session = _method(calls.erase_session)
    model = _method(calls.model)
    ready = _method(calls.ready)
    reload = _method(calls.reload)
    rules = _method(calls.rules)
    replace_rules = _method(calls.replace_rules)
    block = _method(calls.block)
    unblock = _method(calls.unblock)

    async def send(self, call: Call[T]) -> T:
        """Make a call; the methods above do."""
        tries = Tries(call, self._retries)
        while True:
            result = await self._try(call)
            wait = tries.wait(result)
            if wait is None:
                return answer(call, result)
            await self._sleep(wait)

    async def _try(self, call: Call[T]) -> httpx.Response | httpx.TransportError:
        try:
            return await self._http.send(request_of(self._http, call))
        except httpx.TransportError as error:
            return error

    async def aclose(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()
