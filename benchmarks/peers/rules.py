"""Rules as used on OTTO in public: what the session already saw, then what was co-visited with it.

Two matrices of symmetric pairs within a day: one whose pairs count by the time they happened, for clicks, and one whose
pairs count by the other item's type, for carts and orders. The session's own items come first, by recency and type.
"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from .log import DAY_MS, Floats, Ints, Log, Session
from .neighbours import Grid

WINDOW = 10
"""Positions within which two events of a session make a pair."""
TYPE_WEIGHTS = np.array([1.0, 6.0, 3.0])


class Pairs:
    """Co-visitation counts of each item, the largest first.

    Attributes:
        starts: item ``a`` has the entries ``starts[a]:starts[a + 1]``.
        others: rows.
        weights: the counts.
    """

    def __init__(self, log: Log, weight: Floats) -> None:
        """Count pairs in both directions, each by the ``weight`` of its other event."""
        items, ts, n = log.events.items, log.events.ts, len(log.aids)
        owner = np.repeat(np.arange(len(log)), np.diff(log.offsets))
        keys, weights = [], []
        for distance in range(1, WINDOW + 1):
            first, second = np.arange(len(items) - distance), np.arange(distance, len(items))
            near = (owner[first] == owner[second]) & (items[first] != items[second])
            near &= ts[second] - ts[first] < DAY_MS
            first, second = first[near], second[near]
            keys += [items[first] * n + items[second], items[second] * n + items[first]]
            weights += [weight[second], weight[first]]
        found, inverse = np.unique(np.concatenate(keys), return_inverse=True)
        counts = np.bincount(inverse, np.concatenate(weights), len(found)).astype(np.float64)
        owners = found // n
        order = np.lexsort((-counts, owners))
        self.starts = np.searchsorted(owners, np.arange(n + 1))
        self.others: Ints = found[order] % n
        self.weights: Floats = counts[order]

    def of(self, item: int, most: int) -> tuple[Ints, Floats]:
        """The largest entries of an item."""
        part = slice(self.starts[item], min(self.starts[item + 1], self.starts[item] + most))
        return self.others[part], self.weights[part]


class RulesIndex:
    """Both matrices, for all settings."""

    def __init__(self, log: Log) -> None:
        """Count them."""
        ts = log.events.ts
        late = (ts - ts.min()) / max(float(np.ptp(ts)), 1.0)
        self.clicks = Pairs(log, 1.0 + 3.0 * late)
        self.buys = Pairs(log, TYPE_WEIGHTS[log.events.types])


class Rules:
    """History by recency and type, filled with co-visited items."""

    name = "rules"
    GRID: ClassVar[Grid] = {
        "top": (20, 10, 40),
        "decay": (1.0, 0.8, 0.5),
        "history_first": (True, False),
        "matrix": ("clicks", "buys"),
        "without_last": (False, True),
    }

    def __init__(self, index: RulesIndex, **settings: Any) -> None:
        """Take the matrices and any settings that differ from the defaults."""
        self.index = index
        self.set = {name: values[0] for name, values in self.GRID.items()} | settings

    def recommend(self, session: Session, n: int, objective: str = "") -> Ints:
        """The best ``n`` items, rows; an objective chooses the matrix, else the setting does."""
        known = session.items >= 0
        items, types = session.items[known], session.types[known]
        if not len(items):
            return items
        matrix = objective or self.set["matrix"]
        pairs = self.index.clicks if matrix == "clicks" else self.index.buys
        history = self._history(items, types)
        scores: dict[int, float] = {}
        for steps, item in enumerate(dict.fromkeys(items[::-1].tolist())):
            for other, weight in zip(*(each.tolist() for each in pairs.of(item, self.set["top"])), strict=True):
                scores[other] = scores.get(other, 0.0) + weight * self.set["decay"] ** steps
        ranked = sorted(scores, key=lambda item: -scores[item])
        if self.set["history_first"]:
            ranked = history + [item for item in ranked if item not in history]
        if self.set["without_last"]:
            ranked = [item for item in ranked if item != items[-1]]
        return np.array(ranked[:n], np.int64)

    @staticmethod
    def _history(items: Ints, types: Ints) -> list[int]:
        """The session's items by the sum of their events' weights, which grow from .07 to 1 and with the type."""
        weights = (2.0 ** np.linspace(0.1, 1.0, len(items)) - 1.0) * TYPE_WEIGHTS[types]
        scores: dict[int, float] = {}
        for item, weight in zip(items.tolist(), weights.tolist(), strict=True):
            scores[item] = scores.get(item, 0.0) + weight
        newest = {item: place for place, item in enumerate(items.tolist())}
        return sorted(scores, key=lambda item: (-scores[item], -newest[item]))
