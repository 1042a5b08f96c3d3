"""What a store answers: views, named queries, batches, and what it says when it cannot."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from nextcart.config import SplitConfig
from nextcart.errors import InputError, StoreError, StoreMissing
from nextcart.events import store as store_module
from nextcart.events.engine import DuckdbEngine
from nextcart.events.ingest import ingest
from nextcart.events.queries import queries
from nextcart.events.split import split
from nextcart.events.store import Store
from tests.raw_files import START, event, expected, line, many_lines, stored, write

VIEW = [("session", "BIGINT"), ("aid", "BIGINT"), ("ts", "BIGINT"), ("type", "UTINYINT"), ("position", "BIGINT")]
TEXT_PARAMETERS = {"split": "train", "side": "train_split", "direction": "around"}
"""Values of the parameters of named queries that are no numbers."""
INGEST_TABLES = {
    "raw_lines": "select 0 as block, 7 as place, null::blob as text, 1 as session, [1] as events, 1::bigint as records",
    "blocks": "select 0 as block, 7 as first_place, 1 as first_line, 0::bigint as first_position",
    "odd_records": "select 2 as line, 1::bigint as records",
    "numbered": "select 0 as block, 7 as place, 1 as session, [1] as events, 1 as records, 0::bigint as position",
    "staged": "select * from events_train",
    "seen": "select * from events_test",
}
"""What an ingest keeps for its queries; see `nextcart.events.spark_ingest`."""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    folder = tmp_path_factory.mktemp("store")
    ingest([write(folder / "a.jsonl", many_lines(20))], folder / "store")
    return Store.open(folder / "store")


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Store:
    folder = tmp_path_factory.mktemp("texts")
    lines = [line("b", event("x"), event("y", START + 1, "orders")), line("a", event("y", START + 2, "carts"))]
    ingest([write(folder / "a.jsonl", lines)], folder / "store")
    return Store.open(folder / "store")


def test_views_are_there_for_every_split_even_the_missing_ones(store: Store) -> None:
    with store.connect() as connection:
        for name in ("train", "test", "train_split", "val_split"):
            columns = [row[:2] for row in connection.execute(f"describe events_{name}").fetchall()]
            assert columns == VIEW
            rows = connection.execute(f"select count(*) from events_{name}").fetchall()[0][0]
            assert rows == (200 if name == "train" else 0)


def test_missing_splits_of_text_ids_have_text_columns(texts: Store) -> None:
    with texts.connect() as connection:
        assert [row[1] for row in connection.execute("describe events_test").fetchall()[:2]] == ["VARCHAR", "VARCHAR"]
        assert connection.execute("select session from sessions order by session").fetchall() == [("a",), ("b",)]


def test_sessions_view(texts: Store) -> None:
    with texts.connect() as connection:
        rows = connection.sql("select * from sessions order by session")
        assert rows.columns == ["split", "session", "start_ts", "end_ts", "events", "clicks", "carts", "orders"]
        assert rows.fetchall() == [
            ("train", "a", START + 2, START + 2, 1, 0, 1, 0),
            ("train", "b", START, START + 1, 2, 1, 0, 1),
        ]


def test_batches_have_the_columns_of_the_contract(store: Store, texts: Store) -> None:
    (batch,) = store.batches("train")
    assert [(f.name, f.type) for f in batch.schema] == [
        ("session", pa.int64()),
        ("aid", pa.int64()),
        ("ts", pa.int64()),
        ("type", pa.uint8()),
    ]
    (batch,) = texts.batches("train")
    assert [f.type for f in batch.schema][:2] == [pa.string(), pa.string()]


def test_batches_of_large_splits_are_many_and_in_order(tmp_path: Path) -> None:
    ingest([write(tmp_path / "a.jsonl", reversed(many_lines(3000, events=100)))], tmp_path / "store")
    batches = list(Store.open(tmp_path / "store").batches("train"))
    assert len(batches) > 1
    sessions = np.concatenate([batch.column("session").to_numpy() for batch in batches])
    times = np.concatenate([batch.column("ts").to_numpy() for batch in batches])
    assert len(sessions) == 300_000
    assert np.array_equal(np.lexsort((times, sessions)), np.arange(300_000))


def test_files_whose_sessions_do_not_overlap_are_read_without_a_sort(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    late, early, across = many_lines(5, first=20), many_lines(5), many_lines(10, events=12, first=3)
    seen: list[bool] = []
    overlapping = store_module.overlapping

    def note(files: tuple[store_module.StoredFile, ...]) -> bool:
        seen.append(overlapping(files))
        return seen[-1]

    monkeypatch.setattr(store_module, "overlapping", note)
    ingest([write(tmp_path / "late.jsonl", late)], tmp_path / "store")
    ingest([write(tmp_path / "early.jsonl", early)], tmp_path / "store")
    assert stored(tmp_path / "store") == expected([late, early])
    ingest([write(tmp_path / "across.jsonl", across)], tmp_path / "store")
    assert stored(tmp_path / "store") == expected([late, early, across])
    assert seen == [False, True]


def test_item_counts(store: Store) -> None:
    counts: dict[int, int] = {}
    for _, aid, _, _ in stored(store.root):
        counts[int(aid)] = counts.get(int(aid), 0) + 1
    table = store.item_counts("train")
    assert table.schema.names == ["aid", "events"]
    assert table.schema.field("events").type == pa.int64()
    rows = [tuple(row.values()) for row in table.to_pylist()]
    assert rows == sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))


def test_ties_of_text_items_go_by_their_bytes(tmp_path: Path) -> None:
    names = ["b", "a", "Z", "é", "\U0001f600", "\uffee"]
    ingest([write(tmp_path / "a.jsonl", [line(1, *(event(n) for n in names))])], tmp_path / "store")
    table = Store.open(tmp_path / "store").item_counts("train")
    assert table.column("aid").to_pylist() == sorted(names)


def test_session_events_over_train_and_test(tmp_path: Path) -> None:
    ingest([write(tmp_path / "a.jsonl", [line(1, event(1, START + 5)), line(2, event(9))])], tmp_path / "store")
    ingest([write(tmp_path / "b.jsonl", [line(1, event(2, kind="carts"))])], tmp_path / "store", split="test")
    store = Store.open(tmp_path / "store")
    table = store.session_events(1)
    assert table.schema.names == ["aid", "ts", "type"]
    assert [tuple(row.values()) for row in table.to_pylist()] == [(2, START, 1), (1, START + 5, 0)]
    assert [store.session_events(session).num_rows for session in (3, "1", "x")] == [0, 0, 0]


def test_session_events_of_text_ids(texts: Store) -> None:
    assert texts.session_events("b").column("aid").to_pylist() == ["x", "y"]
    assert texts.session_events(1).num_rows == 0


@pytest.mark.parametrize("name", sorted(queries()))
def test_every_named_query_runs(store: Store, texts: Store, name: str) -> None:
    given = {key: TEXT_PARAMETERS.get(key, 3) for key in queries()[name].parameters}
    text_ids = {key: "a" for key in given if key in ("session", "first", "last")}
    for each, session in ((store, {}), (texts, text_ids)):
        with each.connect() as connection:
            engine = DuckdbEngine(connection)
            engine.keep("session_times", "session_times")
            engine.keep("sides", "sides_percentile", cut=START)
            for table, sql in INGEST_TABLES.items():
                connection.execute(f"create temp table {table} as {sql}")
            assert engine.run(name, **given | session).num_columns > 0


def test_what_only_a_split_can_ask(store: Store) -> None:
    with pytest.raises(InputError, match="query 'split_part' reads a table that an engine keeps"):
        store.run("split_part", side="train_split", first=0, last=9)


def test_popularity(texts: Store) -> None:
    rows = [tuple(row.values()) for row in texts.run("popularity", split="train", top=1).to_pylist()]
    assert rows == [("y", 2, 0, 1, 1)]


def test_a_wrong_query(store: Store) -> None:
    with pytest.raises(InputError, match=r"there is no query 'poplarity'; the names are .*popularity"):
        store.run("poplarity")
    with pytest.raises(InputError, match=r"'popularity' takes \['split', 'top'\], not \['split'\]"):
        store.run("popularity", split="train")
    with pytest.raises(InputError, match="not"):
        store.run("popularity", split="train", top=3, more=1)


def test_no_store(tmp_path: Path) -> None:
    for root in (tmp_path, tmp_path / "none", write(tmp_path / "file", ["x"])):
        with pytest.raises(StoreMissing, match="there is no event store; run 'nextcart ingest FILE' first"):
            Store.open(root)
        with pytest.raises(StoreMissing):
            split(root)
    assert not (tmp_path / "none").exists()


def test_no_such_split(store: Store) -> None:
    with pytest.raises(StoreMissing, match=r"has no split 'val_split' \(it has train\); run 'nextcart split', then"):
        next(store.batches("val_split"))
    with pytest.raises(StoreMissing, match="run 'nextcart ingest FILE --split test'"):
        store.item_counts("test")
    with pytest.raises(InputError, match="there is no split 'valid'; the names are train, test"):
        store.require("valid")


def test_a_damaged_manifest(tmp_path: Path) -> None:
    ingest([write(tmp_path / "a.jsonl", many_lines(3))], tmp_path / "store")
    manifest = tmp_path / "store" / "manifest.json"
    whole = manifest.read_text()
    for damaged, says in [
        (whole[:100], "Invalid JSON"),
        (whole.replace('"schema_version": 2', '"schema_version": 9'), "schema_version: .* use the nextcart that wrote"),
        (whole.replace("next_position", "next"), "next_position: Field required"),
    ]:
        manifest.write_text(damaged)
        with pytest.raises(StoreError, match=says):
            Store.open(tmp_path / "store")


def test_a_lost_file(tmp_path: Path) -> None:
    ingest([write(tmp_path / "a.jsonl", many_lines(3))], tmp_path / "store")
    store = Store.open(tmp_path / "store")
    (tmp_path / "store" / store.manifest.splits["train"].files[0].path).unlink()
    with pytest.raises(StoreError, match=r"a file of the store cannot be read .* ingest again"):
        store.connect()


def test_an_open_store_stays_as_it_was(tmp_path: Path) -> None:
    ingest([write(tmp_path / "a.jsonl", many_lines(3))], tmp_path / "store")
    before = Store.open(tmp_path / "store")
    ingest([write(tmp_path / "b.jsonl", many_lines(3, first=9))], tmp_path / "store")
    split(tmp_path / "store", SplitConfig(quantile=0.5))
    assert (before.splits(), sum(map(len, before.batches("train")))) == (("train",), 30)
    assert Store.open(tmp_path / "store").splits() == ("train", "train_split", "val_split")
