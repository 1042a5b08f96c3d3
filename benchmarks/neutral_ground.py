"""What belongs to neither side and is not measured: the data, what one side hands the other, and whether both agree."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import Any

import duckdb
import nextcart_way
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from mean_query import mean_queries, nearest_to_mean
from measure import Clock, Stage
from notebook_way import TOP_ITEMS

from nextcart.cli.demo_data import prepare_grocery
from nextcart.config import EvaluationConfig, Item2vecConfig
from nextcart.evaluation.metrics import find_hits
from nextcart.evaluation.protocols import Task, next_event
from nextcart.events.store import Store
from nextcart.events.synth import SynthConfig, generate
from nextcart.models.arrays import read_batch
from nextcart.models.bought_together import BoughtTogether
from nextcart.models.covisitation import Covisitation
from nextcart.models.item2vec import Item2vec
from nextcart.models.model import Query, frozen
from nextcart.models.neighbour_lists import NeighbourLists
from nextcart.models.recommender import Recommender
from nextcart.models.vocabulary import Vocabulary
from nextcart.types import Float32s, Int32s

SYNTH_SCALE = 0.0046
"""Of OTTO's size: about a million events of eight thousand items."""
WEIGHT_TOLERANCE = 1e-5


def make(folder: Path, _: Clock) -> dict[str, Any]:
    """The shop's events as OTTO JSONL; ``shop.json`` says which shop and how large."""
    shop = json.loads((folder / "shop.json").read_text())
    if shop["data"] == "synth":
        generate(SynthConfig(preset="otto", scale=SYNTH_SCALE * shop["scale"]), folder / "events.jsonl")
    else:
        _grocery(folder, round(1 / shop["scale"]))
    return {}


def make_otto(folder: Path, _: Clock) -> dict[str, Any]:
    """A shop of OTTO's shape as JSONL."""
    shop = json.loads((folder / "shop.json").read_text())
    config = SynthConfig(preset="otto", scale=shop["scale"], seed=shop["seed"])
    made = generate(config, folder / "events.jsonl")
    figures = made.figures
    return {"scale": shop["scale"], "sessions": figures.sessions, "events": figures.events, "items": figures.items}


def memory(_folder: Path, _clock: Clock) -> dict[str, Any]:
    """Bytes a second that one core reads from memory: the best of some sums over 512 MB.

    In a process of its own: a child's peak memory starts at that of its parent.
    """
    block = np.ones(64 * 2**20, np.int64)
    best = math.inf
    for _ in range(5):
        began = time.perf_counter()
        block.sum()
        best = min(best, time.perf_counter() - began)
    return {"bytes_per_s": block.nbytes / best}


def _grocery(folder: Path, one_of: int) -> None:
    """The demo's grocery baskets, of one household in ``one_of``."""
    source = prepare_grocery(folder / "source").events
    with duckdb.connect() as connection:
        connection.execute(
            "copy (select session, list({aid: aid, ts: epoch_ms(ts), type: type} order by ts, file_row_number) "
            f"as events from read_parquet('{source}', file_row_number = true) where session // 100 % {one_of} = 0 "
            f"group by session order by session) to '{folder}/events.jsonl' (format json)"
        )


def warm(folder: Path, clock: Clock) -> dict[str, Any]:
    """Run nextcart's stages on a shop, so that its kernels are compiled and cached before anything is measured."""
    make(folder, clock)
    nextcart_way.ingest(folder, clock)
    nextcart_way.split(folder, clock)
    nextcart_way.train(folder, clock)
    nextcart_way.evaluation(folder, clock)
    return {}


def share_events(folder: Path, _: Clock) -> dict[str, Any]:
    """Compare both sides' events, and hand both parts of nextcart's split to the notebook as sorted Parquet."""
    share_parts(folder, _)
    store = Store.open(folder / "nextcart" / "store")
    with store.connect() as connection:
        differing = connection.execute(
            "with ours as (select distinct session, aid, ts, type from events_train), "
            f"theirs as (select distinct session, aid, ts, type from '{folder}/notebook/events/*.parquet') "
            "select (select count(*) from (from ours except from theirs)) + "
            "(select count(*) from (from theirs except from ours))"
        ).fetchone()
    assert differing == (0,), f"{differing} events differ between the two sides"
    sizes = {
        name: facts.model_dump(include={"events", "sessions", "items"}) for name, facts in store.manifest.splits.items()
    }
    return {"splits": sizes, "differing_events": 0}


def share_parts(folder: Path, _: Clock) -> dict[str, Any]:
    """Hand both parts of nextcart's split to the notebook as sorted Parquet."""
    with Store.open(folder / "nextcart" / "store").connect() as connection:
        for view, name in (("events_train_split", "train"), ("events_val_split", "val")):
            connection.execute(
                f"copy (select session, aid, ts, type, position from {view} order by session, ts, position) "
                f"to '{folder}/{name}.parquet' (format parquet)"
            )
    return {}


def share_models(folder: Path, _: Clock) -> dict[str, Any]:
    """Hand nextcart's neighbour lists, vectors and top sellers to the notebook's evaluation."""
    given = folder / "given"
    given.mkdir(exist_ok=True)
    recommender = Recommender.load(folder / "nextcart" / "model")
    vocabulary = recommender.vocabulary
    pq.write_table(_lists(recommender, vocabulary), given / "covisitation.parquet")
    complements = recommender.model("bought_together")
    assert isinstance(complements, BoughtTogether)
    pq.write_table(_table(complements.complements, vocabulary), given / "bought_together.parquet")
    vectors = _item2vec(recommender).vectors
    np.save(given / "vectors.npy", vectors)
    np.save(given / "vector_aids.npy", vocabulary.ids(np.arange(len(vectors), dtype=np.int32)))
    np.save(given / "top_sellers.npy", vocabulary.ids(recommender.top_sellers(100).items[0]))
    return {}


