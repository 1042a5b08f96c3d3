"""The short cut for usual lines of OTTO JSONL against the reader of all lines: the same rows of whatever file."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import duckdb
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from nextcart.events import merge, staging, usual_lines
from nextcart.events.ingest import ingest
from nextcart.events.sources import open_raw
from nextcart.events.staging import Checks, Staged, stage
from nextcart.events.store import Store, connect
from nextcart.types import no_progress
from tests.raw_files import START, event, expected, line, stored, write

NEWEST = START + 1_000_000
MAPPED: dict[str, str] = {"clicks": "orders", "carts": "carts", "orders": "orders"}
CHECKS = Checks("int64", "int64", NEWEST, {}, MAPPED)

integers = st.one_of(st.integers(0, 3), st.sampled_from([10**18 - 1, 10**18, 2**63 - 1, 2**63, 10**30])).map(str)
odd_integers = st.sampled_from(
    ["-1", "-0", "01", "00", "1.0", "1e2", '"7"', '"a\\u0062"', "null", "true", "[1]", "", "+1", "1 2", "\u0661"]
)
times = st.one_of(
    st.integers(START, START + 2).map(str),
    st.sampled_from(["0", str(NEWEST), str(NEWEST + 1), "1659304800", "631151999", "4102444801", "9" * 19]),
)
types = st.one_of(
    st.sampled_from(['"clicks"', '"carts"', '"orders"']),
    st.sampled_from(['"click"', '"clicks', '"CLICKS"', '"\\u0063licks"', "0", "null", '"order"', '""', '"clicks\\t"']),
)


def rarely(usual: st.SearchStrategy[str], odd: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Mostly the first: a line of many parts would else hardly ever be a usual one."""
    return st.integers(0, 19).flatmap(lambda n: odd if n == 0 else usual)


spaces = rarely(st.sampled_from(["", " "]), st.sampled_from(["  ", "\t"]))


@st.composite
def event_texts(draw: st.DrawFn) -> str:
    aid, ts, kind = draw(rarely(integers, odd_integers)), draw(rarely(times, odd_integers)), draw(types)
    form = draw(
        rarely(
            st.just('{{"aid":{s}{aid},{s}"ts":{s}{ts},{s}"type":{s}{kind}}}'),
            st.sampled_from(
                [
                    '{{"ts":{ts},"aid":{aid},"type":{kind}}}',
                    '{{"aid":{aid},"ts":{ts},"type":{kind},"more":1}}',
                    '{{"aid":{aid},"aid":5,"ts":{ts},"type":{kind}}}',
                    '{{"aid":{aid},"ts":{ts}}}',
                    '{{"aid":{aid},"ts":{ts},"type":{kind}}},',
                    "{{}}",
                    "null",
                    "7",
                ]
            ),
        )
    )
    return str(form).format(s=draw(spaces), aid=aid, ts=ts, kind=kind)


@st.composite
def line_texts(draw: st.DrawFn) -> str:
    events = f",{draw(spaces)}".join(draw(st.lists(event_texts(), min_size=0, max_size=4)))
    form = draw(
        rarely(
            st.just('{{"session":{s}{session},{s}"events":{s}[{events}]}}{s}'),
            st.sampled_from(
                [
                    '{{"events":[{events}],"session":{session}}}',
                    '{{"session":{session},"session":3,"events":[{events}]}}',
                    '{{"session":{session},"events":[{events}]}} x',
                    '{{"session":{session},"events":[{events}',
                    '{{"session":{session}}}',
                    "{s}",
                    "\u00e4 \ufeff",
                    "\ufeff{{}}",
                    "a\x01b",
                    "a\x00b",
                    "[]",
                    '{{"session":{session},"events":[{events}]}}\r',
                ]
            ),
        )
    )
    return str(form).format(s=draw(spaces), session=draw(rarely(integers, odd_integers)), events=events)


def staged(path: Path, folder: Path, *, shortened: bool) -> tuple[Staged, list[Any], list[Any]]:
    """The staged file with its accepted events and its rejects, both in order."""
    folder.mkdir()
    with pytest.MonkeyPatch.context() as patch, connect(folder / "spill") as connection:
        if not shortened:
            patch.setattr(staging, "read_usual", lambda *_: None)
        part = stage(connection, open_raw(path), CHECKS, folder, 7, no_progress)
        columns = "position, session, aid, ts, type"
        good = connection.sql(f"select {columns} from ({part.accepted_sql()}) order by position").fetchall()
        rejects = duckdb.read_parquet(str(part.rejects_path)).fetchall() if part.rejects_path else []
    return part, good, rejects


