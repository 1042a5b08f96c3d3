"""The demo as a newcomer meets it: the true commands, and at the end what a person wants to see."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.acceptance.conftest import Workplace
from tests.running import nextcart

STEPS = ("ingest", "profile", "split", "train", "evaluate", "promote", "inspect")


@pytest.fixture(scope="module")
def grocery(tmp_path_factory: pytest.TempPathFactory) -> str:
    return nextcart("demo", cwd=tmp_path_factory.mktemp("demo")).stdout


def test_it_shows_every_command_that_it_runs(grocery: str) -> None:
    assert re.findall(r"^\$ nextcart (\w+)", grocery, re.MULTILINE) == list(STEPS)
    assert re.search(r"^\$ nextcart train .*--config var/demo/grocery/nextcart\.toml$", grocery, re.MULTILINE)


def test_it_ends_with_what_a_person_wants_to_see(grocery: str) -> None:
    for heading in ("metrics by model", "the 10 top sellers", "bought together", "one session replayed"):
        assert f" {heading}" in grocery
    sellers = grocery.split("the 10 top sellers")[1].split("bought together")[0]
    assert len(re.findall(r"│ \d+ +│ [A-Z]\w+", sellers)) == 10
    assert len(re.findall(r"^with [A-Z]", grocery, re.MULTILINE)) == 3
    assert "next events were among the 10 recommended" in grocery
    assert grocery.rstrip().endswith("nextcart serve --models var/demo/grocery/models")


def test_on_a_synthetic_shop_all_event_types_are_there(tmp_path: Path) -> None:
    text = nextcart("demo", "--data", "synth", cwd=tmp_path).stdout
    assert re.findall(r"^\$ nextcart (\w+)", text, re.MULTILINE) == ["synth", *STEPS]
    assert all(re.search(rf"events: {kind}\s+│\s+[1-9]", text) for kind in ("clicks", "carts", "orders"))


def test_on_a_file_of_ones_own(workplace: Workplace, tmp_path: Path) -> None:
    text = nextcart("demo", "--data", workplace.log, cwd=tmp_path, interpreter=True).stdout
    assert re.findall(r"^\$ nextcart (\w+)", text, re.MULTILINE) == list(STEPS)
    assert len([*tmp_path.glob("var/demo/own-shop-*/profile.html")]) == 1
