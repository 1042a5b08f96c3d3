"""Parts of the demo that its acceptance tests do not reach."""

import os
from pathlib import Path

import numpy as np
import pytest

from nextcart.cli import demo, demo_data
from nextcart.cli.demo import _everyday, _own_folder
from nextcart.cli.demo_data import prepare_grocery
from nextcart.cli.tables import Names
from nextcart.config import LogBilinearConfig, ModelsConfig, SplitConfig, load_settings
from nextcart.errors import InputError, RunFailed
from nextcart.events.ingest import ingest
from nextcart.events.split import split
from nextcart.events.store import Store
from nextcart.models.model import FitOptions
from nextcart.models.recommender import Recommender
from nextcart.pipeline.unfold import typical_session
from tests.raw_files import START, event, line, write
from tests.shop import make_shop


def test_the_folder_of_ones_own_file_is_another_for_another_file_content_or_mapping(tmp_path):
    (tmp_path / "other").mkdir()
    shop, other = tmp_path / "my.shop.jsonl", tmp_path / "other" / "my.shop.jsonl"
    for file in (shop, other):
        file.touch()
    names = {_own_folder(shop, None, None), _own_folder(other, None, None), _own_folder(shop, None, "a=clicks")}
    assert _own_folder(shop, None, None) in names
    os.utime(shop, ns=(1, 1))
    names.add(_own_folder(shop, None, None))
    assert len(names) == 4
    assert all(name.startswith("own-my-") for name in names)
    assert _own_folder(tmp_path / "none.jsonl", None, None).startswith("own-none-")


def test_there_may_be_no_session_to_replay(tmp_path):
    lines = [line(n, event(1, START + 10 * n), *([event(2, START + 10 * n + 1)] if n < 15 else [])) for n in range(20)]
    ingest([write(tmp_path / "a.jsonl", lines)], tmp_path / "store")
    split(tmp_path / "store", SplitConfig(quantile=0.8))
    assert typical_session(Store.open(tmp_path / "store"), "val_split") is None
    split(tmp_path / "store", SplitConfig(quantile=0.6))
    assert typical_session(Store.open(tmp_path / "store"), "val_split") in {str(n) for n in range(12, 15)}


def test_everyday_items_differ_in_name():
    shop = make_shop()
    recommender = Recommender.fit(shop.vocabulary, shop.arrays, ModelsConfig(), FitOptions(), ["bought_together"])
    rows = np.array([*range(20), -1], np.int32)
    first, second, *_ = plain = _everyday(recommender, rows, Names())
    assert len(plain) == demo.PRODUCTS
    ids = recommender.vocabulary.ids(np.array([first, second], np.int32))
    chosen = _everyday(recommender, rows, Names({str(aid): "Milk" for aid in ids}))
    assert chosen[0] == first
    assert second not in chosen
    assert len(chosen) == demo.PRODUCTS


@pytest.mark.parametrize(("code", "kind"), [(2, InputError), (1, RunFailed), (-9, RunFailed)])
def test_a_step_that_fails_ends_the_demo(monkeypatch, code, kind):
    class Done:
        returncode = code

    monkeypatch.setattr(demo.subprocess, "run", lambda command, check: Done)
    with pytest.raises(kind, match=f"'nextcart ingest' failed with exit code {code}; see the line above"):
        demo._run("ingest", "a.jsonl")


def test_the_grocery_data_is_prepared_once(tmp_path, monkeypatch):
    made = prepare_grocery(tmp_path / "demo")
    before = made.events.stat().st_mtime_ns
    assert made.names.read_text().startswith("aid,name\n")
    assert load_settings(made.settings).models.log_bilinear.max_steps < LogBilinearConfig().max_steps
    assert prepare_grocery(tmp_path / "demo") == made
    assert made.events.stat().st_mtime_ns == before
    monkeypatch.setattr(demo_data, "find_spec", lambda name: None)
    assert prepare_grocery(tmp_path / "demo") == made
    with pytest.raises(InputError, match=r"run pip install 'nextcart\[demo\]', or use --data synth"):
        prepare_grocery(tmp_path / "other")


def test_a_folder_that_cannot_take_the_grocery_data_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(RunFailed, match=r"file/demo: the grocery data cannot be put there .*; free some space"):
        prepare_grocery(tmp_path / "file" / "demo")


def test_what_duckdb_cannot_write_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(Path, "mkdir", lambda *args, **kwargs: None)
    with pytest.raises(RunFailed, match="the grocery data cannot be put there"):
        prepare_grocery(tmp_path / "missing")
