"""The words and shapes that every room shares: event types, column names, batches of sessions, ranked lists."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Int32s = NDArray[np.int32]
Int64s = NDArray[np.int64]
Float32s = NDArray[np.float32]
Float64s = NDArray[np.float64]
UInt8s = NDArray[np.uint8]
UInt32s = NDArray[np.uint32]
Bools = NDArray[np.bool_]

SESSION, AID, TS, TYPE, POSITION = "session", "aid", "ts", "type", "position"
"""Columns of the event store, in its sort order but for the item: (session, ts, position)."""

Mode = Literal["next", "discover"]
Objective = Literal["clicks", "carts", "orders"]
IdType = Literal["int64", "string"]
Id = int | str
"""A session's or an item's id in the shop's own form."""

DEFAULT_MODELS = (
    "ranker",
    "session_neighbours",
    "log_bilinear",
    "hybrid",
    "covisitation",
    "item2vec",
    "bought_together",
    "top_sellers",
)
"""Where no model is named, the first of these that a version has answers; a fixed order, made by no measurement."""

Progress = Callable[[str, int, int], None]
"""Called as ``progress(stage, done, total)`` during long work; ``total`` is 0 while it is not known."""


def no_progress(stage: str, done: int, total: int) -> None:
    """A `Progress` that shows nothing."""


class EventType(IntEnum):
    """What a visitor did with an item; stored as uint8."""

    CLICKS = 0
    CARTS = 1
    ORDERS = 2


TYPE_NAMES: tuple[Objective, ...] = ("clicks", "carts", "orders")
"""The names of the event types, indexed by their stored number."""

DAY_MS = 86_400_000
"""Milliseconds of a day."""

UNKNOWN = -1
"""The dense row of an item that the vocabulary does not hold, and the padding of a `Ranked` list."""


@dataclass(frozen=True, slots=True)
class SessionBatch:
    """Sessions as columns: session ``i`` holds the events ``offsets[i]`` to ``offsets[i + 1]``, oldest first.

    Attributes:
        offsets: int64, shape (n_sessions + 1,), starts at 0.
        items: int32, shape (n_events,), dense item rows; `UNKNOWN` for items outside the vocabulary.
        ts: int64, shape (n_events,), Unix milliseconds.
        types: uint8, shape (n_events,), see `EventType`.
    """

    offsets: Int64s
    items: Int32s
    ts: Int64s
    types: UInt8s

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def n_events(self) -> int:
        """Number of events over all sessions."""
        return len(self.items)

    def slice(self, start: int, stop: int) -> SessionBatch:
        """Sessions ``start`` to ``stop`` as a batch of their own; the event columns are views."""
        offsets = self.offsets[start : stop + 1]
        events = slice(int(offsets[0]), int(offsets[-1]))
        return SessionBatch(offsets - offsets[0], self.items[events], self.ts[events], self.types[events])

    def where(self, keep: Bools) -> SessionBatch:
        """The same sessions with those events alone; a session may end up empty."""
        before = np.zeros(len(keep) + 1, np.int64)
        np.cumsum(keep, out=before[1:])
        return SessionBatch(before[self.offsets], self.items[keep], self.ts[keep], self.types[keep])

    def known(self) -> SessionBatch:
        """The same sessions without the events on items outside the vocabulary; itself where there are none."""
        keep = self.items != UNKNOWN
        return self if keep.all() else self.where(keep)


@dataclass(frozen=True, slots=True)
class ItemLists:
    """One list of dense item rows a session: list ``i`` is ``items[offsets[i]:offsets[i + 1]]``.

    Attributes:
        offsets: int64, shape (n_sessions + 1,).
        items: int32, shape (n_items_in_lists,), never `UNKNOWN`.
    """

    offsets: Int64s
    items: Int32s

    def __len__(self) -> int:
        return len(self.offsets) - 1


@dataclass(frozen=True, slots=True)
class Ranked:
    """The best items of each session, best first.

    Attributes:
        items: int32, shape (n_sessions, k), dense item rows, `UNKNOWN` past the end of a shorter list.
        scores: float32, shape (n_sessions, k), never ascending; 0 past the end.
        sources: uint8, shape (n_sessions, k), a bit for each model that brought the item (see `Source`).
    """

    items: Int32s
    scores: Float32s
    sources: UInt8s

    def __len__(self) -> int:
        return len(self.items)


class Source(IntEnum):
    """The bit of ``Ranked.sources`` that stands for a model, for the session's own items, or for a shop's pin."""

    TOP_SELLERS = 1
    COVISITATION = 2
    ITEM2VEC = 4
    BOUGHT_TOGETHER = 8
    SESSION_NEIGHBOURS = 16
    HISTORY = 32
    PINNED = 64
    LOG_BILINEAR = 128

    @classmethod
    def names(cls, bits: int) -> list[str]:
        """Names of the models in a ``sources`` cell."""
        return [source.name.lower() for source in cls if bits & source]
