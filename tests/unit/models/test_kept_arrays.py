import json
from pathlib import Path

import numpy as np
import pytest

from nextcart.config import SplitConfig
from nextcart.events.ingest import ingest
from nextcart.events.split import split
from nextcart.events.store import Store
from nextcart.models import kept_arrays
from nextcart.models.arrays import read_batch, training_arrays

START = 1_659_304_800_025
DAY = 86_400_000


def stored(folder: Path, first: int = 0, *, text: bool = False) -> Store:
    """Twenty sessions of three events each, a session a day."""
    lines = []
    for session in range(first, first + 20):
        aids = [session % 5, session % 3, session % 7]
        events = [
            {"aid": f"sku-{aid}" if text else aid, "ts": START + session * DAY + i, "type": "clicks"}
            for i, aid in enumerate(aids)
        ]
        lines.append(json.dumps({"session": session, "events": events}))
    raw = folder / f"{first}.jsonl"
    raw.write_text("\n".join(lines) + "\n")
    ingest([raw], folder / "store")
    return Store.open(folder / "store")


def folders(store: Store) -> list[str]:
    return sorted(path.name for path in (store.root / "arrays").iterdir())


@pytest.mark.parametrize("text", [False, True])
def test_a_second_training_reads_no_events(tmp_path, monkeypatch, text):
    store = stored(tmp_path, text=text)
    vocabulary, first = training_arrays(store, "train")
    monkeypatch.delattr(Store, "batches")
    monkeypatch.delattr(Store, "item_counts")
    again, second = training_arrays(store, "train")
    rows = np.arange(len(vocabulary), dtype=np.int32)
    assert again.ids(rows) == vocabulary.ids(rows)
    assert again.counts.tolist() == vocabulary.counts.tolist()
    assert second.n_items == first.n_items == 7
    for name in ("offsets", "items", "ts", "types"):
        ours, theirs = getattr(second.sessions, name), getattr(first.sessions, name)
        assert ours.tolist() == theirs.tolist()
        assert not ours.flags.writeable


def test_kept_arrays_are_what_the_store_holds(tmp_path):
    store = stored(tmp_path)
    vocabulary, arrays = training_arrays(store, "train")
    plain = read_batch(store, "train", vocabulary)
    for name in ("offsets", "items", "ts", "types"):
        assert np.array_equal(getattr(arrays.sessions, name), getattr(plain, name))
        assert getattr(arrays.sessions, name).dtype == getattr(plain, name).dtype


@pytest.mark.parametrize("name", ["offsets.npy", "items.npy", "vocabulary/model.json", "vocabulary/ids.npy"])
@pytest.mark.parametrize("fate", ["gone", "cut", "empty"])
def test_a_broken_file_is_made_anew(tmp_path, name, fate):
    store = stored(tmp_path)
    items = training_arrays(store, "train")[1].sessions.items.copy()
    file = kept_arrays.folder_of(store, "train") / name
    if fate == "gone":
        file.unlink()
    else:
        whole = file.read_bytes()
        # A new file, as a map of the old one may still be open.
        file.unlink()
        file.write_bytes(whole[: -3 if fate == "cut" else 0])
    assert kept_arrays.find(store, "train") is None
    _, again = training_arrays(store, "train")
    assert np.array_equal(again.sessions.items, items)
    assert kept_arrays.find(store, "train") is not None


def test_where_no_arrays_can_be_kept_a_training_goes_on_without(tmp_path):
    store = stored(tmp_path)
    (store.root / "arrays").write_text("in the way")
    vocabulary, arrays = training_arrays(store, "train")
    assert arrays.sessions.n_events == 60
    assert len(vocabulary) == 7
    assert (store.root / "arrays").read_text() == "in the way"


def test_new_events_are_never_answered_from_old_arrays(tmp_path):
    before = stored(tmp_path)
    training_arrays(before, "train")
    after = stored(tmp_path, 20)
    assert folders(after) == []
    _, arrays = training_arrays(after, "train")
    assert arrays.sessions.n_events == 120
    # Who opened the store before the second ingest still sees the first.
    assert training_arrays(before, "train")[1].sessions.n_events == 60


def test_another_split_drops_the_arrays_of_the_one_before_alone(tmp_path):
    store = stored(tmp_path)
    split(store.root, SplitConfig(quantile=0.5))
    halves = Store.open(store.root)
    training_arrays(halves, "train")
    training_arrays(halves, "train_split")
    split(store.root, SplitConfig(quantile=0.8))
    assert folders(store) == [kept_arrays.folder_of(store, "train").name]
    assert training_arrays(Store.open(store.root), "train_split")[1].sessions.n_events == 48


def test_what_a_killed_training_left_goes_with_the_next(tmp_path):
    store = stored(tmp_path)
    left = store.root / "arrays" / ".train-0123456789abcdef-01234567"
    left.mkdir(parents=True)
    (left / "items.npy").write_bytes(b"half")
    training_arrays(store, "train")
    assert folders(store) == [kept_arrays.folder_of(store, "train").name]
