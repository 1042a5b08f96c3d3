"""``nextcart tune`` as a person meets it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.acceptance.conftest import Workplace
from tests.running import environment, nextcart


def test_help_has_an_example(tmp_path: Path) -> None:
    assert "Example: nextcart tune" in " ".join(nextcart("tune", "--help", cwd=tmp_path).stdout.split())


def test_bad_input_is_one_line_with_exit_code_2(workplace: Workplace, tmp_path: Path) -> None:
    store = ("--store", workplace.folder / "var/store")
    for arguments, said in (
        (("--only", "item2vec"), "'item2vec' cannot be tuned; there are session_neighbours"),
        (("--on", "val_split"), "is held out; train on 'all' or 'train_split'"),
        (("--output", tmp_path), "is a directory; name a file"),
    ):
        done = nextcart("tune", *store, *arguments, cwd=tmp_path, code=2)
        assert said in done.stderr
        assert done.stderr.count("\n") == 1


def test_a_missing_optuna_is_said_with_the_remedy(workplace: Workplace) -> None:
    hidden = "import sys; sys.modules['optuna'] = None; from nextcart.cli.main import main; sys.argv[0] = 'n'; main()"
    done = subprocess.run(
        [sys.executable, "-c", hidden, "tune"],
        cwd=workplace.folder,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    assert done.stderr == "nextcart: tuning needs Optuna; install it with: pip install 'nextcart[tune]'\n"


def test_tuning_says_what_it_gained_and_the_file_trains(workplace: Workplace, tmp_path: Path) -> None:
    nextcart("synth", "--scale", "0.2", "--output", "shop.jsonl", cwd=tmp_path)
    nextcart("ingest", "shop.jsonl", cwd=tmp_path)
    tune = ("tune", "--only", "covisitation", "--trials", "3", "--output", "found.toml")
    done = nextcart(*tune, cwd=tmp_path, interpreter=True)
    assert "covisitation" in done.stdout
    assert "found.toml" in done.stdout
    assert "tuning covisitation" in done.stderr
    nextcart("train", "--only", "covisitation", "--config", "found.toml", cwd=tmp_path)
