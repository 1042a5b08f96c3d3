import json
from collections import Counter, defaultdict
from datetime import UTC, datetime
from math import ceil, inf

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextcart.errors import StoreMissing
from nextcart.events import profile as profile_module
from nextcart.events.ingest import ingest
from nextcart.events.profile import Day, Distribution, Path, from_counts, profile
from nextcart.events.profile_text import number_text, share_text, summary_rows, three_digits
from nextcart.events.store import Store
from nextcart.events.synth import SynthConfig, generate

MONDAY = 1_659_312_000_000  # 2022-08-01T00:00Z
HOUR, DAY = 3_600_000, 86_400_000
TYPES = ("clicks", "carts", "orders")


def stored(folder, sessions):
    """A store of sessions given as lists of (aid, ts, type)."""
    raw = folder / "events.jsonl"
    lines = [
        json.dumps({"session": number, "events": [{"aid": a, "ts": t, "type": k} for a, t, k in events]})
        for number, events in enumerate(sessions)
    ]
    raw.write_text("\n".join(lines), encoding="utf-8")
    ingest([raw], folder / "store")
    return Store.open(folder / "store")


@pytest.fixture
def tiny(tmp_path):
    """Four sessions over nine days: Monday, Tuesday and the Tuesday a week later."""
    return stored(
        tmp_path,
        [
            [
                (1, MONDAY, "clicks"),
                (1, MONDAY + 5, "carts"),
                (2, MONDAY + HOUR, "clicks"),
                (1, MONDAY + DAY, "orders"),
            ],
            [(1, MONDAY + DAY, "clicks"), (3, MONDAY + DAY + 1, "clicks")],
            [(4, MONDAY + 8 * DAY, "orders"), (1, MONDAY + 8 * DAY, "orders")],
            [(1, MONDAY + 8 * DAY + HOUR, "clicks")],
        ],
    )


def test_figures_of_a_shop_counted_by_hand(tiny):
    seen = profile(tiny)
    assert (seen.split, seen.sources) == ("train", ("events.jsonl",))
    assert (seen.events, seen.sessions, seen.items) == (9, 4, 4)
    assert seen.events_by_type == {"clicks": 5, "carts": 1, "orders": 3}
    assert seen.items_by_type == {"clicks": 3, "carts": 1, "orders": 2}
    assert (seen.first_ts, seen.last_ts, seen.days) == (MONDAY, MONDAY + 8 * DAY + HOUR, 9)
    assert seen.session_events == Distribution(2.25, 2, 4, 4, 4, ((1, 1, 1), (2, 2, 2), (3, 4, 1)))
    assert seen.session_items == Distribution(1.75, 2, 2, 2, 2, ((1, 1, 1), (2, 2, 3)))
    assert seen.item_events == Distribution(2.25, 1, 6, 6, 6, ((1, 1, 3), (2, 2, 0), (3, 4, 0), (5, 8, 1)))
    assert (seen.items_seen_once, seen.items_seen_twice, seen.items_without_cart_or_order) == (3, 0, 2)
    assert dict(seen.long_tail) == pytest.approx({1: 6 / 9, 2: 7 / 9, 3: 8 / 9, 4: 1.0})
    assert (seen.top_1_percent_share, seen.top_10_percent_share) == pytest.approx((6 / 9, 6 / 9))
    assert seen.daily[0] == Day("2022-08-01", 2, 1, 0, 3, 3.0)
    assert seen.daily[1] == Day("2022-08-02", 2, 0, 1, 3, 3.0)
    assert seen.daily[2] == Day("2022-08-03", 0, 0, 0, 0, 2.0)
    assert seen.daily[7] == Day("2022-08-08", 0, 0, 0, 0, 3 / 7)
    assert seen.daily[8] == Day("2022-08-09", 1, 0, 2, 3, 3 / 7)
    assert len(seen.daily) == 9
    assert seen.weekly[0][:3] == (1.0, 0.5, 0.0)  # two Mondays, the second without an event
    assert seen.weekly[1][:3] == (2.5, 0.5, 0.0)  # two Tuesdays
    assert seen.weekly[2] == (0.0,) * 24
    assert seen.paths == (Path(("clicks",), 2), Path(("clicks", "carts", "orders"), 1), Path(("orders",), 1))
    assert seen.funnel == ((("clicks",), 3), (("clicks", "carts"), 1), (("clicks", "carts", "orders"), 1))


