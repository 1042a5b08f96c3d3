"""A small shop taken the whole way by the command line, once for all acceptance tests."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.running import nextcart


@dataclass(frozen=True)
class Workplace:
    """A folder with a shop's log, its store, and a version in production."""

    folder: Path
    log: Path


@pytest.fixture(scope="session")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Workplace:
    folder = tmp_path_factory.mktemp("workplace")
    log = folder / "shop.jsonl"
    nextcart("synth", "--scale", "0.1", "--seed", "7", "--output", log, cwd=folder)
    for command in (("ingest", log), ("split",), ("train",), ("promote",)):
        nextcart(*command, cwd=folder)
    return Workplace(folder, log)
