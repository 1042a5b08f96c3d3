"""Versions fitted and published by the real classes in a moment, and the real server in processes of its own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow as pa

from nextcart.config import ModelsConfig, Settings
from nextcart.models.model import FitOptions, TrainingArrays
from nextcart.models.recommender import Recommender
from nextcart.models.vocabulary import Vocabulary
from nextcart.repository import DataFacts, Repository, VersionDraft
from nextcart.types import IdType, SessionBatch

START = 1_661_724_000_000
N_ITEMS, N_SESSIONS = 60, 400
_SERVE = """
import sys
from pathlib import Path
from nextcart.config import Settings
from nextcart.serving import serve
serve(Settings.model_validate_json(sys.argv[2]), Path(sys.argv[1]), *sys.argv[3:])
"""


def fit(id_type: IdType, only: tuple[str, ...] | None = None) -> Recommender:
    """All models, or those named, on sessions that walk along the catalogue; ids are 1000, 1010, … or "SKU/…"."""
    rng = np.random.default_rng(7)
    lengths = rng.integers(3, 9, N_SESSIONS)
    offsets = np.r_[0, lengths.cumsum()].astype(np.int64)
    starts = np.minimum(rng.geometric(0.08, N_SESSIONS) - 1, N_ITEMS - 1)
    items = np.concatenate([(s + np.arange(n)) % N_ITEMS for s, n in zip(starts, lengths, strict=True)])
    counts = np.bincount(items, minlength=N_ITEMS)
    order = np.lexsort((np.arange(N_ITEMS), -counts))
    rows = np.empty(N_ITEMS, np.int32)
    rows[order] = np.arange(N_ITEMS)
    ids = [1000 + 10 * item if id_type == "int64" else f"SKU/{item:03}" for item in order.tolist()]
    vocabulary = Vocabulary.from_counts(id_type, pa.table({"aid": ids, "events": counts[order]}))
    ts = START + 60_000 * np.arange(len(items))
    types = rng.choice(3, len(items), p=[0.5, 0.3, 0.2]).astype(np.uint8)
    sessions = SessionBatch(offsets, rows[items], ts.astype(np.int64), types)
    arrays = TrainingArrays(sessions, vocabulary.counts)
    return Recommender.fit(vocabulary, arrays, ModelsConfig(), FitOptions(threads=1), only=only)


def publish(recommender: Recommender, root: Path, *, promote: bool = True) -> str:
    """Publish a recommender as a new version, the candidate, and promote it."""
    data = DataFacts(
        fingerprint="0" * 64,
        split="train",
        sessions=N_SESSIONS,
        events=int(recommender.vocabulary.counts.sum()),
        items=N_ITEMS,
        first_ts=START,
        last_ts=START,
        session_type="int64",
        aid_type=recommender.vocabulary.id_type,
    )
    repository = Repository(root)
    version = repository.publish(recommender.save, VersionDraft(code_version="test", config={}, data=data)).version
    if promote:
        repository.promote()
    return version


def set_aliases(root: Path, **named: str | None) -> None:
    """Name versions without the checks of `promote`, whole or not at all."""
    file = root / "aliases.json"
    held = json.loads(file.read_text()) if file.exists() else {}
    beside = root / ".aliases.test"
    beside.write_text(json.dumps({**held, **named}))
    beside.replace(file)


@dataclass
class Server:
    """A server that was started, and what it was started with."""

    process: subprocess.Popen[str]
    url: str
    first_line: str
    version: str = ""
    recommender: Recommender | None = None
    lines: list[str] = field(default_factory=list)
    reader: threading.Thread | None = None

    @property
    def address(self) -> tuple[str, int]:
        host, port = self.url.removeprefix("http://").split(":")
        return host, int(port)

    def read(self) -> None:
        """Take over what is written to the log, to its end."""
        for line in self.process.stderr or ():
            self.lines.append(line)

    def wait_until(self, status: int) -> httpx.Response:
        """The answer of /health/ready once it has `status`."""
        for _ in range(600):
            response = httpx.get(f"{self.url}/health/ready")
            if response.status_code == status and "being loaded" not in response.text:
                return response
            time.sleep(0.05)
        raise AssertionError(f"/health/ready never said {status}")

    def wait_for(self, found: Callable[[str], bool], times: int = 1) -> list[str]:
        """The lines of the log that are sought, once there are so many."""
        for _ in range(1200):
            lines = [line for line in self.lines if found(line)]
            if len(lines) >= times:
                return lines
            time.sleep(0.025)
        raise AssertionError("".join(self.lines))

    def workers(self) -> list[int]:
        """The process ids of the workers."""
        tasks = Path(f"/proc/{self.process.pid}/task")
        return [int(child) for task in tasks.iterdir() for child in (task / "children").read_text().split()]

    def ask(self, **body: Any) -> dict[str, Any]:
        """An answer of /v1/recommend, over a connection of its own."""
        response = httpx.post(f"{self.url}/v1/recommend", json=body, timeout=30)
        assert response.status_code == 200, response.text
        answer: dict[str, Any] = response.json()
        return answer


def start(root: Path, settings: Settings, *version: str) -> Server:
    """A server on a free port of its own; its state lies beside the models."""
    serving = settings.serving.model_copy(update={"port": 0, "state": root / "state"})
    text = settings.model_copy(update={"serving": serving}).model_dump_json()
    process = subprocess.Popen(
        [sys.executable, "-c", _SERVE, str(root), text, *version], stderr=subprocess.PIPE, text=True, env=os.environ
    )
    assert process.stderr
    lines: list[str] = []
    # Rules that it finds, and a folder that it cannot write, are said before.
    while not (found := re.search(r"http://127\.0\.0\.1:\d+", lines[-1] if lines else "")):
        lines.append(process.stderr.readline())
        if not lines[-1]:
            process.kill()
            raise AssertionError("".join(lines) + process.communicate()[1])
    server = Server(process, found[0], lines.pop(), lines=lines)
    # Whoever does not read the log lets the server wait once the pipe is full.
    server.reader = threading.Thread(target=server.read, daemon=True)
    server.reader.start()
    return server


def stop(server: Server) -> str:
    """End a server; what it wrote to stderr beside the line that names its address."""
    server.process.terminate()
    return ended(server)


def ended(server: Server) -> str:
    """Wait for the end; what the server wrote to stderr beside the line that names its address."""
    server.process.wait(timeout=20)
    assert server.reader
    assert server.process.stderr
    server.reader.join(10)
    server.process.stderr.close()
    return "".join(server.lines)


class Load:
    """Sessions asked over and over on a few connections that are kept; what was answered, and what failed.

    Args:
        server: who is asked.
        connections: each asks at `rate` a second.
        rate: requests a second.
    """

    def __init__(self, server: Server, connections: int = 4, rate: float = 50.0) -> None:
        self.versions: list[tuple[float, str]] = []
        self.failures: list[str] = []
        self.refused = 0
        self._server = server
        self._pause = 1 / rate
        self._stopped = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(connections)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        for thread in self._threads:
            thread.join()

    def wait_for(self, version: str, answers: int = 20) -> None:
        """Go on until the newest answers are all of one version."""
        for _ in range(1200):
            if len(self.versions) > answers and {name for _, name in self.versions[-answers:]} == {version}:
                return
            time.sleep(0.025)
        raise AssertionError(f"{version} never answered: {self.failures[:3]} {self.versions[-3:]}")

    def _ask(self) -> None:
        body = {"events": [{"aid": 1030, "ts": START, "type": "clicks"}], "limit": 5}
        with httpx.Client(base_url=self._server.url, timeout=30) as client:
            while not self._stopped.wait(self._pause):
                try:
                    response = client.post("/v1/recommend", json=body)
                except httpx.ConnectError:
                    self.refused += 1
                except httpx.HTTPError as error:
                    self.failures.append(repr(error))
                else:
                    if response.status_code != 200:
                        self.failures.append(response.text)
                    else:
                        self.versions.append((time.monotonic(), response.json()["model_version"]))
