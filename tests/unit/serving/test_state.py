from __future__ import annotations

import logging
from pathlib import Path

import pytest

from nextcart.serving.state import tell_of_state


@pytest.fixture
def told(caplog: pytest.LogCaptureFixture):
    def tell(folder: Path) -> list[str]:
        caplog.clear()
        with caplog.at_level(logging.INFO, "nextcart"):
            tell_of_state(folder)
        return [record.message for record in caplog.records]

    return tell


def test_a_folder_that_can_be_written_is_made_and_nothing_is_said(tmp_path: Path, told) -> None:
    state = tmp_path / "var" / "state"
    assert told(state) == []
    assert state.stat().st_mode & 0o777 == 0o700
    (state / "event_log").mkdir()
    assert told(state) == []
    assert [path.name for path in state.rglob("*")] == ["event_log"]


def test_a_folder_that_cannot_be_made_is_named_with_the_remedy(tmp_path: Path, told) -> None:
    (tmp_path / "file").touch()
    (message,) = told(tmp_path / "file" / "state")
    assert message.startswith(f"{tmp_path}/file/state: cannot be written (File exists)")
    assert "serving.state" in message


def test_a_folder_within_that_is_another_user_s_is_named(tmp_path: Path, told, monkeypatch) -> None:
    for name in ("event_log", "exposures"):
        (tmp_path / name).mkdir()

    def refuse(folder: Path) -> None:
        if folder.name == "event_log":
            raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("nextcart.serving.state._try_to_write", refuse)
    (message,) = told(tmp_path)
    assert message.startswith(f"{tmp_path}/event_log: cannot be written (Permission denied)")
