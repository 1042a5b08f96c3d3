"""Popularity of the last day, of the hour of the day, and among a session's neighbours: further lists for a ranker."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nextcart.kernels.scoring import take_top
from nextcart.models.model import Query, TrainingArrays, frozen
from nextcart.models.neighbour_lists import NO_MASK, ranked_by
from nextcart.models.permits import permits
from nextcart.types import DAY_MS, Float32s, Int32s, Int64s, Ranked, Source

OF_DAY, OF_HOUR, NEARBY = "popular_of_day", "popular_of_hour", "popular_nearby"
POPULARITY_LISTS = (OF_DAY, OF_HOUR, NEARBY)

HOURS = 24
HOUR_MS = DAY_MS // HOURS
KEPT = 1000
NEIGHBOURHOOD = 100
HOUR_DECAY_PER_DAY = 0.1
"""Of an event's weight in its hour of the day; in the neighbourhood it is one a day."""


@dataclass(frozen=True, slots=True)
class RecentPopularity:
    """What was popular of late, up to the newest training event; nothing that came after it is known.

    Attributes:
        day_items: int32, shape (at most `KEPT`,), by their events of the last day, most first.
        day_scores: float32, so many events.
        hour_items: int32, shape (24, at most `KEPT`), by their events in that hour of the day (UTC), most first;
            negative past the end.
        hour_scores: float32, sum of exp(-0.1 * age in days) over these events.
        weights: float32, shape (n_items,), sum of exp(-age in days) over an item's events.
    """

    day_items: Int32s
    day_scores: Float32s
    hour_items: Int32s
    hour_scores: Float32s
    weights: Float32s

    @classmethod
    def fit(cls, arrays: TrainingArrays) -> RecentPopularity:
        """Count."""
        sessions, n = arrays.sessions, arrays.n_items
        ages = (sessions.ts.max(initial=0) - sessions.ts) / DAY_MS
        day = _top(np.bincount(sessions.items[ages < 1], minlength=n))
        of_hour = _hours(sessions.ts)
        decayed = np.exp(-HOUR_DECAY_PER_DAY * ages)
        hours = [
            _top(np.bincount(sessions.items[of_hour == hour], decayed[of_hour == hour], minlength=n))
            for hour in range(HOURS)
        ]
        width = max(len(items) for items, _ in hours)
        hour_items, hour_scores = np.full((HOURS, width), -1, np.int32), np.zeros((HOURS, width), np.float32)
        for hour, (items, scores) in enumerate(hours):
            hour_items[hour, : len(items)], hour_scores[hour, : len(items)] = items, scores
        weights = np.bincount(sessions.items, np.exp(-ages), minlength=n).astype(np.float32)
        return cls(*(frozen(each) for each in (*day, hour_items, hour_scores, weights)))

    def of_day(self, query: Query) -> Ranked:
        """The items of the last day, most events first."""
        return self._top(query, self.day_items, self.day_scores)

    def of_hour(self, query: Query) -> Ranked:
        """The items of the hour of the day at which each session's last event came; none for an empty session."""
        sessions = query.sessions
        items = np.full((len(sessions), query.k), -1, np.int32)
        scores = np.zeros(items.shape, np.float32)
        full = np.flatnonzero(np.diff(sessions.offsets))
        hours = _hours(sessions.ts[sessions.offsets[full + 1] - 1])
        for hour in np.unique(hours):
            own = self.hour_items[hour] >= 0
            asking = full[hours == hour]
            ranked = self._top(query, frozen(self.hour_items[hour][own]), frozen(self.hour_scores[hour][own]))
            items[asking], scores[asking] = ranked.items[asking], ranked.scores[asking]
        return ranked_by(Source.TOP_SELLERS, items, scores)

    def nearby(self, neighbours: Callable[[Query], Ranked], query: Query) -> Ranked:
        """Of the first `NEIGHBOURHOOD` items that the session's neighbours bring, the most popular of late first."""
        # The same items whatever the length, so that a shorter list is the start of a longer one.
        ranked = neighbours(replace(query, k=NEIGHBOURHOOD))
        weights = np.where(ranked.items >= 0, self.weights[ranked.items], np.float32(-1))
        order = np.argsort(-weights, axis=1, kind="stable")[:, : query.k]
        items = np.full((len(query.sessions), query.k), -1, np.int32)
        scores = np.zeros(items.shape, np.float32)
        items[:, : order.shape[1]] = np.take_along_axis(ranked.items, order, axis=1)
        scores[:, : order.shape[1]] = np.maximum(np.take_along_axis(weights, order, axis=1), 0)
        return ranked_by(Source.SESSION_NEIGHBOURS, items, scores)

    def arrays(self, prefix: str) -> dict[str, NDArray[Any]]:
        """The columns by the names under which they are saved."""
        return {f"{prefix}{field.name}": getattr(self, field.name) for field in fields(self)}

    @classmethod
    def from_arrays(cls, arrays: dict[str, NDArray[Any]], prefix: str) -> RecentPopularity:
        """The reverse of `arrays`."""
        return cls(**{field.name: arrays[f"{prefix}{field.name}"] for field in fields(cls)})

    def _top(self, query: Query, items: Int32s, scores: Float32s) -> Ranked:
        items, scores = take_top(len(query.sessions), query.k, items, scores, *permits(query), NO_MASK)
        return ranked_by(Source.TOP_SELLERS, items, scores)


def _top(scores: NDArray[Any]) -> tuple[Int32s, Float32s]:
    rounded = scores.astype(np.float32)
    order = np.argsort(-rounded, kind="stable")[:KEPT]
    order = order[rounded[order] > 0]
    return order.astype(np.int32), rounded[order]


def _hours(ts: Int64s) -> Int64s:
    hours: Int64s = ts // HOUR_MS % HOURS
    return hours
