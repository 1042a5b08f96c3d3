"""A shop's rules as rows of one catalogue: what is blocked, what is pinned, what is boosted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nextcart.models.blocked import Blocked
from nextcart.models.model import frozen
from nextcart.types import Float64s, Int32s

_NO_ROWS: Int32s = frozen(np.empty(0, np.int32))
_NO_FACTORS: Float64s = frozen(np.empty(0, np.float64))


@dataclass(frozen=True, slots=True)
class RowRules:
    """Rules over the rows of one catalogue; immutable.

    A blocked item is in no list; it is neither pinned nor boosted. A pinned item stands at its position in every list
    that reaches so far, unless the request bans it. A boosted item of place r in a list of twice the limit is ordered
    by r / factor.

    Attributes:
        version: of the shop's document.
        blocked: what must not come; None for nothing.
        pins: int32, shape (n_pins,), pinned rows by position.
        positions: int32, shape (n_pins,), from 1, ascending and distinct.
        boosted: int32, shape (n_boosts,), boosted rows, ascending and distinct.
        factors: float64, shape (n_boosts,), above 0; above 1 raises, below 1 lowers.
    """

    version: int
    blocked: Blocked | None
    pins: Int32s
    positions: Int32s
    boosted: Int32s
    factors: Float64s

    @classmethod
    def of(
        cls,
        version: int,
        n_items: int,
        *,
        block: Int32s = _NO_ROWS,
        pins: Int32s = _NO_ROWS,
        positions: Int32s = _NO_ROWS,
        boosted: Int32s = _NO_ROWS,
        factors: Float64s = _NO_FACTORS,
    ) -> RowRules:
        """From rows in any order, of which those outside the catalogue (`UNKNOWN`) are left out."""
        blocked = Blocked.of(block[block >= 0], n_items)
        pinned = np.flatnonzero(_may_count(pins, blocked))
        pinned = pinned[np.argsort(positions[pinned], kind="stable")]
        raised = np.flatnonzero(_may_count(boosted, blocked))
        raised = raised[np.argsort(boosted[raised], kind="stable")]
        arrays = pins[pinned], positions[pinned], boosted[raised], factors[raised]
        return cls(version, blocked, *(frozen(array) for array in arrays))

    @property
    def arranges(self) -> bool:
        """Whether anything is pinned or boosted."""
        return len(self.pins) > 0 or len(self.boosted) > 0


def _may_count(rows: Int32s, blocked: Blocked | None) -> NDArray[np.bool_]:
    known = rows >= 0
    return known if blocked is None else known & (blocked.mask[rows] == 0)


NO_RULES = RowRules.of(0, 0)
"""Of a shop that has none."""
