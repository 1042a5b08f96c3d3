"""What holds sessions' ids is for its owner alone, whatever the umask says."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from nextcart.disk import make_private
from nextcart.errors import LogFull
from nextcart.serving.event_log import EventLog, Exposure, ExposureLog, erase
from nextcart.serving.event_log import active as active_module
from nextcart.serving.rules.document import Rules
from nextcart.serving.rules.files import RulesFiles
from tests.event_logs import click, endings, with_log
from tests.unit.serving.event_log.test_exposures import with_exposures


@pytest.fixture(autouse=True)
def _open_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


def modes(folder: Path) -> set[tuple[bool, int]]:
    """Of a folder and all in it: whether it is a folder, and its permissions."""
    return {(path.is_dir(), path.stat().st_mode & 0o777) for path in [folder, *folder.rglob("*")]}


PRIVATE = {(True, 0o700), (False, 0o600)}


def test_events_in_every_form_of_a_segment(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    async def use(log: EventLog) -> None:
        await log.append([click("a"), click("b")])
        assert endings(state / "event_log") == [".open"]
        assert modes(state) == PRIVATE
        with monkeypatch.context() as patch:
            patch.setattr(active_module.os, "fdatasync", fail)
            with pytest.raises(LogFull):
                await log.append([click("c")])
        # The segment is written anew.
        await log.append([click("c")])
        assert modes(state) == PRIVATE
        await log.erase(["a"])
        assert modes(state) == PRIVATE
        await log.tick()

    with_log(state / "event_log", use)
    assert endings(state / "event_log") == [".jsonl.zst"]
    erase(state / "event_log", ["b"])
    assert modes(state) == PRIVATE


def test_exposures(state: Path) -> None:
    async def use(log: ExposureLog) -> None:
        log.expose(Exposure(1, "r", 1, "v1", "clicks", [1]))

    with_exposures(state / "exposures", use)
    assert modes(state) == PRIVATE


def test_a_folder_that_is_there_stays_as_it_is(state: Path) -> None:
    state.mkdir(mode=0o755)
    make_private(state / "a" / "b")
    assert [path.stat().st_mode & 0o777 for path in (state, state / "a", state / "a" / "b")] == [0o755, 0o700, 0o700]
    make_private(state)
    assert state.stat().st_mode & 0o777 == 0o755


def test_the_rules_lie_in_folders_of_their_owner(state: Path) -> None:
    files = RulesFiles(state)
    with files.held():
        files.keep(1, files.write(Rules(1)))
    assert {path for is_folder, path in modes(state) if is_folder} == {0o700}