def test_figures_of_a_synthetic_shop_are_those_of_plain_counting(tmp_path):
    generate(SynthConfig(scale=0.02, days=10, ids="string"), tmp_path / "shop.jsonl")
    lines = (tmp_path / "shop.jsonl").read_text(encoding="utf-8").splitlines()
    sessions = [json.loads(line)["events"] for line in lines]
    ingest([tmp_path / "shop.jsonl"], tmp_path / "store")
    seen = profile(Store.open(tmp_path / "store"))

    events = [event for session in sessions for event in session]
    frequency = Counter(event["aid"] for event in events)
    types_of = defaultdict(set)
    for event in events:
        types_of[event["aid"]].add(event["type"])
    assert (seen.events, seen.sessions, seen.items) == (len(events), len(sessions), len(frequency))
    assert seen.events_by_type == Counter(event["type"] for event in events)
    assert seen.items_by_type == {kind: sum(kind in types for types in types_of.values()) for kind in TYPES}
    assert seen.items_without_cart_or_order == sum(types == {"clicks"} for types in types_of.values())
    assert_distribution(seen.session_events, [len(session) for session in sessions])
    assert_distribution(seen.session_items, [len({e["aid"] for e in session}) for session in sessions])
    assert_distribution(seen.item_events, list(frequency.values()))
    kinds = Counter(tuple(k for k in TYPES if any(e["type"] == k for e in session)) for session in sessions)
    assert {path.types: path.sessions for path in seen.paths} == kinds
    dates = Counter(datetime.fromtimestamp(event["ts"] / 1000, tz=UTC).date().isoformat() for event in events)
    assert {day.date: day.events for day in seen.daily} == dates
    hours = Counter((d.weekday(), d.hour) for d in (datetime.fromtimestamp(e["ts"] / 1000, tz=UTC) for e in events))
    times = Counter(datetime.fromisoformat(date).weekday() for date in dates)
    for (weekday, hour), number in hours.items():
        assert seen.weekly[weekday][hour] == pytest.approx(number / times[weekday])


def assert_distribution(seen, values):
    values = sorted(values)
    assert seen.mean == pytest.approx(sum(values) / len(values))
    nearest = [values[ceil(share * len(values) / 100) - 1] for share in (50, 90, 99)]
    assert [seen.p50, seen.p90, seen.p99, seen.max] == [*nearest, values[-1]]
    assert sum(number for _, _, number in seen.histogram) == len(values)
    for low, high, number in seen.histogram:
        assert number == sum(low <= value <= high for value in values)


@given(st.lists(st.integers(1, 3000), min_size=1, max_size=300))
def test_quantiles_histogram_and_long_tail_of_any_item_frequencies(frequencies):
    counted = Counter(frequencies)
    none = [False] * len(counted)
    items = pa.table(
        {
            "events": list(counted),
            "number": list(counted.values()),
            "clicks": [True] * len(counted),
            "carts": none,
            "orders": none,
        }
    )
    hours = pa.table({"hour": [0], "type": [0], "events": [sum(frequencies)], "first_ts": [0], "last_ts": [0]})
    seen = from_counts("train", (), hours, items, empty("events", "items", "clicks", "carts", "orders", "number"))
    assert_distribution(seen.item_events, frequencies)
    ranked = sorted(frequencies, reverse=True)
    ranks = [rank for rank, _ in seen.long_tail]
    assert ranks == sorted(set(ranks))
    assert (ranks[0], ranks[-1]) == (1, len(ranked))
    assert [share for _, share in seen.long_tail] == pytest.approx([sum(ranked[:r]) / sum(ranked) for r in ranks])
    assert seen.top_10_percent_share == pytest.approx(sum(ranked[: ceil(len(ranked) / 10)]) / sum(ranked))


