"""Good files into the store: order, duplicates, ids, and files that are already there."""

from __future__ import annotations

import gzip
import json
import tempfile
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nextcart.config import IngestConfig, SplitConfig
from nextcart.errors import InputError
from nextcart.events import merge
from nextcart.events.ingest import ingest
from nextcart.events.readers import read_sessions
from nextcart.events.split import split
from nextcart.events.store import Store, overlapping
from tests.raw_files import START, event, expected, line, many_lines, real, stored, write

events = st.builds(
    event, st.integers(0, 3), st.integers(START, START + 3), st.sampled_from(["clicks", "carts", "orders"])
)
sessions = st.builds(
    lambda session, es: line(session, *es), st.integers(0, 4), st.lists(events, min_size=1, max_size=6)
)
files = st.lists(st.lists(sessions, min_size=1, max_size=5), min_size=1, max_size=3)


@settings(max_examples=20, deadline=None)
@given(files, st.booleans(), st.sampled_from([1, 3, merge.EVENTS_PER_PART]))
def test_the_store_holds_what_a_plain_loop_finds(contents: list[list[str]], one_call: bool, per_part: int) -> None:
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
        patch.setattr(merge, "EVENTS_PER_PART", per_part)
        root = Path(folder) / "store"
        # A number of its own on each file: equal bytes would be one file.
        paths = [write(Path(folder) / f"{n}.jsonl", [*lines, " " * n]) for n, lines in enumerate(contents)]
        for group in [paths] if one_call else [[path] for path in paths]:
            ingest(group, root)
        want = expected(contents)
        assert stored(root) == want
        facts = Store.open(root).manifest.splits["train"]
        assert (facts.events, facts.sessions) == (len(want), len({row[0] for row in want}))
        assert facts.items == len({row[1] for row in want})
        assert (facts.first_ts, facts.last_ts) == (min(r[2] for r in want), max(r[2] for r in want))


@pytest.mark.parametrize(
    "name", ["a.jsonl", "a.jsonl.gz", "a.jsonl.zst", "a.JSONL", "b.ndjson", "c.json", "odd [1]*'x'.jsonl"]
)
def test_every_packing_gives_the_same_store(tmp_path: Path, name: str) -> None:
    lines = many_lines(30)
    summary = ingest([write(tmp_path / name, lines)], tmp_path / "store")
    assert (summary.added_events, summary.duplicates, summary.rejects) == (300, 0, {})
    assert stored(tmp_path / "store") == expected([lines])


@pytest.mark.parametrize(
    ("name", "pack"),
    [("a.jsonl.gz", gzip.compress), ("a.jsonl.zst", lambda data: pa.compress(data, "zstd", asbytes=True))],
)
def test_files_packed_one_behind_the_other_are_read_to_the_end(
    tmp_path: Path, name: str, pack: Callable[[bytes], bytes]
) -> None:
    parts = [many_lines(10), many_lines(10, first=10)]
    (tmp_path / name).write_bytes(b"".join(pack("".join(f"{text}\n" for text in part).encode()) for part in parts))
    assert ingest([tmp_path / name], tmp_path / "store").sessions == 20
    assert sum(len(chunk) for chunk in read_sessions(tmp_path / name)) == 20


def test_byte_order_mark_crlf_and_blank_lines(tmp_path: Path) -> None:
    lines = many_lines(5)
    path = write(tmp_path / "a.jsonl", ["\ufeff" + lines[0], "", *lines[1:], "   "], end=b"\r\n")
    ingest([path], tmp_path / "store")
    assert stored(tmp_path / "store") == expected([lines])


def test_events_out_of_order_are_sorted_and_ties_keep_the_input_order(tmp_path: Path) -> None:
    text = line(7, event(3, START + 9), event(2, START), event(5, START + 9), event(1, START + 9))
    ingest([write(tmp_path / "a.jsonl", [text])], tmp_path / "store")
    assert [row[1] for row in stored(tmp_path / "store")] == [2, 3, 5, 1]


