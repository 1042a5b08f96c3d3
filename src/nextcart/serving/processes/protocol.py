"""HTTP over a socket, guarded: uvicorn's protocol, with bounds on what a client may take and a gentle end.

A connection is closed when a request's head or body takes too long, a head is too large, or an answer is not read; past
a number of connections a new one is refused. A server that is to stop answers what connections still bring, and says on
each answer that it was the last.
"""

from __future__ import annotations

import logging
import resource
from asyncio import TimerHandle, Transport
from http import HTTPStatus
from typing import Any

import msgspec
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from nextcart.serving.schemas import ProblemDocument

MAX_HEAD_BYTES = 64 * 1024
USUAL_BYTES = 16 * 1024
"""A head that came at once in a piece of this size needs no counting."""
UNREAD_SECONDS = 30.0
"""A client that reads nothing of its answer for so long is cut off."""
LINGER_SECONDS = 1.0
"""A server that is to stop keeps an idle connection open so long: its next request may be on its way."""
SPARE_FILES = 256
"""Descriptors that are kept for all else than connections."""


# What no client can do wrong enough to fill the disk with: uvicorn warns of every request that is no HTTP.
_log = logging.getLogger("uvicorn.error.connection")
_log.setLevel(logging.ERROR)


class HeadTooLarge(Exception):
    """A request's head is larger than `MAX_HEAD_BYTES`."""


class GuardedProtocol(HttpToolsProtocol):
    """One connection.

    Args:
        header_seconds: how long a request's head may take, from the connection or from its first byte.
        body_seconds: how long its body may take from then.
        max_connections: with more than so many open, a new one is answered 503.
        settings: uvicorn's own.
    """

    def __init__(self, *, header_seconds: float, body_seconds: float, max_connections: int, **settings: Any) -> None:
        super().__init__(**settings)
        self.logger = _log
        self._header_seconds = header_seconds
        self._body_seconds = body_seconds
        self._max_connections = max_connections
        self._head_bytes = 0
        self._in_head = False
        self._ending = False
        self._may_be_large = False
        self._deadline: TimerHandle | None = None
        self._unread: TimerHandle | None = None

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first head, unless there are too many connections."""
        super().connection_made(transport)
        if len(self.connections) > self._max_connections:
            self._refuse(503, "busy", "this worker holds as many connections as it may")
        else:
            self._deadline = self.loop.call_later(self._header_seconds, self._close)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the timers."""
        self._cancel()
        if self._unread is not None:
            self._unread.cancel()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Feed the parser; a head that is not whole by then has so long, and so many bytes, to become it."""
        if self.transport.is_closing():
            return
        goes_on = self._in_head
        self._may_be_large = goes_on or len(data) > USUAL_BYTES
        super().data_received(data)
        if goes_on and self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self._refuse_head()
        if self._deadline is None and (self._in_head or self.cycle is None or self.cycle.response_complete):
            # Bytes that begin no request, such as empty lines, hold a connection no longer than a head does.
            self._deadline = self.loop.call_later(self._header_seconds, self._close)
        elif self._deadline is None and self.cycle is not None and self.cycle.more_body:
            self._deadline = self.loop.call_later(self._body_seconds, self._refuse_body)

    def on_message_begin(self) -> None:
        """A head begins."""
        self._in_head = True
        self._head_bytes = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """A head is whole: check its size where it may be too large, and answer it."""
        self._in_head = False
        self._cancel()
        if self._may_be_large and _size(self.url, self.headers) > MAX_HEAD_BYTES:
            self._refuse_head()
            raise HeadTooLarge
        self.begin_request()
        if self._ending:
            self.cycle.keep_alive = False

    def begin_request(self) -> None:
        """Hand a request whose head is whole to the application; its body is to come."""
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """A body is whole."""
        self._cancel()
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Answer what is no HTTP as a problem document, and close; does nothing where it was answered already."""
        self._refuse(400, "malformed", msg)

    def _refuse_head(self) -> None:
        self._refuse(431, "head-too-large", f"the head of a request may have {MAX_HEAD_BYTES} bytes")

    def _refuse_body(self) -> None:
        self._refuse(408, "too-slow", f"a body has to be whole within {self._body_seconds:g} seconds")

    def pause_writing(self) -> None:
        """The client reads slower than it is answered; it must not stop altogether."""
        super().pause_writing()
        if self._unread is None:
            self._unread = self.loop.call_later(UNREAD_SECONDS, self._cut)

    def resume_writing(self) -> None:
        """The client reads again."""
        super().resume_writing()
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def shutdown(self) -> None:
        """End after the next answer; after a moment, where no request comes."""
        self._ending = True
        if self.cycle is None or self.cycle.response_complete:
            self.loop.call_later(LINGER_SECONDS, self._close_idle)
        else:
            self.cycle.keep_alive = False

    def _close_idle(self) -> None:
        if self.cycle is None or self.cycle.response_complete:
            self._close()

    def _close(self) -> None:
        self._deadline = None
        if not self.transport.is_closing():
            self.transport.close()

    def _cut(self) -> None:
        self.transport.abort()

    def _cancel(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _refuse(self, status: int, kind: str, detail: str) -> None:
        if self.transport.is_closing():
            return
        title = HTTPStatus(status).phrase
        body = msgspec.json.encode(ProblemDocument(f"urn:nextcart:problem:{kind}", title, status, detail, ""))
        head = (
            f"HTTP/1.1 {status} {title}\r\ncontent-type: application/problem+json\r\n"
            f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode("ascii") + body)
        self.transport.close()


def _size(url: bytes, headers: list[tuple[bytes, bytes]]) -> int:
    return len(url) + sum(len(name) + len(value) + 4 for name, value in headers)


def most_connections() -> int:
    """As many connections as the process may have open, after the bound on open files was raised as far as it goes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65536 if hard == resource.RLIM_INFINITY else min(hard, 65536)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    bound = wanted if soft == resource.RLIM_INFINITY else soft
    return max(bound - SPARE_FILES, bound // 2)