def compare_covisitation(folder: Path, _: Clock) -> dict[str, Any]:
    """Weights of the pairs that both sides keep, and pairs that one side should have kept and did not."""
    recommender = Recommender.load(folder / "nextcart" / "model")
    vocabulary = recommender.vocabulary
    ours = _lists(recommender, vocabulary)
    top = pa.table({"aid": vocabulary.ids(np.arange(min(TOP_ITEMS, len(vocabulary)), dtype=np.int32))})
    with duckdb.connect() as connection:
        connection.register("ours", ours)
        connection.register("top", top)
        pairs, differing, missed = connection.execute(
            COMPARE.format(theirs=folder / "notebook" / "covisitation.parquet", tolerance=WEIGHT_TOLERANCE)
        ).fetchone() or (0, 0, 0)
    assert pairs > 0
    assert differing == missed == 0, f"of {pairs} pairs {differing} differ in weight and {missed} are missing"
    return {"pairs_in_both": pairs, "differing_weights": differing, "missing_pairs": missed}


# A pair that one side lacks is missing only where it weighs more than the least that the side kept of a full list.
COMPARE = """
with theirs as (from '{theirs}'),
    ours_top as (from ours semi join top using (aid)),
    both_sides as (
        select aid, other, o.weight as ours, t.weight as theirs
        from ours_top o full join theirs t using (aid, other)
    ),
    floors as (
        select aid,
            coalesce((select min(weight) from ours o where o.aid = top.aid having count(*) = 40), 0) as our_floor,
            coalesce((select min(weight) from theirs t where t.aid = top.aid having count(*) = 40), 0) as their_floor
        from top
    )
select
    count(*) filter (where ours is not null and theirs is not null),
    count(*) filter (where abs(ours - theirs) > {tolerance} * theirs),
    count(*) filter (where ours is null and theirs > our_floor * (1 + {tolerance})
        or theirs is null and other in (from top) and ours > their_floor * (1 + {tolerance}))
from both_sides join floors using (aid)
"""


def compare_item2vec(folder: Path, _: Clock) -> dict[str, Any]:
    """Recall@20 of each side's vectors alone on the validation split, by exact search and as each side asks them."""
    import faiss

    vocabulary, task = _task(folder)
    ours = Item2vec.load(folder / "nextcart" / "item2vec")
    aids = np.load(folder / "notebook" / "vector_aids.npy")
    rows = vocabulary.rows(aids)
    assert np.array_equal(np.sort(rows), np.arange(len(ours.vectors))), "the sides gave vectors to other items"
    theirs = frozen(np.load(folder / "notebook" / "vectors.npy")[np.argsort(rows)])
    index = faiss.read_index(str(folder / "notebook" / "hnsw.faiss"))
    queries = mean_queries(task.history, theirs, Item2vecConfig().query_events)
    _, places = index.search(queries, EvaluationConfig().k)
    found = np.where(places >= 0, rows[places], -1).astype(np.int32)
    found[~queries.any(axis=1)] = -1
    return {
        "nextcart_exact": _recall(_exact(ours.vectors, task), task),
        "notebook_exact": _recall(_exact(theirs, task), task),
        "nextcart_index": _recall(ours.recommend(Query(task.history, EvaluationConfig().k)).items, task),
        "notebook_index": _recall(found, task),
        "sessions": len(task),
    }


def _exact(vectors: Float32s, task: Task) -> Int32s:
    return nearest_to_mean(task.history, vectors, Item2vecConfig().query_events, EvaluationConfig().k)


def _recall(items: Int32s, task: Task) -> float:
    return round(float(find_hits(items, task.targets).any(axis=1).mean()), 6)


def _task(folder: Path) -> tuple[Vocabulary, Task]:
    vocabulary = Vocabulary.load(folder / "nextcart" / "model" / "vocabulary")
    sessions = read_batch(Store.open(folder / "nextcart" / "store"), "val_split", vocabulary)
    return vocabulary, next_event(sessions, EvaluationConfig().history_events)


def _lists(recommender: Recommender, vocabulary: Vocabulary) -> pa.Table:
    """The main co-visitation matrix as a table of aid, other and weight."""
    model = recommender.model("covisitation")
    assert isinstance(model, Covisitation)
    return _table(model.matrices["main"], vocabulary)


def _table(lists: NeighbourLists, vocabulary: Vocabulary) -> pa.Table:
    aids = np.array(vocabulary.ids(np.arange(len(vocabulary), dtype=np.int32)))
    owners = np.repeat(aids, np.diff(lists.offsets))
    return pa.table({"aid": owners, "other": aids[lists.items], "weight": lists.weights.astype(np.float64)})


def _item2vec(recommender: Recommender) -> Item2vec:
    model = recommender.model("item2vec")
    assert isinstance(model, Item2vec)
    return model


STAGES: dict[str, Stage] = {
    "warm": warm,
    "make": make,
    "make_otto": make_otto,
    "memory": memory,
    "share_events": share_events,
    "share_parts": share_parts,
    "share_models": share_models,
    "compare_covisitation": compare_covisitation,
    "compare_item2vec": compare_item2vec,
}