def test_ties_across_files_keep_the_order_of_the_files(tmp_path: Path) -> None:
    a = write(tmp_path / "a.jsonl", [line(7, event(9)), line(8, event(1))])
    b = write(tmp_path / "b.jsonl", [line(7, event(3))])
    ingest([a, b], tmp_path / "together")
    ingest([a], tmp_path / "apart")
    ingest([b], tmp_path / "apart")
    assert stored(tmp_path / "together") == stored(tmp_path / "apart")
    assert [row[1] for row in stored(tmp_path / "apart")] == [9, 3, 1]


def test_duplicates_are_dropped_and_counted_and_are_no_rejects(tmp_path: Path) -> None:
    a = write(tmp_path / "a.jsonl", [line(1, event(1), event(1), event(1, kind="carts")), line(1, event(1))])
    b = write(tmp_path / "b.jsonl", [line(1, event(1), event(2)), line(2, event(1))])
    first = ingest([a], tmp_path / "store")
    assert (first.added_events, first.duplicates, first.rejects) == (2, 2, {})
    second = ingest([b], tmp_path / "store")
    assert (second.added_events, second.duplicates, second.events, second.sessions) == (2, 1, 4, 2)
    assert [file.duplicates for file in ingest([a, b], tmp_path / "both").files] == [2, 1]


def test_a_session_in_two_files_is_one_session(tmp_path: Path) -> None:
    a = write(tmp_path / "a.jsonl", [line(5, event(1), event(2, START + 2)), line(6, event(1))])
    b = write(tmp_path / "b.jsonl", [line(5, event(3, START + 1))])
    ingest([a], tmp_path / "store")
    summary = ingest([b], tmp_path / "store")
    assert (summary.sessions, summary.short_sessions) == (2, 1)
    assert [row[:2] for row in stored(tmp_path / "store")] == [(5, 1), (5, 3), (5, 2), (6, 1)]


def test_a_session_of_ten_thousand_events(tmp_path: Path) -> None:
    text = line(1, *(event(i, START + i) for i in range(10_000)))
    assert ingest([write(tmp_path / "a.jsonl", [text])], tmp_path / "store").events == 10_000
    assert stored(tmp_path / "store") == expected([[text]])


def test_short_and_empty_sessions_are_counted(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [line(1, event()), line(2, event(1), event(2)), line(3)])
    summary = ingest([path], tmp_path / "store")
    assert (summary.sessions, summary.short_sessions, summary.empty_sessions, summary.rejects) == (2, 1, 1, {})
    assert [file.empty_sessions for file in summary.files] == [1]
    assert ingest([path], tmp_path / "more", config=IngestConfig(min_events=3)).short_sessions == 2


def test_a_file_that_is_there_is_not_passed_over_with_another_mapping(tmp_path: Path) -> None:
    rows = ["session,aid,ts,type", f"1,2,{START},basket", f"1,3,{START + 1},basket"]
    file = write(tmp_path / "a.csv", rows)
    ingest([file], tmp_path / "store", types={"basket": "orders"})
    with pytest.raises(InputError, match="read with other --columns or --types; give the same"):
        ingest([file], tmp_path / "store", types={"basket": "carts"})
    assert ingest([file], tmp_path / "store", types={"basket": "orders"}).added_events == 0
    assert ingest([file], tmp_path / "other", types={"basket": "carts"}).added_events == 2


def test_the_same_file_twice_adds_nothing(tmp_path: Path) -> None:
    a = write(tmp_path / "a.jsonl", many_lines(3))
    b = write(tmp_path / "other name.jsonl", many_lines(3))
    first = ingest([a, b], tmp_path / "store")
    assert [file.added for file in first.files] == [True, False]
    assert [source.name for source in Store.open(tmp_path / "store").manifest.sources] == ["a.jsonl"]
    assert (first.added_events, first.already_there) == (30, False)
    manifest = (tmp_path / "store" / "manifest.json").read_bytes()
    again = ingest([b], tmp_path / "store")
    assert [file.added for file in again.files] == [False]
    assert again.already_there
    assert (again.added_events, again.events, again.sessions) == (0, 30, 3)
    assert again.fingerprint == first.fingerprint
    assert (tmp_path / "store" / "manifest.json").read_bytes() == manifest


