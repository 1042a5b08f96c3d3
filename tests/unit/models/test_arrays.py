import json
from pathlib import Path

import numpy as np
import pytest

from nextcart.errors import StoreMissing
from nextcart.events import store as store_module
from nextcart.events.ingest import ingest
from nextcart.events.store import Store
from nextcart.models.arrays import read_batch, training_arrays
from nextcart.models.vocabulary import Vocabulary
from nextcart.types import UNKNOWN

START = 1_659_304_800_025
TYPES = ("clicks", "carts", "orders")

Raw = dict[int | str, list[tuple[int | str, int, str]]]


def numbered(events: int = 40) -> Raw:
    """Sessions 3, 5, 7, … of 1, 2, 3, … events; item 100 most often, 200 and 300 equally often."""
    sessions: Raw = {}
    items = [100, 300, 200, 100]
    while events > 0:
        length = min(events, len(sessions) + 1)
        sessions[3 + 2 * len(sessions)] = [
            (items[(events - i) % 4], START + 1000 * i, TYPES[(events + i) % 3]) for i in range(length)
        ]
        events -= length
    return sessions


def as_text(sessions: Raw) -> Raw:
    return {f"user/{key}": [(f"sku-{aid}-ü", ts, kind) for aid, ts, kind in events] for key, events in sessions.items()}


def written(path: Path, sessions: Raw) -> Path:
    lines = [
        json.dumps({"session": key, "events": [{"aid": aid, "ts": ts, "type": kind} for aid, ts, kind in events]})
        for key, events in sessions.items()
    ]
    path.write_text("\n".join(lines) + "\n")
    return path


def stored(tmp_path: Path, sessions: Raw, split: str = "train") -> Store:
    ingest([written(tmp_path / f"{split}.jsonl", sessions)], tmp_path / "store", split=split)
    return Store.open(tmp_path / "store")


def by_session(batch, vocabulary: Vocabulary) -> list[list[tuple]]:
    """The batch in the shop's own words; None for an unknown item."""
    ids = [vocabulary.ids(np.array([row], np.int32))[0] if row >= 0 else None for row in batch.items]
    events = list(zip(ids, batch.ts.tolist(), [TYPES[kind] for kind in batch.types], strict=True))
    return [events[a:b] for a, b in zip(batch.offsets[:-1], batch.offsets[1:], strict=True)]


def in_order(sessions: Raw) -> list[list[tuple]]:
    return [sessions[key] for key in sorted(sessions)]


@pytest.mark.parametrize("shape", [numbered, lambda: as_text(numbered())], ids=["int64", "string"])
@pytest.mark.parametrize("batch_rows", [1, 2, 3, 7, 1_000_000])
def test_a_store_is_read_whole_however_it_is_batched(tmp_path, monkeypatch, shape, batch_rows):
    monkeypatch.setattr(store_module, "BATCH_ROWS", batch_rows)
    sessions = shape()
    vocabulary, arrays = training_arrays(stored(tmp_path, sessions), "train")
    assert by_session(arrays.sessions, vocabulary) == in_order(sessions)
    assert arrays.sessions.offsets.dtype == np.int64
    assert arrays.sessions.items.dtype == np.int32
    assert arrays.sessions.types.dtype == np.uint8


def test_rows_are_by_popularity_then_by_the_smaller_id(tmp_path):
    vocabulary, arrays = training_arrays(stored(tmp_path, numbered()), "train")
    assert vocabulary.ids(np.arange(3, dtype=np.int32)) == [100, 200, 300]
    assert vocabulary.counts.tolist() == np.bincount(arrays.sessions.items).tolist() == [20, 10, 10]
    assert arrays.counts is vocabulary.counts
    assert arrays.n_items == 3


def test_text_ids_of_equal_count_are_ordered_by_their_bytes(tmp_path):
    aids = ["é", "z", "Z", "a", "ab"]
    sessions = {"s": [(aid, START + i, "clicks") for i, aid in enumerate(aids)]}
    vocabulary, _ = training_arrays(stored(tmp_path, sessions), "train")
    assert vocabulary.ids(np.arange(5, dtype=np.int32)) == ["Z", "a", "ab", "z", "é"]


def test_events_come_in_the_order_of_time_then_of_the_input(tmp_path):
    events = [(2, START + 5, "clicks"), (3, START, "carts"), (1, START, "clicks"), (9, START, "orders")]
    vocabulary, arrays = training_arrays(stored(tmp_path, {1: events, 2: events[:1]}), "train")
    assert by_session(arrays.sessions, vocabulary) == [[events[1], events[2], events[3], events[0]], events[:1]]


@pytest.mark.parametrize("text", [False, True])
def test_held_out_sessions_keep_items_outside_the_catalogue_as_unknown(tmp_path, text):
    train = {1: [(10, START, "clicks"), (20, START + 1, "clicks")]}
    test = {4: [(20, START + 9, "orders"), (99, START + 10, "clicks")], 5: [(98, START, "clicks")]}
    if text:
        train, test = as_text(train), as_text(test)
    stored(tmp_path, train)
    store = stored(tmp_path, test, "test")
    vocabulary, _ = training_arrays(store, "train")
    batch = read_batch(store, "test", vocabulary)
    assert batch.items.tolist() == [vocabulary.rows(["sku-20-ü" if text else 20])[0], UNKNOWN, UNKNOWN]
    assert batch.offsets.tolist() == [0, 2, 3]


def test_a_store_of_another_shop_holds_no_known_item(tmp_path):
    store = stored(tmp_path, as_text(numbered()))
    other = Vocabulary("int64", np.array([100, 200]), np.array([2, 1]))
    batch = read_batch(store, "train", other)
    assert (batch.items == UNKNOWN).all()
    assert batch.n_events == 40


def test_a_split_that_is_not_there_is_named(tmp_path):
    store = stored(tmp_path, numbered())
    with pytest.raises(StoreMissing, match="test"):
        training_arrays(store, "test")


def test_progress_ends_at_the_number_of_events(tmp_path):
    seen = []
    training_arrays(stored(tmp_path, numbered()), "train", lambda *step: seen.append(step))
    assert seen[-1] == ("reading sessions", 40, 40)
