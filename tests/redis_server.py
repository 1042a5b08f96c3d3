"""A real Redis on a free port, for integration tests: started, stopped, killed, paused, started again at will."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis

READY_SECONDS = 20.0
STARTS = 5
"""How often another port is tried where somebody else took the one that was free."""


class RedisServer:
    """A redis-server process that keeps nothing on disk; its port stays the same over restarts.

    Attributes:
        port: of TCP on 127.0.0.1; free when the object was made.
        password: of the default user; None for none.
        folder: the process's working folder, with its log as ``redis.log``.
    """

    def __init__(self, folder: Path, *options: object, password: str | None = None, program: str = "server") -> None:
        """Args: ``options`` as on redis-server's command line; ``program`` may be ``sentinel``, with a file first."""
        self.folder = folder
        self.password = password
        self.port = free_port()
        self._options = options
        self._program = program
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """The address without a password, which comes from the environment."""
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def pid(self) -> int:
        """Of the running process."""
        assert self._process, "not started"
        return self._process.pid

    def start(self) -> None:
        """Start the process and wait until it answers; another port is taken only before the first start."""
        for left in reversed(range(STARTS)):
            if self._run():
                return
            assert left, f"redis-server does not start: {(self.folder / 'redis.log').read_text()[-2000:]}"
            self.port = free_port()

    def stop(self) -> None:
        """Shut down as SIGTERM does, whatever state it is in."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End at once, as ``kill -9`` does."""
        self._end(signal.SIGKILL)

    def restart(self) -> None:
        """Kill, and start again on the same port with no data and no scripts."""
        self.kill()
        assert self._run(), "redis-server did not come back"

    def pause(self) -> None:
        """Stop answering but keep all connections, as a host that hangs does (SIGSTOP)."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Go on after `pause`."""
        os.kill(self.pid, signal.SIGCONT)

    @contextmanager
    def client(self) -> Iterator[redis.Redis]:
        """A blocking client to look at what the server holds."""
        with redis.Redis(port=self.port, password=self.password, socket_timeout=5) as client:
            yield client

    def _run(self) -> bool:
        self._process = subprocess.Popen(self._command(), cwd=self.folder, stdout=subprocess.DEVNULL)
        end = time.monotonic() + READY_SECONDS
        while self._process.poll() is None:
            assert time.monotonic() < end, "redis-server was never ready"
            if self._answers():
                return True
            time.sleep(0.01)
        self._process = None
        return False

    def _command(self) -> list[str]:
        own = ["--port", str(self.port), "--bind", "127.0.0.1", "--logfile", "redis.log"]
        if self._program == "sentinel":
            file, *rest = map(str, self._options)
            return [_installed(), file, "--sentinel", *own, *rest]
        secret = ["--requirepass", self.password] if self.password else []
        return [_installed(), *own, "--save", "", "--appendonly", "no", *secret, *map(str, self._options)]

    def _answers(self) -> bool:
        with self.client() as client:
            try:
                return bool(client.ping())
            except redis.exceptions.ConnectionError:
                return False

    def _end(self, how: signal.Signals) -> None:
        if self._process is None:
            return
        self._process.send_signal(how)
        self._process.send_signal(signal.SIGCONT)
        self._process.wait(timeout=30)
        self._process = None


@contextmanager
def redis_server(*options: object, password: str | None = None) -> Iterator[RedisServer]:
    """A running server of its own; gone at the end. The test skips where Redis is not installed."""
    _installed()
    with tempfile.TemporaryDirectory(prefix="nextcart-redis-") as folder:
        server = RedisServer(Path(folder), *options, password=password)
        server.start()
        try:
            yield server
        finally:
            server.stop()


def free_port() -> int:
    """A TCP port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _installed() -> str:
    found = shutil.which("redis-server")
    if found is None:
        pytest.skip("no redis-server on the path")
    return found
