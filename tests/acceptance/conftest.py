"""A small shop taken the whole way by the command line, once for all acceptance tests."""

from __future__ import annotations

import fcntl
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.running import nextcart

LOG = "shop.jsonl"


@dataclass(frozen=True)
class Workplace:
    """A folder with a shop's log, its store, and a version in production."""

    folder: Path
    log: Path


@pytest.fixture(scope="session")
def workplace(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Workplace:
    """Made once for all processes that tests run in; each has a copy, as tests promote and roll back in it."""
    folder = tmp_path_factory.mktemp("workplace")
    own = tmp_path_factory.getbasetemp()
    of_all = (own if worker_id == "master" else own.parent) / "workplace.made"
    with of_all.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if of_all.exists():
            shutil.copytree(of_all, folder, dirs_exist_ok=True)
        else:
            go_the_whole_way(folder)
            Path(shutil.copytree(folder, of_all.with_suffix(".half"))).rename(of_all)
    return Workplace(folder, folder / LOG)


def go_the_whole_way(folder: Path) -> None:
    synth = ("synth", "--scale", "0.1", "--seed", "7", "--output", LOG)
    for command in (synth, ("ingest", LOG), ("split",), ("train",), ("promote",)):
        nextcart(*command, cwd=folder)
