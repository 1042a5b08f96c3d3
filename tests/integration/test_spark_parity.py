"""Spark, DuckDB's SQL and the kernels count the same: on real logs and on a synthetic shop with ids of text.

Compared are: every row of an answer, with doubles to 1e-9; the models' arrays, which hold float32, bit by bit, between
all three; and the doubles of DuckDB's SQL with the naive definitions in plain Python, to 1e-9.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from typer.testing import CliRunner

from nextcart.cli.main import app
from nextcart.config import (
    BoughtTogetherConfig,
    CovisitationConfig,
    MatrixConfig,
    ModelsConfig,
    SparkConfig,
    SplitConfig,
    TypeWeights,
)
from nextcart.events.engine import Engine, duckdb_engine, opener
from nextcart.events.profile import profile
from nextcart.events.schema import SPLITS, StoreManifest
from nextcart.events.spark_engine import spark_engine
from nextcart.events.split import split
from nextcart.events.store import Store
from nextcart.models.arrays import training_arrays
from nextcart.models.bought_together import BoughtTogether
from nextcart.models.counted import Counts
from nextcart.models.covisitation import Covisitation
from nextcart.models.item2vec import Item2vec
from nextcart.models.model import FitOptions, TrainingArrays
from nextcart.models.top_sellers import TopSellers
from nextcart.models.vocabulary import Vocabulary
from tests import naive
from tests.running import nextcart, shared

LOGS = ("google_merch", "bol_serenade")
SPARK = SparkConfig(
    master="local[2]",
    memory_mib=1024,
    # The first of Java's compilers alone: a test's queries are over before the second has paid for itself.
    conf={"spark.sql.shuffle.partitions": "2", "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1"},
)
NEAR = MatrixConfig(
    last_events=7,
    window_hours=1.0,
    decay_per_hour=0.4,
    type_weights=TypeWeights(clicks=0.0, carts=1.0, orders=2.5),
    look_back_events=2,
    keep_diagonal=True,
    top_n=5,
)
AROUND = NEAR.model_copy(
    update={
        "direction": "around",
        "window_hours": 336.0,
        "position_decay": 0.7,
        "type_weights": TypeWeights(),
        "normalised": True,
        "two_hop": "two_hop",
    }
)
NEXT = AROUND.model_copy(update={"direction": "after", "decay_per_hour": 0.0, "look_back_events": 0, "two_hop": ""})
MATRICES = {"near": NEAR, "around": AROUND, "next": NEXT}
MODELS = ModelsConfig(covisitation=CovisitationConfig(matrices=MATRICES))
OPTIONS = FitOptions(deterministic=True)
KINDS = (TopSellers, Covisitation, BoughtTogether, Item2vec)
WEIGHT_TOLERANCE = 1e-9

Answers = dict[tuple[object, ...], pa.Table]
Arrays = dict[str, np.ndarray]


class Remembering:
    """An engine that keeps what it answered, so that rows and models are compared after one count."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.answers: Answers = {}

    def run(self, name: str, **params: object) -> pa.Table:
        key = (name, *sorted(params.items()))
        if key not in self.answers:
            self.answers[key] = self.engine.run(name, **params)
        return self.answers[key]

    def batches(self, name: str, **params: object) -> Iterator[pa.RecordBatch]:
        yield from self.run(name, **params).to_batches(max_chunksize=10_000)


@dataclass(frozen=True)
class Counted:
    """One shop, counted three times."""

    store: Store
    vocabulary: Vocabulary
    arrays: TrainingArrays
    answers: dict[str, Answers] = field(default_factory=dict)
    models: dict[str, dict[str, Arrays]] = field(default_factory=dict)


def raw_log(name: str, folder: Path) -> Path:
    if name in LOGS:
        return shared(f"{name}.jsonl.gz")
    nextcart("synth", "--scale", "0.1", "--seed", "5", "--ids", "string", "--output", "shop.jsonl", cwd=folder)
    return folder / "shop.jsonl"


