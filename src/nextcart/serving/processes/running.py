"""One process that answers: uvicorn with a guarded protocol, signals, and an end that loses no request."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import signal
import socket
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import uvicorn

from nextcart.config import Settings
from nextcart.serving.access import SECURITY_HEADERS
from nextcart.serving.app import Api
from nextcart.serving.processes.accepting import Acceptor, Board, take_waiting
from nextcart.serving.processes.direct import DefaultHeaders, DirectProtocol
from nextcart.serving.processes.protocol import most_connections
from nextcart.serving.versions.live import LiveModel

log = logging.getLogger(__name__)

SHUTDOWN_SECONDS = 5
"""How long requests in flight may take once the server is told to stop; Docker kills after 10 seconds."""
SWITCH_SECONDS = 0.0005
"""How long a thread may keep the interpreter from the one that answers; a tenth of what Python takes by itself."""
LOOK_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Team:
    """The workers that this process is one of.

    Attributes:
        board: what each of them holds.
        place: this one's.
        patient: whether others answer already, so that this one may wait for its version first.
    """

    board: Board
    place: int
    patient: bool


def run_server(
    app: Api, live: LiveModel, settings: Settings, listener: socket.socket, team: Team | None = None
) -> None:
    """Answer until SIGINT or SIGTERM; then end requests in flight. SIGHUP looks for another version.

    Call it within `stopped_by_signal`.

    Args:
        app: the application.
        live: what answers in it.
        settings: limits.
        listener: the listening socket.
        team: where this is one of several workers.
    """
    config = settings.serving
    protocol = functools.partial(
        DirectProtocol,
        lane=app.lane,
        defaults=DefaultHeaders(),
        header_seconds=settings.access.header_seconds,
        body_seconds=settings.access.body_seconds,
        max_connections=most_connections(),
    )
    server = Server(
        uvicorn.Config(
            app,
            loop="uvloop",
            http=protocol,  # type: ignore[arg-type]
            ws="none",
            timeout_keep_alive=config.keep_alive_seconds,
            timeout_graceful_shutdown=SHUTDOWN_SECONDS,
            access_log=False,
            server_header=False,
            headers=list(SECURITY_HEADERS),
            proxy_headers=False,
            log_config=None,
        ),
        live,
        listener,
        team,
    )
    sys.setswitchinterval(SWITCH_SECONDS)
    signal.signal(signal.SIGHUP, lambda *_: live.look_now())
    try:
        server.run(sockets=[listener])
    finally:
        live.stop()


class Server(uvicorn.Server):
    """uvicorn's server, which takes connections in turn with other workers, and leaves none in the queue at the end."""

    def __init__(self, config: uvicorn.Config, live: LiveModel, listener: socket.socket, team: Team | None) -> None:
        super().__init__(config)
        self._listener = listener
        self._live = live
        self._team = team
        self._acceptor: Acceptor | None = None
        self._queue: socket.socket | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the application, then take connections."""
        if self._team is None:
            await super().startup(sockets=sockets)
        else:
            await super().startup(sockets=[])
            while self._team.patient and not self._live.tried and not self.should_exit:
                await asyncio.sleep(LOOK_SECONDS)
            held = self.server_state.connections
            self._acceptor = Acceptor(self._listener, self._protocol, held, self._team.board, self._team.place)
        self._queue = self._listener.dup()

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second: let the other workers know how many connections were closed."""
        if self._acceptor is not None:
            self._acceptor.write_count()
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take what waits in the queue, answer what is in flight, and close."""
        for server in self.servers:
            server.close()
        if self._acceptor is not None:
            self._acceptor.close()
            await self._acceptor.settle()
        if self._queue is not None:
            await take_waiting(self._queue, self._protocol)
        await super().shutdown(sockets)

    def _protocol(self) -> asyncio.Protocol:
        make: Any = self.config.http_protocol_class
        protocol: asyncio.Protocol = make(
            config=self.config,
            server_state=self.server_state,
            app_state=self.lifespan.state,
            _loop=asyncio.get_running_loop(),
        )
        return protocol


@contextlib.contextmanager
def stopped_by_signal() -> Iterator[None]:
    """Take SIGTERM for an interrupt, and an interrupt for a good end; leave SIGHUP for later."""
    # uvicorn passes a signal on once it has shut down; SIGTERM as it stands would kill the process then.
    term = signal.signal(signal.SIGTERM, signal.default_int_handler)
    hup = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        yield
    except KeyboardInterrupt:
        log.info("stopped")
    finally:
        signal.signal(signal.SIGTERM, term)
        signal.signal(signal.SIGHUP, hup)
