"""The main program of a worker process: what it is to do stands as one line on its standard input.

The supervisor holds the other end of that pipe for as long as it lives; its end is this process's end too. Meanwhile
each `RELOAD` in it has the worker look for another version.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import threading
from pathlib import Path

from pydantic import BaseModel

from nextcart.config import Settings
from nextcart.errors import NextcartError
from nextcart.repository.repository import Repository
from nextcart.serving.logs import configure_logs
from nextcart.serving.processes.accepting import Board
from nextcart.serving.processes.running import Team, run_server, stopped_by_signal
from nextcart.serving.processes.server import build_app
from nextcart.serving.versions.live import LiveModel

log = logging.getLogger(__name__)

CANNOT_START = 78
"""The exit status of a worker that would fail again if it were started again; that of sysexits' EX_CONFIG."""


RELOAD = b"r"


class Orders(BaseModel):
    """What a worker is told.

    Attributes:
        settings: all of them.
        models: the model repository's folder.
        version: the version to serve to the end; None follows production.
        listener: the descriptor of the listening socket.
        board: the file that says what each worker holds.
        place: this worker's on it.
        patient: whether others answer already.
        metrics: the folder in which the workers count.
    """

    settings: Settings
    models: Path
    version: str | None
    listener: int
    board: Path
    place: int
    patient: bool
    metrics: Path


def main() -> None:
    """Serve as ordered; exits 0 once told to stop."""
    orders = Orders.model_validate_json(_first_line(sys.stdin.fileno()))
    configure_logs(orders.settings.logs)
    settings = orders.settings
    try:
        app, live = build_app(settings, Repository(orders.models), orders.version, orders.metrics)
        threading.Thread(target=_heed_supervisor, args=(live,), name="heed-supervisor", daemon=True).start()
        with socket.socket(fileno=orders.listener) as listener, stopped_by_signal():
            run_server(app, live, settings, listener, Team(Board(orders.board), orders.place, orders.patient))
    except NextcartError as error:
        log.error("a worker cannot start: %s", error)  # noqa: TRY400 - one line; it names the remedy
        sys.exit(CANNOT_START)
    # All is closed and written; taking the interpreter apart would only make who waits for the end wait for seconds.
    sys.stderr.flush()
    os._exit(0)


def _first_line(descriptor: int) -> bytes:
    """Up to the first line's end, and no byte more: a `RELOAD` may stand behind it already."""
    text = b""
    while not text.endswith(b"\n"):
        text += os.read(descriptor, 1) or b"\n"
    return text


def _heed_supervisor(live: LiveModel) -> None:
    # The pipe ends when the supervisor is gone, however it went.
    while os.read(sys.stdin.fileno(), 1) == RELOAD:
        live.look_now()
    os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    main()
