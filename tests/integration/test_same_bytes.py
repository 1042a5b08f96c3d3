"""Two trainings with one seed and ``deterministic`` give the same bytes but for names and times."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.running import LESS, as_json, nextcart

TIMES = ("version", "created_at", "timings", "evaluations")


def contents(version: Path) -> dict[str, bytes]:
    files = sorted(file for file in version.rglob("*") if file.is_file() and file.name != "manifest.json")
    return {str(file.relative_to(version)): file.read_bytes() for file in files}


def test_a_training_can_be_repeated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(LESS, "NEXTCART__MODELS__RANKER__FOLDS", "2")
    nextcart("synth", "--scale", "0.3", "--output", "shop.jsonl", cwd=tmp_path)
    nextcart("ingest", "shop.jsonl", cwd=tmp_path)
    nextcart("split", cwd=tmp_path)
    # Above this many vectors they are clustered for their neighbours, which must be repeatable as well.
    (tmp_path / "nextcart.toml").write_text("[training]\ndeterministic = true\n[models.item2vec]\nexact_below = 100\n")
    # Forks would hash alike.
    versions = [as_json("train", cwd=tmp_path, interpreter=True)["version"] for _ in range(2)]
    first, second = (tmp_path / "var/models/versions" / version for version in versions)
    assert contents(first) == contents(second)
    assert {"item2vec", "ranker"} <= {Path(name).parts[0] for name in contents(first)}
    manifests = [json.loads((version / "manifest.json").read_text()) for version in (first, second)]
    for manifest in manifests:
        for key in TIMES:
            manifest.pop(key)
    assert manifests[0] == manifests[1]