def test_sessions_counted_in_parts_give_the_same_profile(tmp_path, monkeypatch):
    generate(SynthConfig(scale=0.01), tmp_path / "shop.jsonl")
    ingest([tmp_path / "shop.jsonl"], tmp_path / "store")
    store = Store.open(tmp_path / "store")
    whole, told = profile(store), []
    monkeypatch.setattr(profile_module, "EVENTS_PER_PART", 500)
    assert profile(store, progress=lambda *step: told.append(step)) == whole
    parts = 1 + whole.events // 500
    assert told == [("profile", n, parts + 2) for n in range(1, parts + 3)]


def test_a_shop_that_records_orders_only_has_a_funnel_of_one_step(tmp_path):
    seen = profile(stored(tmp_path, [[(1, MONDAY, "orders"), (2, MONDAY, "orders")], [(1, MONDAY + 1, "orders")]]))
    assert seen.events_by_type == {"clicks": 0, "carts": 0, "orders": 3}
    assert seen.items_without_cart_or_order == 0
    assert seen.funnel == ((("orders",), 2),)
    assert seen.paths == (Path(("orders",), 2),)


def test_one_day_has_one_weekday(tmp_path):
    seen = profile(stored(tmp_path, [[(1, MONDAY + 5 * HOUR, "clicks"), (2, MONDAY + 5 * HOUR, "clicks")]]))
    assert seen.days == 1
    assert seen.daily == (Day("2022-08-01", 2, 0, 0, 2, 2.0),)
    assert seen.weekly[0][5] == 2.0
    assert seen.weekly[1:] == ((None,) * 24,) * 6


def empty(*columns):
    return pa.table({name: pa.array([], pa.int64()) for name in columns})


def test_no_events_are_a_profile_of_zeros():
    hours = empty("hour", "type", "events", "first_ts", "last_ts")
    items = empty("events", "clicks", "carts", "orders", "number")
    seen = from_counts("val_split", (), hours, items, empty(*items.column_names, "items"))
    assert (seen.events, seen.sessions, seen.items, seen.days) == (0, 0, 0, 0)
    assert (seen.first_ts, seen.last_ts) == (None, None)
    assert seen.item_events == Distribution(0.0, 0, 0, 0, 0, ())
    assert (seen.daily, seen.weekly, seen.long_tail, seen.paths, seen.funnel) == ((), (), (), (), ())
    assert ("events", "0") in summary_rows(seen)


def test_a_split_that_is_not_there_is_named(tiny):
    with pytest.raises(StoreMissing, match="has no split 'test'"):
        profile(tiny, "test")


def test_the_profile_is_json(tiny):
    seen = profile(tiny)
    assert json.loads(json.dumps(seen.as_dict()))["events_by_type"] == {"clicks": 5, "carts": 1, "orders": 3}


def test_the_summary_names_every_figure(tiny):
    rows = dict(summary_rows(profile(tiny)))
    assert rows["events: clicks"] == "5 (55.6 %)"
    assert rows["events per session"] == "mean 2.25 · p50 2 · p90 4 · p99 4 · max 4"
    assert rows["items seen once or twice"] == "3 (75.0 %)"
    assert rows["sessions with clicks + carts"] == "1 (25.0 %)"
    assert rows["sessions with orders only"] == "1 (25.0 %)"
    assert rows["first event (UTC)"] == "2022-08-01 00:00"


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"),
        (9_876, "9,876"),
        (386_993, "386,993"),
        (999_499, "999,499"),
        (999_500, "1.00 M"),
        (1_459_999, "1.46 M"),
        (12_899_779, "12.9 M"),
        (216_716_096, "217 M"),
        (999_700_000, "1.00 G"),
    ],
)
def test_numbers_are_written_for_people(number, text):
    assert number_text(number) == text


@pytest.mark.parametrize(
    ("part", "whole", "text"),
    [
        (899, 1000, "89.9 %"),
        (0, 5, "0.0 %"),
        (1, 10_000, "< 0.1 %"),
        (9_999, 10_000, "99.9 %"),
        (5, 5, "100.0 %"),
        (0, 0, "–"),
    ],
)
def test_shares_are_written_for_people(part, whole, text):
    assert share_text(part, whole) == text


@given(st.floats(0.001, 1e6), st.floats(0.001, 1e6))
def test_a_greater_number_is_never_written_smaller(one, two):
    low, high = sorted((one, two))
    assert float(three_digits(low).replace(",", "")) <= float(three_digits(high).replace(",", "")) < inf
