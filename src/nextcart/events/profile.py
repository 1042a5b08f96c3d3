"""The exploratory profile of a store: how many, how often, when, and who goes from click to order.

Three queries count groups (hours, items by frequency, sessions by length); every figure is exact and comes from those
counts, so that memory depends on the number of different values, not on the number of events.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import pairwise

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from nextcart.events.engine import Engine
from nextcart.events.store import Store
from nextcart.types import DAY_MS, TYPE_NAMES, Int64s, Objective, Progress, no_progress

EVENTS_PER_PART = 25_000_000
"""Sessions are counted in parts of about this many events, which take some 400 MB."""
HOUR_MS = 3_600_000
MAX_TAIL_POINTS = 400
"""Points of the long-tail curve, evenly spaced in the logarithm of the rank."""
WEEK = 7


@dataclass(frozen=True, slots=True)
class Distribution:
    """A count over sessions or items. Quantiles are nearest-rank: the smallest value that covers the share.

    Attributes:
        histogram: (lowest value, highest value, number) of bins that double in width: 1, 2, 3–4, 5–8, …
    """

    mean: float
    p50: int
    p90: int
    p99: int
    max: int
    histogram: tuple[tuple[int, int, int], ...]


@dataclass(frozen=True, slots=True)
class Day:
    """Events of one day (UTC); `average` is the mean of it and the six days before it, as far as the data has them."""

    date: str
    clicks: int
    carts: int
    orders: int
    events: int
    average: float


@dataclass(frozen=True, slots=True)
class Path:
    """Sessions with just these types of event, in whatever order they came."""

    types: tuple[Objective, ...]
    sessions: int


@dataclass(frozen=True, slots=True)
class Profile:
    """All figures of one split of a store.

    Attributes:
        split: which part of the store.
        sources: names of the raw files behind it.
        events, sessions, items: their numbers.
        events_by_type: events of each type.
        items_by_type: distinct items of each type.
        first_ts, last_ts: the time range, Unix milliseconds; None where there is no event.
        days: calendar days (UTC) from the first event to the last, both included.
        session_events: events of a session.
        session_items: distinct items of a session.
        item_events: events of an item.
        items_seen_once, items_seen_twice: items with just one and just two events.
        items_without_cart_or_order: items that are only ever clicked.
        long_tail: (rank, share): the share of all events that the most frequent items up to that rank have.
        top_1_percent_share, top_10_percent_share: the same at 1 % and 10 % of the items, rounded up to whole items.
        daily: every day of the range.
        weekly: events of a mean hour, a row a weekday (Monday first), a column an hour (UTC); None for a weekday that
            the range does not touch.
        paths: sessions by the set of their types, the most frequent first.
        funnel: (steps, sessions): sessions with the first type there is, with that and the next, with all.
    """

    split: str
    sources: tuple[str, ...]
    events: int
    sessions: int
    items: int
    events_by_type: Mapping[Objective, int]
    items_by_type: Mapping[Objective, int]
    first_ts: int | None
    last_ts: int | None
    days: int
    session_events: Distribution
    session_items: Distribution
    item_events: Distribution
    items_seen_once: int
    items_seen_twice: int
    items_without_cart_or_order: int
    long_tail: tuple[tuple[int, float], ...]
    top_1_percent_share: float
    top_10_percent_share: float
    daily: tuple[Day, ...]
    weekly: tuple[tuple[float | None, ...], ...]
    paths: tuple[Path, ...]
    funnel: tuple[tuple[tuple[Objective, ...], int], ...]

    def as_dict(self) -> dict[str, object]:
        """The figures by name, for JSON."""
        return asdict(self)


def profile(
    store: Store, split: str = "train", progress: Progress = no_progress, *, engine: Engine | None = None
) -> Profile:
    """Compute the figures of `split`, by DuckDB or the engine given.

    Raises:
        StoreMissing: the store has no such split.
    """
    name = store.require(split)
    facts = store.manifest.splits[name]
    # Parts are for DuckDB, which holds the lists of items of all sessions at once.
    parts = 1 + facts.events // EVENTS_PER_PART if engine is None else 1
    steps = parts + 2
    run = store.run if engine is None else engine.run
    hours = run("profile_hours", split=name)
    progress("profile", 1, steps)
    items = run("profile_items", split=name)
    progress("profile", 2, steps)
    counted = []
    for part in range(parts):
        counted.append(run("profile_sessions", split=name, parts=parts, part=part))
        progress("profile", 3 + part, steps)
    origin = "test" if name == "test" else "train"
    sources = tuple(source.name for source in store.manifest.sources if source.split == origin)
    return from_counts(name, sources, hours, items, pa.concat_tables(counted))


def from_counts(split: str, sources: tuple[str, ...], hours: pa.Table, items: pa.Table, sessions: pa.Table) -> Profile:
    """All figures from the tables of the queries ``profile_hours``, ``profile_items`` and ``profile_sessions``."""
    first = _column(hours, "first_ts").min().item() if hours.num_rows else None
    last = _column(hours, "last_ts").max().item() if hours.num_rows else None
    n_items, frequency = _column(items, "number"), _column(items, "events")
    n_sessions, length = _column(sessions, "number"), _column(sessions, "events")
    by_type = np.bincount(_column(hours, "type"), weights=_column(hours, "events"), minlength=len(TYPE_NAMES))
    bought = _flag(items, "carts") | _flag(items, "orders")
    n, tail = int(n_items.sum()), _tail(frequency, n_items)
    paths = _paths(sessions)
    return Profile(
        split=split,
        sources=sources,
        events=int(by_type.sum()),
        sessions=int(n_sessions.sum()),
        items=n,
        events_by_type=dict(zip(TYPE_NAMES, by_type.astype(int).tolist(), strict=True)),
        items_by_type={name: int(n_items[_flag(items, name)].sum()) for name in TYPE_NAMES},
        first_ts=first,
        last_ts=last,
        days=last // DAY_MS - first // DAY_MS + 1 if first is not None and last is not None else 0,
        session_events=_distribution(length, n_sessions),
        session_items=_distribution(_column(sessions, "items"), n_sessions),
        item_events=_distribution(frequency, n_items),
        items_seen_once=int(n_items[frequency == 1].sum()),
        items_seen_twice=int(n_items[frequency == 2].sum()),
        items_without_cart_or_order=int(n_items[~bought].sum()),
        long_tail=_at_ranks(tail, np.geomspace(1, n, MAX_TAIL_POINTS).round()) if n else (),
        top_1_percent_share=_at_ranks(tail, np.ceil([n / 100]))[0][1],
        top_10_percent_share=_at_ranks(tail, np.ceil([n / 10]))[0][1],
        daily=_daily(hours),
        weekly=_weekly(hours),
        paths=paths,
        funnel=_funnel(paths),
    )


def _column(table: pa.Table, name: str) -> Int64s:
    return np.asarray(table.column(name).to_numpy(), np.int64)


def _flag(table: pa.Table, name: str) -> NDArray[np.bool_]:
    return np.asarray(table.column(name).to_numpy(), np.bool_)


def _distribution(values: Int64s, numbers: Int64s) -> Distribution:
    """The distribution of values of which each occurs `numbers` times; `values` may hold one several times."""
    if not len(values):
        return Distribution(0.0, 0, 0, 0, 0, ())
    order = np.argsort(values)
    values, numbers = values[order], numbers[order]
    reached = np.cumsum(numbers)
    total = int(reached[-1])
    p50, p90, p99 = (int(values[np.searchsorted(reached, -(-percent * total // 100))]) for percent in (50, 90, 99))
    mean = float(np.dot(values, numbers) / total)
    return Distribution(mean, p50, p90, p99, int(values[-1]), _histogram(values, numbers))


def _histogram(values: Int64s, numbers: Int64s) -> tuple[tuple[int, int, int], ...]:
    """Bins 1, 2, 3–4, 5–8, … up to the highest value; `values` ascend."""
    highest = [0] + [2**power for power in range(int(values[-1] - 1).bit_length() + 1)]
    reached = np.concatenate([[0], np.cumsum(numbers)])
    below = reached[np.searchsorted(values, highest, side="right")]
    return tuple(
        (low + 1, high, int(n)) for (low, high), n in zip(pairwise(highest), np.diff(below).tolist(), strict=True)
    )


def _tail(frequency: Int64s, numbers: Int64s) -> tuple[Int64s, NDArray[np.float64]]:
    """Ranks of items, the most frequent first, and the share of all events that the items up to each rank have.

    Items of one frequency share a run of ranks, over which the sum of events is a straight line: nothing is lost by
    keeping the ends of the runs only.
    """
    order = np.argsort(-frequency, kind="stable")
    ranks = np.concatenate([[0], np.cumsum(numbers[order])])
    reached = np.concatenate([[0], np.cumsum(frequency[order] * numbers[order])])
    return ranks, reached / max(int(reached[-1]), 1)


def _at_ranks(tail: tuple[Int64s, NDArray[np.float64]], ranks: NDArray[np.float64]) -> tuple[tuple[int, float], ...]:
    """The share at each of the whole `ranks`, without repeats."""
    at = np.unique(ranks.astype(np.int64))
    return tuple(zip(at.tolist(), np.interp(at, *tail).tolist(), strict=True))


def _daily(hours: pa.Table) -> tuple[Day, ...]:
    if not hours.num_rows:
        return ()
    day = _column(hours, "hour") // 24
    first, n_days = int(day.min()), int(day.max() - day.min()) + 1
    cell = (day - first) * len(TYPE_NAMES) + _column(hours, "type")
    by_type = np.bincount(cell, weights=_column(hours, "events"), minlength=n_days * len(TYPE_NAMES))
    counts = by_type.reshape(n_days, len(TYPE_NAMES)).astype(np.int64)
    reached = np.concatenate([[0], np.cumsum(counts.sum(axis=1))])
    until = np.arange(1, n_days + 1)
    since = np.maximum(until - WEEK, 0)
    averages = (reached[until] - reached[since]) / (until - since)
    dates = [_date(day) for day in range(first, first + n_days)]
    return tuple(
        Day(date, clicks, carts, orders, clicks + carts + orders, average)
        for date, (clicks, carts, orders), average in zip(dates, counts.tolist(), averages.tolist(), strict=True)
    )


def _weekly(hours: pa.Table) -> tuple[tuple[float | None, ...], ...]:
    if not hours.num_rows:
        return ()
    hour = _column(hours, "hour")
    day = hour // 24
    days = np.arange(day.min(), day.max() + 1)
    # 1970-01-01 was a Thursday, the day with number 3 of a week that starts on Monday.
    times = np.bincount((days + 3) % WEEK, minlength=WEEK)
    cell = (day + 3) % WEEK * 24 + hour % 24
    events = np.bincount(cell, weights=_column(hours, "events"), minlength=WEEK * 24).reshape(WEEK, 24)
    return tuple(
        tuple((row / n).tolist()) if n else (None,) * 24 for row, n in zip(events, times.tolist(), strict=True)
    )


def _paths(sessions: pa.Table) -> tuple[Path, ...]:
    bits = sum(_flag(sessions, name).astype(np.int64) << number for number, name in enumerate(TYPE_NAMES))
    totals = np.bincount(bits, weights=_column(sessions, "number"), minlength=2 ** len(TYPE_NAMES))
    paths = [
        Path(tuple(name for number, name in enumerate(TYPE_NAMES) if code >> number & 1), int(total))
        for code, total in enumerate(totals.tolist())
        if total
    ]
    return tuple(sorted(paths, key=lambda path: (-path.sessions, path.types)))


def _funnel(paths: Sequence[Path]) -> tuple[tuple[tuple[Objective, ...], int], ...]:
    """Sessions that have the first 1, 2, … of the types that occur at all."""
    there = [name for name in TYPE_NAMES if any(name in path.types for path in paths)]
    steps = [tuple(there[: n + 1]) for n in range(len(there))]
    return tuple((step, sum(path.sessions for path in paths if set(step) <= set(path.types))) for step in steps)


def _date(day: int) -> str:
    return datetime.fromtimestamp(day * DAY_MS / 1000, tz=UTC).date().isoformat()
