"""The real service in processes of its own, behind a small version, set up by the environment."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
import pyarrow as pa

from nextcart.config import ModelsConfig
from nextcart.models.model import FitOptions, TrainingArrays
from nextcart.models.recommender import Recommender
from nextcart.models.vocabulary import Vocabulary
from nextcart.repository import DataFacts, Repository, VersionDraft
from nextcart.types import SessionBatch
from tests.running import environment, wait_until_ready

START = 1_661_724_000_000
SERVE = """
import sys
from pathlib import Path
from nextcart.config import load_settings
from nextcart.serving import serve
serve(load_settings(), Path(sys.argv[1]))
"""


@dataclass
class Service:
    """A service that is ready, and the version that answers; items are 1000, 1010, … 1290."""

    process: subprocess.Popen[bytes]
    url: str
    version: str
    log: Path


@contextmanager
def service_of(folder: Path, **variables: str) -> Iterator[Service]:
    """A service on a free port; `variables` go to its environment. It must end well when it is told to stop."""
    version = publish(folder / "models")
    settings = {"NEXTCART__SERVING__PORT": "0", "NEXTCART__SERVING__STATE": str(folder / "state"), **variables}
    with tempfile.NamedTemporaryFile(dir=folder, suffix=".log") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", SERVE, str(folder / "models")], env=environment() | settings, stderr=log
        )
        try:
            url = _url(process, Path(log.name))
            with httpx.Client(base_url=url) as client:
                wait_until_ready(client)
            yield Service(process, url, version, Path(log.name))
        finally:
            process.terminate()
            process.wait(timeout=30)
        assert process.returncode == 0, Path(log.name).read_text()


def publish(root: Path) -> str:
    """The id of a version in production: all models, of sessions that walk along 30 items."""
    rng = np.random.default_rng(7)
    starts = rng.integers(0, 30, 200)
    items = ((starts[:, None] + np.arange(5)) % 30).astype(np.int32).ravel()
    counts = np.bincount(items, minlength=30)
    order = np.lexsort((np.arange(30), -counts))
    rows = np.empty(30, np.int32)
    rows[order] = np.arange(30)
    ids = pa.table({"aid": [1000 + 10 * item for item in order.tolist()], "events": counts[order]})
    vocabulary = Vocabulary.from_counts("int64", ids)
    ts = (START + 60_000 * np.arange(1000)).astype(np.int64)
    types = rng.choice(3, 1000, p=[0.5, 0.3, 0.2]).astype(np.uint8)
    sessions = SessionBatch(np.arange(0, 1001, 5, dtype=np.int64), rows[items], ts, types)
    arrays = TrainingArrays(sessions, vocabulary.counts)
    recommender = Recommender.fit(vocabulary, arrays, ModelsConfig(), FitOptions(threads=1))
    data = DataFacts(
        fingerprint="0" * 64,
        split="train",
        sessions=200,
        events=1000,
        items=30,
        first_ts=START,
        last_ts=START,
        session_type="int64",
        aid_type="int64",
    )
    repository = Repository(root)
    version = repository.publish(recommender.save, VersionDraft(code_version="test", config={}, data=data)).version
    repository.promote()
    return version


def _url(process: subprocess.Popen[bytes], log: Path) -> str:
    """The address that the service says it listens on."""
    while process.poll() is None:
        if found := re.search(r"http://127\.0\.0\.1:\d+", log.read_text()):
            return found[0]
        time.sleep(0.05)
    raise AssertionError(log.read_text())
