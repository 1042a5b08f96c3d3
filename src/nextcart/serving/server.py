"""Runs the application under uvicorn."""

from __future__ import annotations

import contextlib
import logging.config
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import uvicorn

from nextcart.config import ServingConfig, Settings
from nextcart.errors import InputError
from nextcart.repository.repository import Repository
from nextcart.serving.app import create_app
from nextcart.serving.live import LiveModel, load_version

log = logging.getLogger(__name__)

SHUTDOWN_SECONDS = 5
"""How long requests in flight may take once the server is told to stop; Docker kills after 10 seconds."""

# No access log: a path may hold an item's id, and a line a request costs more than the scoring.
_LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "line"}},
    "loggers": {
        "nextcart": {"handlers": ["stderr"], "level": "INFO", "propagate": False},
        "uvicorn": {"handlers": ["stderr"], "level": "WARNING", "propagate": False},
    },
}


def serve(settings: Settings, models_root: Path, version: str | None = None) -> None:
    """Answer over HTTP until told to stop (SIGINT or SIGTERM); then end requests in flight and return.

    The version is found before the port is opened, and loaded after: ``/health/ready`` says when it answers. It is
    served to the end, whatever is promoted or rolled back meanwhile. Only the main thread hears signals: call it there.

    Args:
        settings: host, port and limits are those of ``settings.serving``; port 0 takes a free one.
        models_root: the model repository's folder.
        version: an id, alias or unique prefix; None is production.

    Raises:
        VersionMissing: there is no such version.
        InputError: the address cannot be listened on.
    """
    config = settings.serving
    repository = Repository(models_root)
    name = repository.resolve(version)
    with contextlib.closing(_listen(config)) as listener, _stopped_by_signal():
        logging.config.dictConfig(_LOGGING)
        address, port = listener.getsockname()[:2]
        host = f"[{address}]" if ":" in address else address
        log.info("serving version %s on http://%s:%d (see /docs)", name, host, port)
        app = create_app(LiveModel(lambda: load_version(repository, name)), config)
        server = uvicorn.Server(
            uvicorn.Config(
                app,
                loop="uvloop",
                http="httptools",
                ws="none",
                timeout_keep_alive=config.keep_alive_seconds,
                timeout_graceful_shutdown=SHUTDOWN_SECONDS,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                log_config=None,
            )
        )
        server.run(sockets=[listener])


@contextlib.contextmanager
def _stopped_by_signal() -> Iterator[None]:
    """Take SIGTERM for an interrupt, and an interrupt for a good end."""
    # uvicorn passes a signal on once it has shut down; SIGTERM as it stands would kill the process then.
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    except KeyboardInterrupt:
        log.info("stopped")
    finally:
        signal.signal(signal.SIGTERM, before)


def _listen(config: ServingConfig) -> socket.socket:
    try:
        family = socket.getaddrinfo(config.host, config.port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((config.host, config.port), family=family, backlog=2048)
    except OSError as error:
        where = f"{config.host}:{config.port}"
        raise InputError(f"cannot listen on {where} ({error.strerror}); choose another --host or --port") from None
