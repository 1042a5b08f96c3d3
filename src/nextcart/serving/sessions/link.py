"""A connection to Redis that comes back: lost, it is made anew in the background, at first at once, then less often."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from functools import partial

from nextcart.errors import SessionsUnavailable
from nextcart.serving.sessions.address import Address
from nextcart.serving.sessions.commands import Part
from nextcart.serving.sessions.wire import Reply, Wire

log = logging.getLogger(__name__)

_CONNECT_SECONDS = 2.0
"""What an attempt may take in all, finding the master and the encryption's greeting among it."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 1.0
"""Seconds between attempts, doubled each time; half to all of it is waited, so that workers do not come all at once."""
_CLOSED = "the session store is closed; the server is stopping"

Master = Callable[[], Awaitable[tuple[str, int]]]
"""Finds the host and port to connect to."""


class Link:
    """`Commands` over one `Wire`, which is made with the first command and made again whenever it is lost.

    While the first attempt after a loss is under way commands wait for it, within their time; between later attempts
    they fail at once.

    Args:
        address: who asks, and what messages name.
        timeout: seconds that a reply may take.
        find_master: where to connect, asked at each attempt; it may raise an `OSError`.
        must_be_master: whether a replica is refused; after a failover Sentinel may name the old master for a while.
    """

    def __init__(
        self, address: Address, timeout: float, find_master: Master | None = None, *, must_be_master: bool = False
    ) -> None:
        self._address = address
        self._timeout = timeout
        self._find_master = find_master
        self._must_be_master = must_be_master
        self._context = address.context()
        self._wire: Wire | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._pausing = False
        self._why = f"Redis at {address} is not connected yet"
        self._reported: str | None = None
        self._waiting: list[tuple[tuple[Part, ...], Reply]] = []
        self._waiting_timer: asyncio.TimerHandle | None = None
        self._closed = False

    def ask(self, *command: Part) -> Reply:
        """See `Commands.ask`."""
        if self._wire is not None:
            return self._wire.ask(*command)
        reply: Reply = asyncio.get_running_loop().create_future()
        if self._closed or self._pausing:
            reply.set_exception(SessionsUnavailable(_CLOSED if self._closed else self._why))
        else:
            self._wait(command, reply)
        return reply

    def send(self, *command: Part) -> None:
        """See `Commands.send`; without a connection the command is dropped."""
        if self._wire is not None:
            self._wire.send(*command)

    async def close(self) -> None:
        """See `Commands.close`."""
        if self._closed:
            return
        self._closed = True
        if self._connecting is not None:
            self._connecting.cancel()
            await asyncio.gather(self._connecting, return_exceptions=True)
        self._fail_waiting(_CLOSED)
        if self._wire is not None:
            await self._wire.close()

    def _wait(self, command: tuple[Part, ...], reply: Reply) -> None:
        loop = asyncio.get_running_loop()
        self._waiting.append((command, reply))
        if self._waiting_timer is None:
            late = f"Redis at {self._address} could not be connected to within {self._timeout * 1000:.0f} ms"
            self._waiting_timer = loop.call_later(self._timeout, self._fail_waiting, late)
        if self._connecting is None:
            self._connecting = loop.create_task(self._connect())

    def _fail_waiting(self, why: str) -> None:
        for _, reply in self._taken_from_waiting():
            reply.set_exception(SessionsUnavailable(why))

    def _taken_from_waiting(self) -> list[tuple[tuple[Part, ...], Reply]]:
        """All commands whose callers still wait; there are none afterwards."""
        if self._waiting_timer is not None:
            self._waiting_timer.cancel()
            self._waiting_timer = None
        taken, self._waiting = self._waiting, []
        return [(command, reply) for command, reply in taken if not reply.done()]

    async def _connect(self) -> None:
        """Try until there is a connection."""
        pause = _FIRST_PAUSE
        while True:
            try:
                async with asyncio.timeout(_CONNECT_SECONDS):
                    wire = await self._attempt()
                break
            except Exception as error:  # noqa: BLE001 -- whatever ends this loop ends the sessions for good
                self._report(self._reason(error))
            self._pausing = True
            self._fail_waiting(self._why)
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311 -- spreads load, keeps no secret
            pause = min(pause * 2, _LONGEST_PAUSE)
        self._pausing = False
        self._connecting = None
        self._use(wire)

    async def _attempt(self) -> Wire:
        host, port = await self._find_master() if self._find_master else self._address.hosts[0]
        where = f"{self._address}" if self._find_master is None else f"{host}:{port}"
        made: list[Wire] = []

        def make() -> Wire:
            made.append(Wire(where, self._timeout, lambda why: self._lost(made[0], why)))
            return made[0]

        name = host if self._context else None
        await asyncio.get_running_loop().create_connection(make, host, port, ssl=self._context, server_hostname=name)
        wire = made[0]
        try:
            await self._greet(wire, where)
        except BaseException:
            wire.drop("the greeting failed")
            raise
        if wire.lost is not None:
            raise SessionsUnavailable(wire.lost)
        return wire

    async def _greet(self, wire: Wire, where: str) -> None:
        """Say who asks and what for, and hear that Redis is ready."""
        address = self._address
        if address.password:
            user = [address.username] if address.username else []
            await wire.ask("AUTH", *user, address.password)
        if address.database:
            await wire.ask("SELECT", address.database)
        if self._must_be_master:
            role = await wire.ask("ROLE")
            if role[0] != b"master":
                raise SessionsUnavailable(f"Redis at {where} is no master yet")
        await wire.ask("PING")

    def _use(self, wire: Wire) -> None:
        if self._reported is not None:
            self._reported = None
            log.info("sessions: Redis at %s answers again", self._address)
        self._wire = wire
        for command, reply in self._taken_from_waiting():
            wire.ask(*command).add_done_callback(partial(_pass_on, reply))

    def _lost(self, wire: Wire, why: str) -> None:
        if wire is not self._wire:
            return
        self._wire = None
        if not self._closed:
            self._report(why)
            self._connecting = asyncio.get_running_loop().create_task(self._connect())

    def _reason(self, error: Exception) -> str:
        if isinstance(error, SessionsUnavailable):
            return str(error)
        if isinstance(error, TimeoutError):
            return f"Redis at {self._address} could not be connected to within {_CONNECT_SECONDS:.0f} s"
        return f"Redis at {self._address} cannot be connected to: {getattr(error, 'strerror', None) or error!r}"

    def _report(self, why: str) -> None:
        """Log an outage once, and again only when its reason changes."""
        self._why = why
        if why != self._reported:
            self._reported = why
            log.warning("sessions: %s; requests are answered from the events they bring", why)


def _pass_on(to: Reply, done: Reply) -> None:
    """Give a reply to who waited for the connection first."""
    error = done.exception()
    if to.done():
        return
    if error is None:
        to.set_result(done.result())
    else:
        to.set_exception(error)