def test_train_and_test_are_apart(tmp_path: Path) -> None:
    a = write(tmp_path / "a.jsonl", many_lines(3))
    ingest([a], tmp_path / "store")
    summary = ingest([a], tmp_path / "store", split="test")
    assert (summary.added_events, summary.duplicates) == (30, 0)
    assert Store.open(tmp_path / "store").splits() == ("train", "test")
    assert stored(tmp_path / "store", "test") == stored(tmp_path / "store", "train")


def test_new_training_events_drop_the_splits_made_of_the_old_ones(tmp_path: Path) -> None:
    root = tmp_path / "store"
    ingest([write(tmp_path / "a.jsonl", many_lines(20))], root)
    split(root, SplitConfig())
    held_out = ingest([write(tmp_path / "t.jsonl", many_lines(2, first=90))], root, split="test")
    assert held_out.stale_splits == ()
    assert "val_split" in Store.open(root).splits()
    summary = ingest([write(tmp_path / "b.jsonl", many_lines(2, first=50))], root)
    assert summary.stale_splits == ("train_split", "val_split")
    assert Store.open(root).splits() == ("train", "test")
    assert Store.open(root).manifest.split is None


def test_the_fingerprint_tells_the_data_apart(tmp_path: Path) -> None:
    a, b = write(tmp_path / "a.jsonl", many_lines(3)), write(tmp_path / "b.jsonl", many_lines(4))
    prints = [ingest(paths, tmp_path / str(n)).fingerprint for n, paths in enumerate([[a], [a], [b], [a, b], [b, a]])]
    assert prints[0] == prints[1]
    assert len(set(prints)) == 4


@pytest.mark.parametrize(("session", "aid"), [(3, 4), (3, 'sku "1"\\'), ("s-é", 4), ("s-é", 'sku "1"\\')])
def test_ids_keep_the_shops_own_form(tmp_path: Path, session: int | str, aid: int | str) -> None:
    ingest([write(tmp_path / "a.jsonl", [line(session, event(aid))])], tmp_path / "store")
    manifest = Store.open(tmp_path / "store").manifest
    assert (manifest.session_type, manifest.aid_type) == tuple(
        "int64" if isinstance(value, int) else "string" for value in (session, aid)
    )
    assert stored(tmp_path / "store") == [(session, aid, START, 0)]


def test_numbers_in_quotes_are_text(tmp_path: Path) -> None:
    ingest([write(tmp_path / "a.jsonl", [line("12", event("0012"))])], tmp_path / "store")
    assert stored(tmp_path / "store") == [("12", "0012", START, 0)]


def test_ids_as_asked(tmp_path: Path) -> None:
    a = write(tmp_path / "a.jsonl", [line(12, event(7))])
    ingest([a], tmp_path / "text", ids="string")
    assert stored(tmp_path / "text") == [("12", "7", START, 0)]
    quoted = write(tmp_path / "q.jsonl", [line("12", event("7"))])
    ingest([quoted], tmp_path / "numbers", ids="int64")
    assert stored(tmp_path / "numbers") == [(12, 7, START, 0)]
    with pytest.raises(InputError, match=r"the store has int64 .* leave --ids out"):
        ingest([a], tmp_path / "numbers", ids="string")


def test_a_few_strays_do_not_turn_integers_into_text(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [*many_lines(30), line(99, event("undefined"))])
    summary = ingest([path], tmp_path / "store")
    assert (summary.aid_type, summary.rejects) == ("int64", {"not_an_integer_id": 1})


def test_a_later_file_must_fit_the_stores_ids(tmp_path: Path) -> None:
    ingest([write(tmp_path / "a.jsonl", many_lines(3))], tmp_path / "store")
    other = write(tmp_path / "b.jsonl", [line(1, event("sku-1"), event("sku-2"))])
    with pytest.raises(InputError, match=r"b\.jsonl: its item ids are no integers \(such as 'sku-.'\).*--ids string"):
        ingest([other], tmp_path / "store")
    with pytest.raises(InputError, match="its item ids are no integers"):
        ingest([other], tmp_path / "new", ids="int64")
    assert not (tmp_path / "new").exists()


