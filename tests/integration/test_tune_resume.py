"""A tuning that was killed goes on to the result of an undisturbed one; its file trains a version."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.running import as_json, environment, nextcart

DIE_IN = """
import os, signal, sys
from nextcart.cli.main import main
from nextcart.pipeline.held_back import HeldBack
true, left = HeldBack.found_by, [2]
def found_by(*arguments):
    if not left[0]:
        os.kill(os.getpid(), signal.SIGKILL)
    left[0] -= 1
    return true(*arguments)
HeldBack.found_by = found_by
sys.argv = ["nextcart", *sys.argv[1:]]
main()
"""
TUNE = ("tune", "--only", "session_neighbours", "--trials", "3")


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tune")
    nextcart("synth", "--scale", "0.2", "--output", "shop.jsonl", cwd=folder)
    nextcart("ingest", "shop.jsonl", cwd=folder)
    return folder


def journals(models: Path) -> list[Path]:
    return sorted((models / "tuning").glob("*/*.jsonl"))


def tried(models: Path) -> list[object]:
    (file,) = journals(models)
    return [
        [line[key] for key in ("number", "values", "recall", "mrr")]
        for line in map(json.loads, file.read_text().splitlines())
    ]


def test_a_killed_tuning_loses_the_running_trial_alone_and_ends_alike(shop: Path) -> None:
    undisturbed = as_json(*TUNE, "--models", "undisturbed", "--output", "a.toml", cwd=shop)
    killed = (*TUNE, "--models", "killed", "--output", "b.toml")
    done = subprocess.run([sys.executable, "-c", DIE_IN, *killed], cwd=shop, env=environment(), timeout=120)
    assert done.returncode == -signal.SIGKILL
    assert tried(shop / "killed") == tried(shop / "undisturbed")[:2]
    assert not (shop / "b.toml").exists()

    resumed = as_json(*killed, cwd=shop)
    assert resumed["models"][0]["taken"] == 2
    assert tried(shop / "killed") == tried(shop / "undisturbed")
    assert (shop / "b.toml").read_bytes() == (shop / "a.toml").read_bytes()
    assert resumed["toml"] == undisturbed["toml"]


def test_more_trials_go_on_and_fresh_ones_do_not(shop: Path) -> None:
    run = ("tune", "--only", "covisitation", "--models", "more", "--output", "c.toml")
    assert as_json(*run, "--trials", "2", cwd=shop)["models"][0]["taken"] == 0
    assert as_json(*run, "--trials", "3", cwd=shop)["models"][0]["taken"] == 2
    assert as_json(*run, "--trials", "2", "--fresh", cwd=shop)["models"][0]["taken"] == 0


def test_time_that_is_up_leaves_the_default_settings_measured(shop: Path) -> None:
    found = as_json(*TUNE, "--seconds", "0", "--models", "short", "--output", "d.toml", cwd=shop)
    (model,) = found["models"]
    assert (model["trials"], model["adopted"], model["values"]) == (1, False, {})
    assert tomllib.loads((shop / "d.toml").read_text()) == {}
    assert nextcart("train", "--only", "session_neighbours", "--config", "d.toml", cwd=shop).returncode == 0
