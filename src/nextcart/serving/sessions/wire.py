"""One connection to Redis: the commands of one turn of the loop go out together, replies come back in order."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, cast

import hiredis

from nextcart.errors import SessionsUnavailable
from nextcart.serving.sessions.commands import Part, RedisRefused

_LINGER_SECONDS = 0.005
"""How long a command that nobody waits for may wait for company, to cost no write and no read of its own."""
_GRACE_SECONDS = 0.002
"""What a late reply is granted once, so that one that arrived while the loop was busy elsewhere is read."""
_LEAVE_CODES = ("READONLY", "LOADING", "MASTERDOWN", "NOAUTH")
"""Errors after which another connection may be better off: the master moved, or data and rights are not yet there."""

Reply = asyncio.Future[Any]


class Wire(asyncio.Protocol):
    """A pipeline over one transport.

    A reply that is late ends the connection, and with it every command that waits: it can never be taken for another's.

    Args:
        where: what messages call the other side.
        timeout: seconds that a reply may take.
        on_lost: called once with the reason when the connection is of no more use.

    Attributes:
        lost: why it is of no more use; None while it is.
    """

    def __init__(self, where: object, timeout: float, on_lost: Callable[[str], None]) -> None:
        self._where = where
        self._timeout = timeout
        self._on_lost = on_lost
        self._loop = asyncio.get_running_loop()
        self._reader = hiredis.Reader()
        self._transport: asyncio.Transport | None = None
        self._out: list[bytes] = []
        self._flush_handle: asyncio.Handle | None = None
        self._flush_now = False
        self._waiting: deque[tuple[float, Reply | None]] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._granted = False
        self.lost: str | None = None

    def ask(self, *command: Part) -> Reply:
        """The reply to come; see `Commands.ask`."""
        reply: Reply = self._loop.create_future()
        if self.lost is not None:
            reply.set_exception(SessionsUnavailable(self.lost))
            return reply
        self._enqueue(command, reply)
        if not self._flush_now:
            self._flush_now = True
            if self._flush_handle is not None:
                self._flush_handle.cancel()
            self._flush_handle = self._loop.call_soon(self._flush)
        return reply

    def send(self, *command: Part) -> None:
        """Have it carried out; see `Commands.send`."""
        if self.lost is None:
            self._enqueue(command, None)
            if self._flush_handle is None:
                self._flush_handle = self._loop.call_later(_LINGER_SECONDS, self._flush)

    async def close(self) -> None:
        """Wait for the replies that are to come, then disconnect."""
        # Whoever gets a reply may ask once more because of it, such as for a script that Redis does not know.
        while self._waiting:
            await asyncio.gather(self.ask("PING"), return_exceptions=True)
        self.drop("the connection to Redis is closed")

    def drop(self, why: str) -> None:
        """Disconnect now; every command that waits fails."""
        if self.lost is not None:
            return
        self.lost = why
        for handle in (self._flush_handle, self._timer):
            if handle is not None:
                handle.cancel()
        if self._transport is not None:
            self._transport.abort()
        for _, reply in self._waiting:
            if reply is not None and not reply.done():
                reply.set_exception(SessionsUnavailable(why))
        self._waiting.clear()
        self._on_lost(why)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Part of `asyncio.Protocol`."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """Part of `asyncio.Protocol`: give each reply to the command that has waited longest."""
        self._reader.feed(data)
        try:
            while (said := self._reader.gets()) is not False:
                self._take(said)
        except (hiredis.ProtocolError, IndexError):
            self.drop(f"{self._where} does not speak as Redis does; check sessions.redis_url")

    def connection_lost(self, exc: Exception | None) -> None:
        """Part of `asyncio.Protocol`."""
        self.drop(f"Redis at {self._where} closed the connection{f' ({exc})' if exc else ''}")

    def _enqueue(self, command: tuple[Part, ...], reply: Reply | None) -> None:
        self._out.append(hiredis.pack_command(command))  # type: ignore[arg-type]
        self._waiting.append((self._loop.time() + self._timeout, reply))
        if self._timer is None:
            self._timer = self._loop.call_later(self._timeout, self._check)

    def _flush(self) -> None:
        self._flush_handle, self._flush_now = None, False
        if self._transport is not None:
            self._transport.write(b"".join(self._out))
            self._out.clear()

    def _take(self, said: Any) -> None:
        _, reply = self._waiting.popleft()
        self._granted = False
        if not isinstance(said, hiredis.ReplyError):
            if reply is not None and not reply.done():
                reply.set_result(said)
            return
        refused = RedisRefused(self._where, str(said))
        if reply is not None and not reply.done():
            reply.set_exception(refused)
        if refused.code in _LEAVE_CODES:
            self.drop(str(refused))

    def _check(self) -> None:
        """One timer a connection, for the command that has waited longest."""
        self._timer = None
        if not self._waiting:
            return
        left = self._waiting[0][0] - self._loop.time()
        if left > 0:
            self._timer = self._loop.call_later(left, self._check)
        elif not self._granted:
            self._granted = True
            self._timer = self._loop.call_later(_GRACE_SECONDS, self._check)
        else:
            self.drop(f"Redis at {self._where} did not answer within {self._timeout * 1000:.0f} ms")
