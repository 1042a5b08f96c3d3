"""What recommended lists are made of, whether or not they hit: coverage, popularity bias, diversity."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nextcart.evaluation.bootstrap import Floats
from nextcart.types import Int32s, Int64s

TOP_SHARE = 0.01


@dataclass(slots=True)
class Shown:
    """How often each item of the catalogue was recommended.

    Attributes:
        times: int64, shape (n_items,).
    """

    times: Int64s

    @classmethod
    def none(cls, n_items: int) -> Shown:
        """Nothing shown yet."""
        return cls(np.zeros(n_items, np.int64))

    def add(self, rows: Int32s, times: NDArray[np.integer]) -> None:
        """Count distinct rows, so often each."""
        self.times[rows] += times

    def coverage(self) -> float:
        """Share of the catalogue that stands in at least one list."""
        return float(np.mean(self.times > 0)) if len(self.times) else 0.0

    def gini(self) -> float | None:
        """Gini index of how often each item is shown: 0 where all are alike, near 1 where few take all places.

        None where nothing is shown.
        """
        total, n = int(self.times.sum()), len(self.times)
        if not total:
            return None
        ascending = np.sort(self.times)
        return float(2 * (np.arange(1, n + 1) @ ascending) / (n * total) - (n + 1) / n)


def places(items: Int32s, n_items: int) -> tuple[Floats, Floats]:
    """Of lists (n, k): how many places the 1 % of the catalogue with most training events take, and how many there are.

    Both float64, shape (n,). Rows are by popularity.
    """
    top = max(1, math.ceil(n_items * TOP_SHARE))
    filled = items >= 0
    return (filled & (items < top)).sum(axis=1).astype(np.float64), filled.sum(axis=1).astype(np.float64)
