"""The plain client."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import wraps
from types import TracebackType
from typing import Concatenate, ParamSpec, Self, TypeVar

import httpx

from nextcart.client import calls
from nextcart.client.calls import Call
from nextcart.client.carrying import Tries, answer, connection, request_of
from nextcart.client.retries import Retries

P = ParamSpec("P")
T = TypeVar("T")


def _method(build: Callable[P, Call[T]]) -> Callable[Concatenate[Client, P], T]:
    """A call as a method of the client, with its arguments and its text."""

    @wraps(build)
    def method(client: Client, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return client.send(build(*args, **kwargs))

    return method


class Client:
    """Calls the service and waits for its answers; may be shared by threads. Close it, or use it as a context.

    Every method raises `ApiError`, `Unreachable` or `Unexpected`, all of them `ClientError`.

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
        sleep: Callable[[float], None] = time.sleep,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        settings = connection(url, api_key, connect_seconds, read_seconds, max_connections)
        self._http = httpx.Client(**settings, transport=transport)
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

    def send(self, call: Call[T]) -> T:
        """Make a call; the methods above do."""
        tries = Tries(call, self._retries)
        while True:
            result = self._try(call)
            wait = tries.wait(result)
            if wait is None:
                return answer(call, result)
            self._sleep(wait)

    def _try(self, call: Call[T]) -> httpx.Response | httpx.TransportError:
        try:
            return self._http.send(request_of(self._http, call))
        except httpx.TransportError as error:
            return error

    def close(self) -> None:
        """Close all connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