def test_integers_fit_a_store_of_text(tmp_path: Path) -> None:
    ingest([write(tmp_path / "a.jsonl", [line("a", event("b"))])], tmp_path / "store")
    ingest([write(tmp_path / "b.jsonl", [line(5, event(6))])], tmp_path / "store")
    assert stored(tmp_path / "store") == [("5", "6", START, 0), ("a", "b", START, 0)]


def test_other_names_of_types(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", [line(1, event(kind="vü"), event(2, kind="orders"), event(3, kind="buy"))])
    ingest([path], tmp_path / "store", types={"vü": "clicks", "buy": "orders"})
    assert [row[3] for row in stored(tmp_path / "store")] == [0, 2, 2]
    with pytest.raises(InputError, match=r"--types view=click: 'click' is no event type; use clicks, carts, orders"):
        ingest([path], tmp_path / "store", types={"view": "click"})


def test_progress_tells_each_stage_to_its_end(tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    path = write(tmp_path / "a.jsonl", many_lines(200))
    ingest([path], tmp_path / "store", progress=lambda *step: told.append(step))
    assert list(dict.fromkeys(stage for stage, _, _ in told)) == ["check a.jsonl", "ingest a.jsonl", "sort events"]
    assert {stage: (done, total) for stage, done, total in told} == {
        "check a.jsonl": (path.stat().st_size, path.stat().st_size),
        "ingest a.jsonl": (path.stat().st_size, path.stat().st_size),
        "sort events": (2000, 2000),
    }


def test_the_summary_is_plain_json(tmp_path: Path) -> None:
    summary = ingest([write(tmp_path / "a.jsonl", many_lines(3))], tmp_path / "store")
    assert json.loads(json.dumps(summary.as_dict()))["events"] == 30


def test_the_manifest_names_what_the_files_take_up(tmp_path: Path) -> None:
    a = write(tmp_path / "a.jsonl", many_lines(3))
    b = write(tmp_path / "b.jsonl", [*many_lines(30, first=10), line(1, event(ts=-5))])
    ingest([a, b], tmp_path / "store")
    first, second = Store.open(tmp_path / "store").manifest.sources
    assert (first.first_position, first.positions) == (0, 30)
    assert (second.first_position, second.positions, second.rejects) == (30, 301, {"bad_timestamp": 1})


@pytest.mark.parametrize("text", [False, True])
def test_a_log_too_large_for_one_sort_becomes_files_that_share_no_session(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: bool
) -> None:
    monkeypatch.setattr(merge, "EVENTS_PER_PART", 70)
    lines = [
        line(f"user '{number % 41}'" if text else number % 41, event(number % 7, START + number), event(1, START))
        for number in range(200)
    ]
    told: list[tuple[str, int, int]] = []
    first = write(tmp_path / "a.jsonl", lines[:150])
    ingest([first, write(tmp_path / "b.jsonl", lines[150:])], tmp_path / "store", progress=lambda *s: told.append(s))
    assert stored(tmp_path / "store") == expected([lines])
    store = Store.open(tmp_path / "store")
    files = store.manifest.splits["train"].files
    assert len(files) > 3
    assert max(file.events for file in files) < 140
    assert not overlapping(files)
    assert told[-1] == ("sort events", 400, 400)
    # What comes later is held against all of them.
    more = write(tmp_path / "c.jsonl", [lines[3], line("x" if text else 99, event())])
    again = ingest([more], tmp_path / "store")
    assert (again.added_events, again.duplicates) == (1, 2)


def test_no_files(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="name at least one"):
        ingest([], tmp_path / "store")


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("google_merch.jsonl.gz", (162_014, 29_434, 372)),
        ("bol_serenade.jsonl.gz", (116_285, 24_385, 18_009)),
        ("yoochoose_apr2014.jsonl.gz", (83_845, 21_210, 2_933)),
        ("otto_official_sample.jsonl.gz", (862, 20, None)),
    ],
)
def test_real_files(tmp_path: Path, name: str, size: tuple[int, int, int | None]) -> None:
    summary = ingest([real(name)], tmp_path / "store")
    assert (summary.events, summary.sessions) == size[:2]
    assert size[2] in (None, summary.items)
    # yoochoose holds one event twice.
    assert (summary.duplicates, summary.rejects) == (int("yoochoose" in name), {})
