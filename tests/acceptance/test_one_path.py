"""What ``nextcart recommend`` writes for a session is what ``POST /v1/recommend`` answers."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from nextcart.cli.main import app
from tests.acceptance.conftest import Workplace
from tests.running import serving

MODELS = ("top_sellers", "covisitation", "bought_together", "item2vec", "hybrid")
MODES = ("next", "discover")
OBJECTIVES = ("clicks", "carts", "orders")


def test_batch_file_and_http_agree_for_every_model_mode_and_objective(workplace: Workplace, tmp_path: Path) -> None:
    sessions = [json.loads(line) for line in workplace.log.read_text().splitlines()[:60]]
    sessions.append({"session": 10**12, "events": []})
    sessions.append({"session": 10**12 + 1, "events": [{"aid": 10**15, "ts": 1_659_304_800_025, "type": "carts"}]})
    # Out of order, and equal times: both sides must put the events in the same order.
    sessions.append({"session": 10**12 + 2, "events": sessions[0]["events"][::-1] + sessions[0]["events"][:1]})
    asked = tmp_path / "ask.jsonl"
    asked.write_text("".join(json.dumps(session) + "\n" for session in sessions))
    with serving(workplace.folder) as client:
        for model, mode, objective in itertools.product(MODELS, MODES, OBJECTIVES):
            options = ("--model", model, "--mode", mode, "--objective", objective, "--limit", "12")
            where = ("--models", workplace.folder / "var/models", "--output", tmp_path / "lists.jsonl")
            done = CliRunner().invoke(app, ["recommend", *map(str, (asked, *options, *where))], catch_exceptions=False)
            assert done.exit_code == 0
            lines = (tmp_path / "lists.jsonl").read_text().splitlines()
            bodies = [
                {"events": session["events"], "limit": 12, "model": model, "mode": mode, "objective": objective}
                for session in sessions
            ]
            batch = client.post("/v1/recommend/batch", json={"requests": bodies}).json()["responses"]
            for line, body, together in zip(map(json.loads, lines), bodies, batch, strict=True):
                alone = client.post("/v1/recommend", json=body).json()
                for answer in (alone, together):
                    assert [each["aid"] for each in answer["recommendations"]] == line["items"]
                    scores = [each["score"] for each in answer["recommendations"]]
                    assert scores == pytest.approx(line["scores"], rel=1e-6)
                assert alone["fallback"] == together["fallback"]
