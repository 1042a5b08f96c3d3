"""Each command on events and models leaves a record of what it took, also where it fails."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.raw_files import many_lines, write
from tests.running import nextcart

FIGURES = ("wall_seconds", "cpu_seconds", "peak_memory_bytes", "read_bytes", "written_bytes")


def records(folder: Path) -> dict[str, dict[str, Any]]:
    """The record of each step; one each."""
    found = [json.loads(file.read_text()) for file in (folder / "records").iterdir()]
    assert len({record["step"] for record in found}) == len(found)
    return {record["step"]: record for record in found}


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("records")
    write(folder / "shop.jsonl", [*many_lines(300), "bad"])
    for command in ("ingest shop.jsonl", "split", "profile", "train", "evaluate --version candidate --split val_split"):
        nextcart(*command.split(), cwd=folder)
    return folder


def test_every_step_leaves_what_it_took(shop: Path) -> None:
    of_store, of_models = records(shop / "var/store"), records(shop / "var/models")
    assert set(of_store) == {"ingest", "split", "profile"}
    assert set(of_models) == {"train", "evaluate"}
    for step, record in {**of_store, **of_models}.items():
        assert record["status"] == "done", step
        assert record["error"] is None
        assert all(record[figure] > 0 for figure in FIGURES), record
        assert record["command"].startswith(f"nextcart {step}")
    assert of_store["ingest"]["facts"] | {"files": []} == {
        "split": "train",
        "files": [],
        "events": 3000,
        "duplicates": 0,
        "rejects": 1,
        "events_now": 3000,
        "sessions_now": 300,
    }
    split = of_store["split"]["facts"]
    assert split["events"] == 3000 == split["train_split_events"] + split["val_split_events"]
    assert of_store["profile"]["facts"]["events"] == 3000
    assert of_models["train"]["facts"]["events"] == split["train_split_events"]
    assert of_models["evaluate"]["facts"]["events"] == split["val_split_events"]


@pytest.mark.parametrize(
    ("command", "code", "error", "where"),
    [
        ("ingest none.jsonl", 2, "UnreadableInput: none.jsonl: there is no such file", "var/store"),
        ("ingest none.jsonl --store new", 2, "UnreadableInput: none.jsonl: there is no such file", "new"),
        ("split --quantile 0.999999", 2, "InputError: the val_split part would be empty", "var/store"),
        ("profile --output var", 2, "InputError: --output var: is a directory", "var/store"),
        ("train --only nothing", 2, "InputError: no model 'nothing'", "var/models"),
        ("evaluate --version candidate --only nothing --split val_split", 2, "InputError: no model", "var/models"),
    ],
)
def test_a_step_that_fails_leaves_a_record_too(
    shop: Path, tmp_path: Path, command: str, code: int, error: str, where: str
) -> None:
    for name in ("shop.jsonl", "var"):
        (tmp_path / name).symlink_to(shop / name)
    folder = tmp_path / where / "records"
    before = set(folder.glob("*"))
    nextcart(*command.split(), cwd=tmp_path, code=code)
    (made,) = set(folder.glob("*")) - before
    record = json.loads(made.read_text())
    made.unlink()
    assert record["status"] == "failed"
    assert record["error"].startswith(error)


def test_where_there_is_no_store_none_is_made_for_a_record(tmp_path: Path) -> None:
    for command in ("split", "profile", "train"):
        nextcart(command, cwd=tmp_path, code=2)
    assert list(tmp_path.iterdir()) == []
