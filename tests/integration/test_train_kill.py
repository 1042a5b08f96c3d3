"""kill -9 while a version is trained and published: the repository stays readable, and the same command completes."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nextcart.models.recommender import Recommender
from nextcart.repository.repository import Repository
from tests.running import as_json, environment, nextcart

MOMENTS = 10


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("kill")
    nextcart("synth", "--scale", "0.2", "--output", "shop.jsonl", cwd=folder)
    nextcart("ingest", "shop.jsonl", cwd=folder)
    return folder


@pytest.mark.slow
def test_killed_at_random_moments_nothing_is_half_there(shop: Path) -> None:
    began = time.monotonic()
    first = as_json("train", cwd=shop)["version"]
    seconds = time.monotonic() - began
    nextcart("promote", cwd=shop)
    repository = Repository(shop / "var/models")
    moments = random.Random(20261124)
    killed = 0
    for _ in range(MOMENTS):
        process = subprocess.Popen(
            [sys.executable, "-m", "nextcart", "train"],
            cwd=shop,
            env=environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        # Most of the run is start-up and training; half the kills are aimed at its end, where the version is published.
        share = moments.uniform(0.0, 1.0) if moments.random() < 0.5 else moments.uniform(0.8, 1.05)
        try:
            process.wait(share * seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            killed += 1
        process.wait()
        assert repository.aliases().production == first
        assert repository.broken() == []
        for manifest in repository.versions():
            Recommender.load(repository.folder(manifest.version))
    assert killed >= MOMENTS // 2
    last = as_json("train", cwd=shop)["version"]
    assert repository.aliases().candidate == last
    assert not list((shop / "var/models").glob(".staging-*"))
    nextcart("promote", cwd=shop)
    assert repository.aliases().production == last
