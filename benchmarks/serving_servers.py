"""The servers of the serving benchmark, each a process of its own, and what they use of processor and memory."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

START_SECONDS = 180
HERE = Path(__file__).resolve().parent
API_KEY = "benchmark-0123456789abcdef0123456789abcdef"
_KEYS = f"benchmark:read+events:{API_KEY}"


@dataclass(frozen=True, slots=True)
class Server:
    """A server that answers.

    Attributes:
        name: nextcart, hello or plain.
        port: where.
        process: for its CPU time and memory.
        log: what it wrote.
    """

    name: str
    port: int
    process: psutil.Process
    log: Path

    def cpu(self) -> tuple[float, float]:
        """User and system seconds so far, with those of its workers."""
        times = [each.cpu_times() for each in (self.process, *self.process.children(recursive=True))]
        return sum(each.user for each in times), sum(each.system for each in times)

    def workers(self) -> list[psutil.Process]:
        """The processes that answer."""
        return self.process.children() or [self.process]

    def metric(self, name: str) -> float:
        """The sum of a counter's values, over its labels."""
        text = httpx.get(f"http://127.0.0.1:{self.port}/metrics", headers={"x-api-key": API_KEY}).text
        return sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith(name))


def memory_mib(process: psutil.Process) -> dict[str, float]:
    """Memory of a process: all that is resident, what no other process maps, and what is not a file's.

    ``unique`` counts the pages of a mapped file too, where this process alone maps them; ``anonymous`` does not.
    """
    lines = Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines()[1:]
    held = {line.split(":")[0]: int(line.split()[1]) for line in lines}
    unique = held["Private_Clean"] + held["Private_Dirty"]
    found = {"resident": held["Rss"], "unique": unique, "anonymous": held["Anonymous"]}
    return {name: round(kib / 1024, 1) for name, kib in found.items()}


@contextmanager
def nextcart(models: Path, folder: Path, **settings: object) -> Iterator[Server]:
    """The product's own server: one worker and default settings but for those given, as ``SESSIONS__REDIS_URL=…``."""
    port = _free_port()
    command = [sys.executable, "-m", "nextcart", "serve", "--models", str(models), "--port", str(port)]
    names = {f"NEXTCART__{name}": str(value) for name, value in settings.items()}
    names |= {"NEXTCART__SERVING__STATE": str(folder / f"state-{port}"), "NEXTCART_API_KEYS": _KEYS}
    with _started("nextcart", command, port, "/health/ready", folder, names) as server:
        yield server


@contextmanager
def hello(folder: Path) -> Iterator[Server]:
    """The least that uvicorn does."""
    port = _free_port()
    command = [sys.executable, str(HERE / "serving_beside.py"), "hello", str(port)]
    with _started("hello", command, port, "/", folder) as server:
        yield server


@contextmanager
def plain(models: Path, folder: Path) -> Iterator[Server]:
    """The same work as the FastAPI tutorial would have it."""
    port = _free_port()
    command = [sys.executable, str(HERE / "serving_beside.py"), "plain", str(port), str(models)]
    with _started("plain", command, port, "/docs", folder) as server:
        yield server


@contextmanager
def _started(
    name: str, command: list[str], port: int, probe: str, folder: Path, names: Mapping[str, str] | None = None
) -> Iterator[Server]:
    """A server's process, once it answers 200 to the probe; it is stopped in the end."""
    log = folder / f"{name}-{port}.log"
    with log.open("wb") as file:
        process = subprocess.Popen(command, cwd=folder, env=os.environ | (names or {}), stdout=file, stderr=file)
    try:
        until = time.monotonic() + START_SECONDS
        while not _answers(f"http://127.0.0.1:{port}{probe}"):
            if process.poll() is not None or time.monotonic() > until:
                raise SystemExit(f"{name} does not answer: {log.read_text()[-2000:]}")
            time.sleep(0.2)
        yield Server(name, port, psutil.Process(process.pid), log)
    finally:
        process.terminate()
        process.wait(timeout=30)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).status_code == 200
    except httpx.TransportError:
        return False
