"""Real logs the whole way: ingest, train, evaluate, recommend and serve. Skips where ../shared/data is not there."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.running import as_json, nextcart, serving, shared

LOGS = {
    "google_merch.jsonl.gz": (162_014, 29_434, 372),
    "bol_serenade.jsonl.gz": (116_285, 24_385, 18_009),
    "otto_official_sample.jsonl.gz": (862, 20, None),
}


@dataclass(frozen=True)
class Trained:
    """A real log in a store, and a version in production."""

    log: Path
    folder: Path
    ingested: dict[str, Any]
    manifest: dict[str, Any]


@pytest.fixture(scope="module", params=LOGS)
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    log, folder = shared(request.param), tmp_path_factory.mktemp("real")
    ingested = as_json("ingest", log, cwd=folder)
    nextcart("split", cwd=folder)
    manifest = as_json("train", cwd=folder)
    nextcart("promote", cwd=folder)
    return Trained(log, folder, ingested, manifest)


def test_the_whole_way(trained: Trained) -> None:
    log, folder, ingested = trained.log, trained.folder, trained.ingested
    events, sessions, items = LOGS[log.name]
    assert (ingested["events"], ingested["sessions"]) == (events, sessions)
    assert items in (None, ingested["items"])
    assert not ingested["rejects"]
    evaluated = as_json("evaluate", cwd=folder)
    assert evaluated["version"] == trained.manifest["version"]
    assert evaluated["metrics"] == trained.manifest["evaluations"][0]["metrics"]
    assert evaluated["sessions"] == as_json("split", cwd=folder)["val_split"]["sessions"]
    nextcart("recommend", log, "--output", "lists.jsonl", cwd=folder)
    answers = (folder / "lists.jsonl").read_text().splitlines()
    assert [json.loads(line)["session"] for line in lines_of(log)] == [json.loads(line)["session"] for line in answers]
    with serving(folder) as client:
        session = json.loads(lines_of(log)[0])
        answer = client.post("/v1/recommend", json={"events": session["events"]}).json()
        assert len(answer["recommendations"]) == 20
        assert answer["model_version"] == trained.manifest["version"]


@pytest.mark.parametrize("trained", ["bol_serenade.jsonl.gz"], indirect=True)
def test_the_models_have_learned_something(trained: Trained) -> None:
    """On bol's clicks, co-visitation and the hybrid find many times what popularity finds."""
    metrics = trained.manifest["evaluations"][0]["metrics"]
    recall = {model: by_mode["next"]["recall"] for model, by_mode in metrics.items()}
    assert recall["top_sellers"] < 0.05
    assert recall["covisitation"] > 0.25
    assert recall["hybrid"] > 0.25
    assert recall["item2vec"] > 0.05


def test_a_held_out_file_is_evaluated_like_a_validation_split(tmp_path: Path) -> None:
    log = shared("google_merch.jsonl.gz")
    lines = lines_of(log)
    cut = int(len(lines) * 0.8)
    (tmp_path / "train.jsonl").write_text("".join(lines[:cut]))
    (tmp_path / "test.jsonl").write_text("".join(lines[cut:]))
    nextcart("ingest", "train.jsonl", cwd=tmp_path)
    nextcart("ingest", "test.jsonl", "--split", "test", cwd=tmp_path)
    nextcart("train", "--only", "hybrid", cwd=tmp_path)
    nextcart("promote", cwd=tmp_path)
    found = as_json("evaluate", cwd=tmp_path)
    assert found["split"] == "test"
    assert found["sessions"] == len(lines) - cut
    kept = as_json("models", cwd=tmp_path)["versions"][0]["evaluations"]
    assert [each["split"] for each in kept] == ["test"]


def lines_of(log: Path) -> list[str]:
    with gzip.open(log, "rt", encoding="utf-8") as stream:
        return stream.readlines()
