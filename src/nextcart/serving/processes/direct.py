"""The lane's requests without ASGI between: from the parser to the handler, and back in one write.

Of a request whose scoring takes 15 µs, ASGI's own way takes 30: a scope, an event, a check of each header and two
sends. What is unusual still goes that way, and so does all that the lane does not know.
"""

from __future__ import annotations

from asyncio import Event, Task, TimerHandle
from collections.abc import Sequence
from functools import partial
from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from nextcart.serving.lane import UNKNOWN_ADDRESS, Answer, Call, Lane, Route, head_lines
from nextcart.serving.processes.protocol import GuardedProtocol

MAX_BODY_BYTES = 64 * 1024
"""A body up to this size is read whole before it is answered."""
_UNUSUAL = frozenset((b"transfer-encoding", b"expect", b"upgrade"))


class Exchange:
    """A request and its answer; stands where uvicorn has a cycle of its own.

    Attributes:
        route: the route.
        call: the request.
        body: what came of it so far.
        is_head: whether only the head of the answer is wanted.
        keep_alive: whether the connection is for more.
        task: answers it, where something has to be awaited.
    """

    __slots__ = (
        "body",
        "call",
        "disconnected",
        "is_head",
        "keep_alive",
        "more_body",
        "response_complete",
        "route",
        "task",
    )
    task: Task[None]

    message_event = Event()
    """uvicorn sets its cycle's; nobody waits for this one."""

    def __init__(self, route: Route, call: Call, *, is_head: bool, keep_alive: bool) -> None:
        self.route = route
        self.call = call
        self.is_head = is_head
        self.keep_alive = keep_alive
        self.body = b""
        self.more_body = True
        self.disconnected = False
        self.response_complete = False


class DefaultHeaders:
    """The headers that every answer has, as bytes."""

    def __init__(self) -> None:
        self._joined: tuple[object, bytes] = (None, b"")

    def joined(self, headers: Sequence[tuple[bytes, bytes]]) -> bytes:
        """Joined once for each list that uvicorn makes, which it does every second for the date."""
        of, text = self._joined
        if of is not headers:
            text = b"".join(b"%b: %b\r\n" % each for each in headers)
            self._joined = (headers, text)
        return text


class DirectProtocol(GuardedProtocol):
    """One connection, whose usual requests go straight to the lane.

    Args:
        lane: answers; None has all go by ASGI.
        defaults: shared by all connections.
        settings: see `GuardedProtocol`.
    """

    def __init__(self, *, lane: Lane | None, defaults: DefaultHeaders, **settings: Any) -> None:
        super().__init__(**settings)
        self._lane = lane
        self._defaults = defaults
        self._rested = 0.0
        self._rest: TimerHandle | None = None

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the timer."""
        if self._rest is not None:
            self._rest.cancel()
        super().connection_lost(exc)

    def begin_request(self) -> None:
        """A head is whole: take it, or leave it to ASGI."""
        exchange = self._exchange()
        if exchange is None:
            super().begin_request()
        else:
            self.cycle = exchange  # type: ignore[assignment]

    def on_body(self, body: bytes) -> None:
        """A piece of a body came."""
        if isinstance(self.cycle, Exchange):
            self.cycle.body = self.cycle.body + body if self.cycle.body else body
        else:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """A request is whole: answer it."""
        super().on_message_complete()
        exchange, lane = self.cycle, self._lane
        if not isinstance(exchange, Exchange) or exchange.response_complete or lane is None:
            return
        exchange.call.body = exchange.body
        # Where the client does not read, what it asks for has to wait.
        quickly = not self.flow.write_paused
        if not (quickly and lane.answer_quickly(exchange.route, exchange.call, partial(self._send, exchange))):
            exchange.task = self.loop.create_task(self._answer(exchange, lane))
            self.tasks.add(exchange.task)

    def on_response_complete(self) -> None:
        """An answer went by ASGI."""
        super().on_response_complete()
        self._rested = self.loop.time()

    def _exchange(self) -> Exchange | None:
        """The request as one for the lane; None where it is unusual, or not the lane's."""
        lane, url, before = self._lane, self.url, self.cycle
        if lane is None or (before is not None and not before.response_complete) or not _is_plain(url):
            return None
        headers = dict(self.headers)
        if not headers.keys().isdisjoint(_UNUSUAL) or int(headers.get(b"content-length", 0)) > MAX_BODY_BYTES:
            return None
        path, _, query = url.decode().partition("?")
        method = self.parser.get_method().decode()
        route, value = lane.find(method, path)
        if route is None:
            return None
        call = Call(path, query.encode(), headers, self.client[0] if self.client else UNKNOWN_ADDRESS, value)
        keep_alive = self.parser.should_keep_alive() and self.parser.get_http_version() == "1.1"
        return Exchange(route, call, is_head=method == "HEAD", keep_alive=keep_alive)

    async def _answer(self, exchange: Exchange, lane: Lane) -> None:
        call = exchange.call
        try:
            given = await lane.answer(exchange.route, call)
            if self.flow.write_paused:
                await self.flow.drain()
            self._send(exchange, given)
            lane.tell(exchange.route.path, given.status, call)
        finally:
            # A callback for it would cost another turn of the event loop.
            self.tasks.discard(exchange.task)

    def _send(self, exchange: Exchange, given: Answer) -> None:
        exchange.response_complete = True
        if exchange.disconnected or self.transport.is_closing():
            return
        self.transport.write(
            b"%b%b%b%b\r\n%b"
            % (
                STATUS_LINE[given.status],
                self._defaults.joined(self.server_state.default_headers),
                head_lines(given, exchange.call),
                b"" if exchange.keep_alive else b"connection: close\r\n",
                b"" if exchange.is_head else given.body,
            )
        )
        self.server_state.total_requests += 1
        if not exchange.keep_alive:
            self.transport.close()
        elif self.pipeline:
            self.flow.resume_reading()
            self._start_asgi_task(*self.pipeline.pop())
        else:
            self._rest_now()

    def _rest_now(self) -> None:
        """Wait for the next request; one timer does for all of them, and looks when it is due how long it is yet."""
        self._rested = self.loop.time()
        if self._rest is None:
            self._rest = self.loop.call_later(self.timeout_keep_alive, self._close_rested)

    def _close_rested(self) -> None:
        busy = self.cycle is not None and not self.cycle.response_complete
        left = self.timeout_keep_alive - (0.0 if busy else self.loop.time() - self._rested)
        if left > 0:
            self._rest = self.loop.call_later(left, self._close_rested)
        else:
            self._close()


def _is_plain(url: bytes) -> bool:
    """Whether it is a path, perhaps with a query, in which nothing stands for something else."""
    return url.startswith(b"/") and url.isascii() and b"%" not in url and b"#" not in url
