"""Runs the application: the listening socket, one process or several, and a gentle end."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
from pathlib import Path

from nextcart.config import ServingConfig, Settings
from nextcart.errors import InputError
from nextcart.repository.repository import Repository
from nextcart.serving.access.keys import ENV, parse_keys
from nextcart.serving.app import Api, create_app
from nextcart.serving.logs import configure_logs
from nextcart.serving.processes.running import run_server, stopped_by_signal
from nextcart.serving.services import open_services
from nextcart.serving.state import tell_of_state
from nextcart.serving.versions.live import LiveModel
from nextcart.serving.versions.loading import load_version
from nextcart.serving.versions.watch import FollowingModel

log = logging.getLogger(__name__)

BACKLOG = 2048


def serve(settings: Settings, models_root: Path, version: str | None = None) -> None:
    """Answer over HTTP until told to stop (SIGINT or SIGTERM); then end requests in flight and return.

    The version is found before the port is opened, and loaded after: ``/health/ready`` says when it answers. Without a
    name it is that in production, and whatever is promoted or rolled back goes live; a version that is named is served
    to the end. SIGHUP has it looked for at once. Only the main thread hears signals: call it there.

    Args:
        settings: host, port and limits are those of ``settings.serving``; port 0 takes a free one.
        models_root: the model repository's folder.
        version: an id, alias or unique prefix; None is production, followed.

    Raises:
        VersionMissing: there is no such version.
        InputError: the address cannot be listened on.
        ConfigError: the keys in the environment are not as they should be.
        RunFailed: the workers cannot be started.
    """
    repository = Repository(models_root)
    name = repository.resolve(version)
    keys = parse_keys(os.environ.get(ENV, ""))
    with contextlib.closing(_listen(settings.serving)) as listener, stopped_by_signal():
        configure_logs(settings.logs)
        address, port = listener.getsockname()[:2]
        host = f"[{address}]" if ":" in address else address
        tell_of_state(settings.serving.state)

        def started() -> None:
            log.info("serving version %s on http://%s:%d (see /docs)", name, host, port)
            if not keys:
                log.info("no keys: events, rules and erasing are closed until %s names some", ENV)

        pinned = name if version is not None else None
        if settings.serving.workers > 1:
            from nextcart.serving.processes.workers import supervise

            started()
            supervise(settings, models_root, pinned, listener)
        else:
            app, live = build_app(settings, repository, pinned)
            started()
            run_server(app, live, settings, listener)


def build_app(
    settings: Settings, repository: Repository, name: str | None, metrics_folder: Path | None = None
) -> tuple[Api, LiveModel]:
    """The application and what answers in it, in a process that is about to serve.

    Args:
        settings: all of them.
        repository: where the versions are.
        name: the version to serve to the end; None follows production.
        metrics_folder: shared by the workers of one service; None for a single process.
    """
    if name is not None:
        pinned = LiveModel(lambda: load_version(repository, name))
        return create_app(open_services(settings, pinned, metrics_folder)), pinned
    live = FollowingModel(repository, settings.swap)
    services = open_services(settings, live, metrics_folder)
    live.on_swap.append(lambda event: services.metrics.swapped(event.outcome, event.seconds))
    return create_app(services), live


def _listen(config: ServingConfig) -> socket.socket:
    try:
        family = socket.getaddrinfo(config.host, config.port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((config.host, config.port), family=family, backlog=BACKLOG)
    except OSError as error:
        where = f"{config.host}:{config.port}"
        raise InputError(f"cannot listen on {where} ({error.strerror}); choose another --host or --port") from None