@pytest.fixture(scope="module", params=[*LOGS, "synthetic"])
def counted(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Counted:
    folder = tmp_path_factory.mktemp(request.param)
    nextcart("ingest", raw_log(request.param, folder), "--store", "store", cwd=folder)
    store = Store.open(folder / "store")
    found = Counted(store, *training_arrays(store, "train"))
    found.models["kernels"] = {
        kind.name: kind.fit(found.arrays, getattr(MODELS, kind.name), OPTIONS).arrays() for kind in KINDS
    }
    for name, opened in (("duckdb", duckdb_engine(store)), ("spark", spark_engine(store, SPARK))):
        with opened as engine:
            remembering = Remembering(engine)
            counts = Counts(remembering, store, "train")
            found.models[name] = {kind.name: counts.fit(kind, MODELS, OPTIONS).arrays() for kind in KINDS}
            found.models[name]["vocabulary"] = counts.vocabulary.arrays()
            found.answers[name] = remembering.answers
    found.models["kernels"]["vocabulary"] = found.vocabulary.arrays()
    return found


def test_models_are_the_same_bit_by_bit(counted: Counted) -> None:
    kernels = counted.models["kernels"]
    for engine in ("duckdb", "spark"):
        for model, arrays in counted.models[engine].items():
            assert arrays.keys() == kernels[model].keys()
            for name, array in arrays.items():
                assert array.dtype == kernels[model][name].dtype
                np.testing.assert_array_equal(array, kernels[model][name], err_msg=f"{engine}: {model}, {name}")


def test_answers_have_the_same_rows_and_weights(counted: Counted) -> None:
    duckdb, spark = counted.answers["duckdb"], counted.answers["spark"]
    assert duckdb.keys() == spark.keys()
    assert {key[0] for key in duckdb} == {
        "item_counts",
        "session_items",
        "top_sellers",
        "covisitation",
        "bought_together",
    }
    for key in duckdb:
        check_same(duckdb[key], spark[key], in_order=key[0] in ("item_counts", "session_items"))


def check_same(wanted: pa.Table, found: pa.Table, *, in_order: bool) -> None:
    assert found.column_names == wanted.column_names
    doubles = [name for name in wanted.column_names if pa.types.is_floating(wanted.schema.field(name).type)]
    exact = [name for name in wanted.column_names if name not in doubles]
    found = found.cast(wanted.schema)
    if not in_order:
        keys = [(name, "ascending") for name in exact]
        wanted, found = wanted.sort_by(keys), found.sort_by(keys)
    assert found.select(exact).equals(wanted.select(exact))
    for name in doubles:
        np.testing.assert_allclose(found[name], wanted[name], rtol=0, atol=WEIGHT_TOLERANCE)


def test_weights_are_those_of_the_definitions(counted: Counted) -> None:
    sessions = naive.sessions_of(counted.arrays.sessions)
    answers = {key[0]: table for key, table in counted.answers["duckdb"].items() if key[0] != "covisitation"}
    matrices = [table for key, table in counted.answers["duckdb"].items() if key[0] == "covisitation"]
    for table, matrix in zip(matrices, MODELS.covisitation.counted().values(), strict=True):
        check_pairs(counted, table, naive.covisitation(sessions, matrix), matrix.top_n)
    check_pairs(counted, answers["bought_together"], naive.bought_together(sessions, BoughtTogetherConfig()), 40)
    scores = naive.top_sellers(sessions, MODELS.top_sellers)
    for row, line in zip(rows(counted, answers["top_sellers"], "aid"), answers["top_sellers"].to_pylist(), strict=True):
        for name, score in scores.items():
            assert line[name] == pytest.approx(score.get(row, 0.0), rel=0, abs=WEIGHT_TOLERANCE)


def check_pairs(counted: Counted, table: pa.Table, wanted: dict[int, dict[int, float]], top_n: int) -> None:
    items, neighbours = rows(counted, table, "aid"), rows(counted, table, "neighbour")
    weights = table["weight"].to_pylist()
    for item, neighbour, weight in zip(items, neighbours, weights, strict=True):
        assert weight == pytest.approx(wanted[item][neighbour], rel=0, abs=WEIGHT_TOLERANCE)
    assert len(items) == sum(min(top_n, len(each)) for each in wanted.values())


def rows(counted: Counted, table: pa.Table, column: str) -> list[int]:
    found: list[int] = counted.vocabulary.rows_of_arrow(table[column].combine_chunks()).tolist()
    return found


def test_something_was_compared(counted: Counted) -> None:
    models = counted.models["kernels"]
    assert len(models["covisitation"]["main.items"]) > 1000
    assert (len(models["covisitation"]["near.items"]) > 100) == has_carts(counted)
    assert all(len(models["covisitation"][f"{name}.items"]) > 1000 for name in ("around", "next", "two_hop"))
    assert (len(models["bought_together"]["items"]) > 100) == has_carts(counted)


def has_carts(counted: Counted) -> bool:
    """bol's log has clicks alone."""
    return bool(counted.arrays.sessions.types.max() > 0)


def test_a_split_has_the_same_events(counted: Counted, tmp_path: Path) -> None:
    # Each way of splitting on one real log; the synthetic shop is split by percentile below.
    config = SplitConfig(method="days", days=2.0) if has_carts(counted) else SplitConfig()
    stores = {}
    for name in ("local", "spark"):
        shutil.copytree(counted.store.root, tmp_path / name)
        stores[name] = split(tmp_path / name, config, opener=opener(name, SPARK)).as_dict() | {"store": ""}
    assert stores["spark"] == stores["local"]
    local, spark = (Store.open(tmp_path / name) for name in ("local", "spark"))
    assert spark.manifest.fingerprint == local.manifest.fingerprint
    assert spark.splits() == local.splits() == tuple(name for name in SPLITS if name != "test")
    for part in ("train_split", "val_split"):
        wanted, found = (pa.Table.from_batches(store.batches(part)) for store in (local, spark))
        assert len(wanted) == local.manifest.splits[part].events > 0
        assert found.schema.types == wanted.schema.types
        assert found.to_pydict() == wanted.to_pydict()


def test_profiles_are_the_same(counted: Counted, tmp_path: Path) -> None:
    """Here the files and the answers are named by URIs, as those of a store of objects are."""
    by_uri = SPARK.model_copy(update={"store_uri": counted.store.root.as_uri(), "scratch_uri": tmp_path.as_uri()})
    with spark_engine(counted.store, by_uri) as engine:
        assert profile(counted.store, engine=engine) == profile(counted.store)
        session = counted.store.run("typical_session", split="train", least=3).column("session")[0].as_py()
        for name, params in OTHER_QUERIES.items():
            asked = params | ({"session": session} if name in OF_A_SESSION else {})
            check_same(counted.store.run(name, **asked), engine.run(name, **asked), in_order=True)
        assert list(tmp_path.iterdir())
    assert not list(tmp_path.iterdir())


OTHER_QUERIES: dict[str, dict[str, Any]] = {
    "popularity": {"split": "train", "top": 25},
    "split_summary": {"split": "train"},
    "item_first_events": {"split": "train"},
    "session_events": {},
    "session_splits": {},
    "typical_session": {"split": "train", "least": 3},
}
OF_A_SESSION = ("session_events", "session_splits")


def test_spark_that_ran_before_goes_on() -> None:
    manifest = StoreManifest(
        session_type="int64", aid_type="int64", fingerprint="", next_position=0, sources=(), splits={}
    )
    empty = Store(Path("nowhere"), manifest)
    with spark_engine(empty, SPARK) as outer:
        with spark_engine(empty, SPARK) as inner:
            assert inner.run("split_summary", split="train")["events"].to_pylist() == [0]
        assert outer.run("item_counts", split="train").num_rows == 0


def test_the_commands_that_split_and_profile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In this process, where Spark has been started; tests/acceptance has a training as a user types it."""
    monkeypatch.chdir(tmp_path)
    nextcart("ingest", raw_log("synthetic", tmp_path), "--store", "store", cwd=tmp_path)
    settings = [f"[spark]\nmemory_mib = {SPARK.memory_mib}\n[spark.conf]"]
    settings += [f'"{key}" = "{value}"' for key, value in SPARK.conf.items()]
    Path("nextcart.toml").write_text("\n".join(settings))
    found: dict[str, list[Any]] = {"split": [], "profile": []}
    for engine in ("spark", "local"):
        for command in (["split"], ["profile", "--split", "val_split", "--output", "page.html"]):
            done = CliRunner().invoke(app, [*command, "--store", "store", "--engine", engine, "--json"])
            assert done.exit_code == 0, done.stderr
            found[command[0]].append(json.loads(done.stdout))
    assert found["profile"][0] == found["profile"][1]
    # The same command on one machine finds that Spark has made just this split.
    assert found["split"][0] | {"already_there": True} == found["split"][1]
    assert Path("page.html").read_text().startswith("<!doctype html>")
