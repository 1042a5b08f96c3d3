"""The figures that the synthetic shop shall share with the OTTO dataset, counted while it is made."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np

from nextcart.events.profile_text import number_text, three_digits, time_text
from nextcart.events.synth_curves import MAX_EVENTS
from nextcart.events.synth_output import Chunk
from nextcart.types import DAY_MS, TYPE_NAMES, Int64s

START_MS = 1_659_304_800_000
"""2022-07-31T22:00Z, the start of the OTTO dataset: midnight of a Monday in Germany."""
WEEKDAY_NAMES = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


@dataclass(frozen=True, slots=True)
class Spread:
    """A count over sessions or items; quantiles are nearest-rank."""

    mean: float
    min: int
    p50: int
    p90: int
    p99: int
    max: int


@dataclass(frozen=True, slots=True)
class PerType:
    """A figure of each event type."""

    clicks: float
    carts: float
    orders: float


@dataclass(frozen=True, slots=True)
class Figures:
    """The shape of a shop.

    Attributes:
        sessions, events, items: their numbers; items are those with an event.
        first_ts, last_ts: the time range, Unix milliseconds.
        percent: share of the events, in per cent.
        session_events: events of a session.
        item_events: events of an item.
        session_items: mean number of distinct items of a session.
        events_where_any: mean number of events of a type in the sessions that have the type.
        busiest_weekday: day of the week with the most events, on days that begin at 22:00 UTC, midnight in Germany.
    """

    sessions: int
    events: int
    items: int
    first_ts: int
    last_ts: int
    percent: PerType
    session_events: Spread
    item_events: Spread
    session_items: float
    events_where_any: PerType
    busiest_weekday: str

    def as_dict(self) -> dict[str, object]:
        """The figures by name, for JSON."""
        return asdict(self)


OTTO = Figures(
    sessions=12_899_779,
    events=216_716_096,
    items=1_855_603,
    first_ts=START_MS,
    last_ts=START_MS + 28 * DAY_MS - 1,
    percent=PerType(89.85, 7.80, 2.35),
    session_events=Spread(16.80, 2, 6, 39, 176, 500),
    item_events=Spread(116.79, 3, 20, 183, 1678, 129_004),
    session_items=10.4,
    events_where_any=PerType(15.1, 4.4, 3.1),
    busiest_weekday="Sunday",
)
"""The training set of the OTTO dataset (https://github.com/otto-de/recsys-dataset)."""


class Counter:
    """Counts chunk after chunk; holds a number an item, whatever the number of events."""

    def __init__(self, n_items: int, days: int) -> None:
        self._by_item = np.zeros(n_items, np.int64)
        self._by_length = np.zeros(MAX_EVENTS + 1, np.int64)
        self._by_type, self._with_type = np.zeros((2, len(TYPE_NAMES)), np.int64)
        self._by_day = np.zeros(days, np.int64)
        self._session_items = 0
        self._first_ts, self._last_ts = int(np.iinfo(np.int64).max), 0

    def add(self, chunk: Chunk) -> None:
        """Count the sessions of a chunk."""
        items, types, n_items = chunk.walk.items, chunk.walk.types, len(self._by_item)
        lengths = np.diff(chunk.walk.offsets)
        session = np.repeat(np.arange(len(lengths)), lengths)
        self._by_item += np.bincount(items, minlength=n_items)
        self._by_length += np.bincount(lengths, minlength=MAX_EVENTS + 1)
        self._by_day += np.bincount((chunk.ts - START_MS) // DAY_MS, minlength=len(self._by_day))
        pairs = session * n_items + items
        pairs.sort()
        self._session_items += 1 + int(np.count_nonzero(np.diff(pairs)))
        for number in range(len(TYPE_NAMES)):
            where = session[types == number]
            self._by_type[number] += len(where)
            self._with_type[number] += np.count_nonzero(np.diff(where, prepend=-1))
        self._first_ts = min(self._first_ts, int(chunk.ts.min()))
        self._last_ts = max(self._last_ts, int(chunk.ts.max()))

    def by_type(self) -> tuple[int, ...]:
        """Events of each type, in the order of `EventType`."""
        return tuple(self._by_type.tolist())

    def figures(self) -> Figures:
        """The figures of all chunks so far, at least one."""
        sessions, events = int(self._by_length.sum()), int(self._by_type.sum())
        by_item = np.bincount(self._by_item)
        by_item[0] = 0
        return Figures(
            sessions=sessions,
            events=events,
            items=int(by_item.sum()),
            first_ts=self._first_ts,
            last_ts=self._last_ts,
            percent=PerType(*(100 * self._by_type / events).tolist()),
            session_events=_spread(self._by_length),
            item_events=_spread(by_item),
            session_items=self._session_items / sessions,
            events_where_any=PerType(*(self._by_type / np.maximum(self._with_type, 1)).tolist()),
            busiest_weekday=WEEKDAY_NAMES[_busiest_weekday(self._by_day)],
        )


def _spread(histogram: Int64s) -> Spread:
    """The distribution of a count of which ``histogram[i]`` things have ``i``."""
    reached = np.cumsum(histogram)
    total = int(reached[-1])
    p50, p90, p99 = (int(np.searchsorted(reached, -(-percent * total // 100))) for percent in (50, 90, 99))
    values = np.flatnonzero(histogram)
    mean = float(np.dot(values, histogram[values]) / total)
    return Spread(mean, int(values[0]), p50, p90, p99, int(values[-1]))


def _busiest_weekday(by_day: Int64s) -> int:
    weekday = np.arange(len(by_day)) % 7
    return int(np.argmax(np.bincount(weekday, by_day) / np.bincount(weekday)))


def compared_rows(shop: Figures) -> list[tuple[str, str, str]]:
    """The figures as (name, value, OTTO's value), in reading order."""
    return [(name, ours, theirs) for (name, ours), (_, theirs) in zip(_rows(shop), _rows(OTTO), strict=True)]


def _rows(figures: Figures) -> list[tuple[str, str]]:
    rows = [(name, f"{getattr(figures, name):,}") for name in ("sessions", "events", "items")]
    rows += [
        ("first event (UTC)", time_text(figures.first_ts)),
        ("last event (UTC)", time_text(figures.last_ts)),
        ("busiest day of the week", figures.busiest_weekday),
    ]
    rows += [(f"{name}, % of events", f"{getattr(figures.percent, name):.2f}") for name in TYPE_NAMES]
    rows += _spread_rows("events per session", figures.session_events)
    rows.append(("distinct items per session, mean", three_digits(figures.session_items)))
    rows += [
        (f"{name} per session with {name}, mean", three_digits(getattr(figures.events_where_any, name)))
        for name in TYPE_NAMES
    ]
    return rows + _spread_rows("events per item", figures.item_events)


def _spread_rows(name: str, spread: Spread) -> list[tuple[str, str]]:
    whole = {"min": spread.min, "p50": spread.p50, "p90": spread.p90, "p99": spread.p99, "max": spread.max}
    return [
        (f"{name}, mean", three_digits(spread.mean)),
        *((f"{name}, {key}", number_text(n)) for key, n in whole.items()),
    ]
