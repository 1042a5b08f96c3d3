"""The two ways to split, against a plain loop, and free of leakage."""

from __future__ import annotations

import tempfile
from collections import defaultdict
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nextcart.config import SplitConfig
from nextcart.errors import InputError
from nextcart.events import merge
from nextcart.events.ingest import ingest
from nextcart.events.split import split
from nextcart.events.store import Store
from tests.raw_files import DAY, START, Row, event, line, many_lines, real, stored, write

HOUR = 3_600_000

# Hours, not milliseconds, so that sessions end and start at equal times and right at the cut.
events = st.builds(lambda aid, hour: event(aid, START + hour * HOUR), st.integers(0, 5), st.integers(0, 48))
shops = st.lists(st.lists(events, min_size=1, max_size=6), min_size=2, max_size=12)


def by_session(rows: list[Row]) -> dict[int | str, list[Row]]:
    sessions: dict[int | str, list[Row]] = defaultdict(list)
    for row in rows:
        sessions[row[0]].append(row)
    return sessions


def percentile_by_hand(rows: list[Row], quantile: float) -> tuple[list[Row], list[Row]]:
    sessions = by_session(rows)
    ends = sorted(session[-1][2] for session in sessions.values())
    # The smallest end that at least the share ``quantile`` of all ends do not exceed.
    cut = next(end for n, end in enumerate(ends, 1) if n >= quantile * len(ends) - 1e-9)
    early = [row for session in sessions.values() if session[-1][2] <= cut for row in session]
    late = [row for session in sessions.values() if session[-1][2] > cut for row in session]
    return early, late


def days_by_hand(rows: list[Row], days: float) -> tuple[list[Row], list[Row]]:
    cut = max(row[2] for row in rows) - round(days * DAY)
    early, late = [], []
    for session in by_session(rows).values():
        if session[0][2] > cut:
            late += session
            continue
        kept = [row for row in session if row[2] < cut]
        if len(kept) >= 2:
            early += kept
    return early, late


@settings(max_examples=16, deadline=None)
@given(
    shops,
    st.sampled_from([0.3, 0.5, 0.75, 0.9]),
    st.sampled_from([0.25, 0.5, 1.0]),
    st.sampled_from([4, merge.EVENTS_PER_PART]),
)
def test_no_leakage_and_nothing_lost_that_is_not_counted(
    shop: list[list[dict[str, object]]], q: float, d: float, per_part: int
) -> None:
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
        patch.setattr(merge, "EVENTS_PER_PART", per_part)
        root = Path(folder) / "store"
        ingest([write(Path(folder) / "a.jsonl", [line(n, *session) for n, session in enumerate(shop)])], root)
        rows = stored(root)
        for config, (early, late) in (
            (SplitConfig(method="percentile", quantile=q), percentile_by_hand(rows, q)),
            (SplitConfig(method="days", days=d), days_by_hand(rows, d)),
        ):
            if not early or not late:
                with pytest.raises(InputError, match="would be empty"):
                    split(root, config)
                continue
            summary = split(root, config)
            train, val = stored(root, "train_split"), stored(root, "val_split")
            assert (train, val) == (early, late)
            assert not {row[0] for row in train} & {row[0] for row in val}
            assert stored(root) == rows
            assert summary.dropped_events == len(rows) - len(train) - len(val)
            assert summary.dropped_sessions == len(by_session(rows)) - len(by_session(train)) - len(by_session(val))
            assert (summary.train_split.events, summary.val_split.events) == (len(train), len(val))
            if config.method == "percentile":
                assert summary.dropped_events == 0
                assert max(row[2] for row in train) <= summary.cut_ts
                assert all(session[-1][2] > summary.cut_ts for session in by_session(val).values())
            else:
                assert max(row[2] for row in train) < summary.cut_ts < min(row[2] for row in val)


def test_percentile_by_hand(tmp_path: Path) -> None:
    # Session n runs from hour n to hour n and 9 minutes: 9 of 10 end by hour 8.
    ingest([write(tmp_path / "a.jsonl", many_lines(10))], tmp_path / "store")
    summary = split(tmp_path / "store")
    assert summary.cut_ts == START + 8 * HOUR + 9 * 60_000
    assert {row[0] for row in stored(tmp_path / "store", "val_split")} == {9}
    assert (summary.method, summary.parameter, summary.already_there) == ("percentile", 0.9, False)


