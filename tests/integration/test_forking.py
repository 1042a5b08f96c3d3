"""A command in a fork is what it is in an interpreter of its own."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests import forking
from tests.running import environment, nextcart


@pytest.mark.parametrize(
    ("command", "code"), [("--version", 0), ("promote --models none", 2), ("synth --output x --preset big", 2)]
)
def test_it_says_and_returns_the_same(tmp_path: Path, command: str, code: int) -> None:
    forked, started = (nextcart(*command.split(), cwd=tmp_path, code=code, interpreter=own) for own in (False, True))
    assert (forked.stdout, forked.stderr) == (started.stdout, started.stderr)
    assert forked.stdout + forked.stderr


def test_it_has_the_folder_and_the_settings_that_it_was_given_alone(tmp_path: Path) -> None:
    settings = [environment() | {"NEXTCART__SYNTH__SCALE": "1"}, environment()]
    codes = []
    for number, given in enumerate(settings):
        folder = tmp_path / str(number)
        folder.mkdir()
        synth = ["synth", "--scale", "0.01", "--output", "shop.jsonl"]
        codes += [forking.run(asked, folder, given, 60).returncode for asked in (synth, ["ingest", "shop.jsonl"])]
        assert (folder / "shop.jsonl").exists()
    assert codes == [0, 2, 0, 0]


def test_it_is_killed_when_its_time_is_up(tmp_path: Path) -> None:
    done = forking.run(["synth", "--scale", "20", "--output", "shop.jsonl"], tmp_path, environment(), 0.2)
    assert done.returncode == -signal.SIGKILL
