"""kill -9 while a version is trained and published: the repository stays readable, and the same command completes."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest

from nextcart.models.recommender import Recommender
from nextcart.repository.repository import Repository
from tests.running import as_json, killed, nextcart

MOMENTS = 10


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("kill")
    nextcart("synth", "--scale", "0.1", "--output", "shop.jsonl", cwd=folder)
    nextcart("ingest", "shop.jsonl", cwd=folder)
    return folder


@pytest.mark.slow
def test_killed_at_random_moments_nothing_is_half_there(shop: Path) -> None:
    first = as_json("train", cwd=shop)["version"]
    nextcart("promote", cwd=shop)
    # The first run also compiled kernels and made the training arrays.
    began = time.monotonic()
    nextcart("train", "--fresh", cwd=shop)
    seconds = time.monotonic() - began
    repository = Repository(shop / "var/models")
    moments = random.Random(20261124)
    kills = 0
    for run in range(3 * MOMENTS):
        if kills == MOMENTS:
            break
        # Every other run goes on from what the one before left, and is over sooner.
        # Most of the run is training; half the kills are aimed at its end, where the version is published.
        share = moments.uniform(0.0, 1.0) if moments.random() < 0.5 else moments.uniform(0.8, 1.05)
        kills += killed("train", *(["--fresh"] if run % 2 else []), cwd=shop, after=share * seconds)
        assert repository.aliases().production == first
        assert repository.broken() == []
        for manifest in repository.versions():
            Recommender.load(repository.folder(manifest.version))
    assert kills == MOMENTS
    last = as_json("train", cwd=shop)["version"]
    assert repository.aliases().candidate == last
    assert not list((shop / "var/models").glob(".staging-*"))
    nextcart("promote", cwd=shop)
    assert repository.aliases().production == last