def test_days_by_hand(tmp_path: Path) -> None:
    cut = START + 9 * DAY
    lines = [
        line(1, event(1, cut - 2), event(2, cut - 1), event(3, cut), event(4, cut + 1)),
        line(2, event(1, cut - 1), event(2, cut + 5)),
        line(3, event(1, cut), event(2, cut + 5)),
        line(4, event(9, cut + 1), event(2, cut + DAY)),
        line(5, event(1, cut + 7)),
    ]
    ingest([write(tmp_path / "a.jsonl", lines)], tmp_path / "store")
    summary = split(tmp_path / "store", SplitConfig(method="days", days=1))
    assert summary.cut_ts == cut
    assert [row[:2] for row in stored(tmp_path / "store", "train_split")] == [(1, 1), (1, 2)]
    # Item 9 is unknown to training and stays; so does a session of one event.
    assert [row[:2] for row in stored(tmp_path / "store", "val_split")] == [(4, 9), (4, 2), (5, 1)]
    assert (summary.dropped_events, summary.dropped_sessions) == (6, 2)


def test_the_same_split_twice_writes_nothing_and_another_replaces_it(tmp_path: Path) -> None:
    root = tmp_path / "store"
    whole = ingest([write(tmp_path / "a.jsonl", many_lines(30))], root)
    first = split(root)
    manifest = (root / "manifest.json").read_bytes()
    again = split(root)
    assert again.already_there
    assert (root / "manifest.json").read_bytes() == manifest
    assert again.val_split == first.val_split
    other = split(root, SplitConfig(quantile=0.5))
    assert other.val_split.sessions == 15
    assert len({whole.fingerprint, first.fingerprint, other.fingerprint}) == 3
    back = split(root)
    assert (back.already_there, back.fingerprint, back.val_split) == (False, first.fingerprint, first.val_split)


def test_a_session_over_two_files_is_split_as_one(tmp_path: Path) -> None:
    root = tmp_path / "store"
    ingest([write(tmp_path / "a.jsonl", [line(1, event(1)), line(2, event(1))])], root)
    ingest([write(tmp_path / "b.jsonl", [line(1, event(2, START + DAY))])], root)
    split(root, SplitConfig(quantile=0.5))
    assert [row[:2] for row in stored(root, "val_split")] == [(1, 1), (1, 2)]


@pytest.mark.parametrize(
    ("config", "says"),
    [
        (
            SplitConfig(quantile=0.99),
            r"the val_split part would be empty at quantile 0\.99; lower --quantile",
        ),
        (SplitConfig(method="days", days=0.01), r"no session starts in the last 0\.01 days.*raise --days"),
        (SplitConfig(method="days", days=60), r"before the last 60\.0 days, so train_split.*lower --days"),
    ],
)
def test_an_empty_part_is_refused_with_the_number_to_change(tmp_path: Path, config: SplitConfig, says: str) -> None:
    lines = [
        line(n, event(1, START + n), event(1, START + n * HOUR), event(2, START + 200 * HOUR)) for n in range(1, 5)
    ]
    ingest([write(tmp_path / "a.jsonl", lines)], tmp_path / "store")
    with pytest.raises(InputError, match=says):
        split(tmp_path / "store", config)
    assert Store.open(tmp_path / "store").splits() == ("train",)


def test_days_on_real_data_is_the_official_rule(tmp_path: Path) -> None:
    ingest([real("otto_official_sample.jsonl.gz")], tmp_path / "store")
    split(tmp_path / "store", SplitConfig(method="days", days=7))
    early, late = days_by_hand(stored(tmp_path / "store"), 7)
    assert (stored(tmp_path / "store", "train_split"), stored(tmp_path / "store", "val_split")) == (early, late)
    assert early
    assert late


def test_progress_runs_once_over_all_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merge, "EVENTS_PER_PART", 20)
    ingest([write(tmp_path / "a.jsonl", many_lines(10))], tmp_path / "store")
    parts = len(Store.open(tmp_path / "store").manifest.splits["train"].files)
    assert parts > 2
    told: list[tuple[str, int, int]] = []
    split(tmp_path / "store", progress=lambda *step: told.append(step))
    events = Store.open(tmp_path / "store").manifest.splits["train"].events
    for name in ("split: ends of sessions", "split"):
        steps = [(done, total) for stage, done, total in told if stage == name]
        assert len(steps) > parts
        assert steps == sorted(steps)
        assert (steps[0], steps[-1]) == ((0, events), (events, events))