def figures(part: Staged) -> tuple[object, ...]:
    return part.base, part.positions, part.accepted, part.rejects, part.examples, part.empty_sessions


@settings(max_examples=80, deadline=None)
@given(
    st.lists(line_texts(), min_size=1, max_size=12),
    st.sampled_from([1, 200, usual_lines.CHUNK_BYTES]),
    st.sampled_from(["", "\ufeff"]),
    st.sampled_from(["", "\n"]),
)
@example(['{"session":1,"events":[]}', line(2, event(1, START)), "x", line(3, event(1, START))], 1, "", "")
def test_the_short_cut_gives_what_the_reader_of_all_lines_gives(
    lines: list[str], chunk_bytes: int, start: str, end: str
) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(usual_lines, "CHUNK_BYTES", chunk_bytes)
        path = Path(folder) / "a.jsonl"
        path.write_text(start + "\n".join(lines) + end + " ", newline="")
        short, *short_rows = staged(path, Path(folder) / "short", shortened=True)
        full, *full_rows = staged(path, Path(folder) / "full", shortened=False)
        assert short_rows == full_rows
        assert figures(short) == figures(full)


IN_ORDER = [line(2, event(5, START), event(4, START), event(4, START, "carts")), line(3, event(1, START - 1))]


@pytest.mark.parametrize(
    ("more", "ordered"),
    [
        ([], (2, 3)),
        ([line(7, event())], (2, 7)),
        (['{"session": 8, "events": []}', '{"session": 9}'], (2, 3)),
        ([line(3, event(1, START + 1))], None),
        ([line(1, event())], None),
        ([line(4, event(1, START), event(1, START - 1))], None),
        ([line(4, event(1, START), event(2, START), event(1, START))], None),
        ([line(4, *(event(aid, START) for aid in range(90)))], None),
        (['{"events": [{"aid": 1, "ts": 1659304800025, "type": "carts"}], "session": 4}'], None),
    ],
)
@pytest.mark.parametrize("chunk_bytes", [1, usual_lines.CHUNK_BYTES])
def test_what_is_in_order_is_known_to_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: list[str], ordered: tuple[int, int] | None, chunk_bytes: int
) -> None:
    monkeypatch.setattr(usual_lines, "CHUNK_BYTES", chunk_bytes)
    part, *_ = staged(write(tmp_path / "a.jsonl", [*IN_ORDER, *more]), tmp_path / "staged", shortened=True)
    assert part.ordered == ordered


@pytest.mark.parametrize("per_part", [1, 2, merge.EVENTS_PER_PART])
@pytest.mark.parametrize(
    ("calls", "sorts"),
    [
        ([[IN_ORDER]], 0),
        ([[IN_ORDER, [line(4, event(1))]]], 0),
        ([[IN_ORDER], [[line(4, event(1))]]], 0),
        ([[IN_ORDER], [[line(1, event(1))]]], 0),
        ([[IN_ORDER, [line(3, event(1, START - 1)), line(4, event(9))]]], 1),
        ([[IN_ORDER], [[line(3, event(1, START - 1)), line(4, event(9))]]], 1),
        ([[IN_ORDER, [line(1, event())]]], 1),
    ],
)
def test_only_what_is_not_in_order_is_sorted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, per_part: int, calls: list[list[list[str]]], sorts: int
) -> None:
    monkeypatch.setattr(merge, "EVENTS_PER_PART", per_part)
    parts = Mock(wraps=merge._parts)
    monkeypatch.setattr(merge, "_parts", parts)
    for number, contents in enumerate(calls):
        names = [tmp_path / f"{number}-{place}.jsonl" for place in range(len(contents))]
        paths = [write(path, lines) for path, lines in zip(names, contents, strict=True)]
        ingest(paths, tmp_path / "store")
    assert stored(tmp_path / "store") == expected([lines for contents in calls for lines in contents])
    assert parts.call_count == sorts
    files = Store.open(tmp_path / "store").manifest.splits["train"].files
    assert sum(file.events for file in files) == len(stored(tmp_path / "store"))
    assert per_part > 2 or len(files) > 1
