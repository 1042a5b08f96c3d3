"""A training that was killed is gone on with from the last fitted model, to the very bytes of an undisturbed one."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.running import as_json, environment, nextcart

DIE_IN = """
import os, signal, sys
from nextcart.cli.main import main
from nextcart.models.item2vec import Item2vec
def die(*_):
    os.kill(os.getpid(), signal.SIGKILL)
Item2vec.fit = die
sys.argv = ["nextcart", *sys.argv[1:]]
main()
"""
KEPT = ("ranker", "top_sellers", "covisitation", "bought_together")


def contents(models: Path, version: str) -> dict[str, bytes]:
    """Every file of a version but its manifest."""
    folder = models / "versions" / version
    files = sorted(file for file in folder.rglob("*") if file.is_file() and file.name != "manifest.json")
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


def artifacts(manifest: dict[str, Any]) -> list[Any]:
    found = manifest["artifacts"]
    assert isinstance(found, list)
    return found


def killed_in_item2vec(cwd: Path, *arguments: str) -> None:
    """A training of the true command that is killed between two models."""
    done = subprocess.run([sys.executable, "-c", DIE_IN, "train", *arguments], cwd=cwd, env=environment(), timeout=120)
    assert done.returncode == -signal.SIGKILL


def records(models: Path) -> list[dict[str, Any]]:
    return [
        json.loads(file.read_text()) for file in sorted((models / "records").iterdir(), key=lambda f: f.stat().st_mtime)
    ]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("resume")
    nextcart("synth", "--scale", "0.2", "--output", "shop.jsonl", cwd=folder)
    nextcart("ingest", "shop.jsonl", cwd=folder)
    nextcart("split", cwd=folder)
    # Above this many vectors they are clustered for their neighbours, which must come out the same as well.
    (folder / "nextcart.toml").write_text("[training]\ndeterministic = true\n[models.item2vec]\nexact_below = 100\n")
    return folder


def test_a_killed_training_is_gone_on_with_to_the_same_bytes(shop: Path) -> None:
    undisturbed = as_json("train", "--models", "undisturbed", cwd=shop)
    killed_in_item2vec(shop, "--models", "killed")
    models = shop / "killed"
    (unfinished,) = (models / "unfinished").iterdir()
    assert {entry.name for entry in unfinished.iterdir()} == {".lock", *KEPT}
    (record,) = records(models)
    assert record["status"] == "running"
    assert [timing["stage"] for timing in record["timings"]] == ["read", *KEPT]

    done = nextcart("train", "--json", "--models", "killed", cwd=shop)
    manifest = json.loads(done.stdout)
    for name in KEPT:
        assert f"{name}, taken from the run that stopped after 20" in done.stderr
    assert "item2vec\n" in done.stderr
    # Neither they nor the ranker, which counts them of the past of each of its cuts, are fitted anew.
    assert not [line for line in done.stderr.splitlines() if line.startswith("co-visitation")]
    assert contents(models, manifest["version"]) == contents(shop / "undisturbed", undisturbed["version"])
    assert artifacts(manifest) == artifacts(undisturbed)
    assert list((models / "unfinished").iterdir()) == []
    last = records(models)[-1]
    assert (last["status"], set(last["facts"]["taken"])) == ("done", set(KEPT))
    nextcart("promote", "--models", "killed", cwd=shop)


def test_other_settings_fit_anew_and_what_is_left_goes_with_the_next_success(shop: Path) -> None:
    killed_in_item2vec(shop, "--models", "changed")
    (shop / "other.toml").write_text("[models.covisitation]\ntop_n = 10\n")
    done = nextcart("train", "--models", "changed", "--config", "other.toml", cwd=shop)
    assert "taken" not in done.stderr
    assert list((shop / "changed/unfinished").iterdir()) == []


def test_fresh_fits_every_model(shop: Path) -> None:
    killed_in_item2vec(shop, "--models", "fresh")
    done = nextcart("train", "--models", "fresh", "--fresh", cwd=shop)
    assert "taken" not in done.stderr
    assert "co-visitation (main)" in done.stderr
    assert list((shop / "fresh/unfinished").iterdir()) == []


SLEEP_IN = DIE_IN.replace("os.kill(os.getpid(), signal.SIGKILL)", "sys.stdin.read()")


def test_the_same_training_twice_at_once_is_refused_with_the_holder_named(shop: Path) -> None:
    first = subprocess.Popen(
        [sys.executable, "-c", SLEEP_IN, "train", "--models", "twice"],
        cwd=shop,
        env=environment(),
        stdin=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 240
        while not list((shop / "twice").glob("unfinished/*/bought_together")):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        refused = nextcart("train", "--models", "twice", cwd=shop, code=1)
        assert (
            "another nextcart process is training the same models on the same events: "
            f"'nextcart train --models twice' (process {first.pid} on host "
        ) in refused.stderr
        assert refused.stderr.count("\n") == 1
        nextcart("train", "--models", "twice", "--only", "top_sellers", cwd=shop)
        assert list((shop / "twice").glob("unfinished/*/bought_together"))
    finally:
        first.kill()
        first.communicate()
    assert nextcart("train", "--models", "twice", cwd=shop).stderr.count("taken from the run") == len(KEPT)
