"""The best neighbours of each item, as co-visitation, bought-together and item2vec keep them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from nextcart.kernels.hybrid import Lists
from nextcart.kernels.scoring import score_neighbours
from nextcart.models.model import frozen
from nextcart.models.permits import Permits
from nextcart.models.shared import Found
from nextcart.types import Float32s, Int32s, Int64s, Ranked, SessionBatch, Source, UInt8s

NO_MASK: UInt8s = frozen(np.empty(0, np.uint8))
"""What kernels take where no item is blocked."""


@dataclass(frozen=True, slots=True)
class NeighbourLists:
    """Neighbours of each item, best first; list ``i`` is ``offsets[i]:offsets[i + 1]``.

    Attributes:
        offsets: int64, shape (n_items + 1,).
        items: int32, shape (n_neighbours,), dense item rows.
        weights: float32, shape (n_neighbours,), never ascending within a list.
    """

    offsets: Int64s
    items: Int32s
    weights: Float32s

    @classmethod
    def from_padded(cls, items: Int32s, weights: Float32s, sizes: Int32s, n_items: int | None = None) -> NeighbourLists:
        """Pack lists that stand in rows of equal width, of which the first ``sizes[i]`` places are used.

        With ``n_items`` the lists are of the first items alone, and the others' are empty.
        """
        n = len(sizes)
        offsets = np.zeros((n if n_items is None else n_items) + 1, np.int64)
        np.cumsum(sizes, out=offsets[1 : n + 1])
        offsets[n + 1 :] = offsets[n]
        used = np.arange(items.shape[1], dtype=np.int32) < sizes[:, None]
        return cls(frozen(offsets), frozen(items[used]), frozen(weights[used]))

    @classmethod
    def from_places(cls, n_items: int, rows: Int32s, neighbours: Int32s, weights: Float32s, places: Int32s) -> Self:
        """Pack neighbours that come in any order, each with its item's row and its place in that item's list, from 1.

        All have shape (n_neighbours,); the places of an item are 1, 2, 3, … without a gap.
        """
        offsets = np.zeros(n_items + 1, np.int64)
        np.cumsum(np.bincount(rows, minlength=n_items), out=offsets[1:])
        at = offsets[rows]
        at += places
        at -= 1
        items, packed = np.empty(len(rows), np.int32), np.empty(len(rows), np.float32)
        items[at], packed[at] = neighbours, weights
        return cls(frozen(offsets), frozen(items), frozen(packed))

    def columns(self) -> Lists:
        """Offsets, items and weights, as kernels take them."""
        return self.offsets, self.items, self.weights

    def arrays(self, prefix: str = "") -> dict[str, NDArray[Any]]:
        """The columns by the names under which they are saved."""
        return {f"{prefix}offsets": self.offsets, f"{prefix}items": self.items, f"{prefix}weights": self.weights}

    @classmethod
    def from_arrays(cls, arrays: dict[str, NDArray[Any]], prefix: str = "") -> NeighbourLists:
        """The reverse of `arrays`."""
        return cls(arrays[f"{prefix}offsets"], arrays[f"{prefix}items"], arrays[f"{prefix}weights"])

    def best(
        self,
        sessions: SessionBatch,
        k: int,
        permitted: Permits,
        *,
        events: int,
        decay: float = 1.0,
        type_weights: tuple[float, float, float] = (1.0, 1.0, 1.0),
    ) -> Found:
        """Sum over the last ``events`` of each session: neighbour weight * decay ** i * weight of the event's type."""
        return score_neighbours(
            sessions.offsets,
            sessions.items,
            sessions.types,
            self.offsets,
            self.items,
            self.weights,
            events,
            decay,
            type_weights,
            k,
            *permitted,
            NO_MASK,
        )


def ranked_by(source: Source, items: Int32s, scores: Float32s) -> Ranked:
    """A `Ranked` whose items all come from one model."""
    return Ranked(items, scores, np.where(items >= 0, np.uint8(source), np.uint8(0)))
