"""Session neighbours: what stands near the last items of this session in recent sessions that share them.

The family of VMIS-kNN (Kersbergen et al., "Serenade", SIGMOD 2022, section 3), STAN (Garg et al., SIGIR 2019) and
VSTAN (Ludewig et al., "Empirical analysis of session-based recommendation algorithms", 2021, section 3.2).
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from nextcart.config import NeighboursQueryConfig, SessionNeighboursConfig
from nextcart.kernels.neighbours import items_of_near_sessions, late_factors
from nextcart.kernels.session_index import copy_sessions, count_sessions, list_sessions
from nextcart.models.model import FitOptions, Query, TrainingArrays, frozen, load_model, save_model
from nextcart.models.neighbour_lists import ranked_by
from nextcart.models.parallel import balanced_blocks, run_blocks
from nextcart.models.permits import Permits, best_permitted
from nextcart.models.shared import Found
from nextcart.types import DAY_MS, Float32s, Float64s, Int32s, Int64s, Ranked, SessionBatch, Source, UInt8s


@dataclass(frozen=True, slots=True)
class SessionIndex:
    """The most recent sessions of each item, and those sessions' items; sessions are numbered newest first.

    Attributes:
        item_offsets: int64, shape (n_items + 1,), the spans of the items in ``item_sessions``.
        item_sessions: int32, shape (n_entries,), ascending and distinct within an item.
        item_places: uint8, shape (n_entries,), the item's last place in that session, counted from its end.
        idf: float32, shape (n_items,), log(1 + sessions / sessions with the item).
        session_offsets: int64, shape (n_sessions + 1,), the spans of the sessions in ``session_items``.
        session_items: int32, shape (n_kept_events,), dense item rows, oldest first.
        ends: int64, shape (n_sessions,), Unix milliseconds, never ascending.
        norms: float32, shape (n_sessions,), 1 / sqrt(length of the whole session).
    """

    item_offsets: Int64s
    item_sessions: Int32s
    item_places: UInt8s
    idf: Float32s
    session_offsets: Int64s
    session_items: Int32s
    ends: Int64s
    norms: Float32s

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The columns by the names under which they are saved."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


class SessionNeighbours:
    """The items of the training sessions that are nearest to the one that asks; its own items may be among them.

    A training session is as near as the sum of ``exp(-i / position_decay) * idf`` over the i-th newest (from 0) of the
    last ``query_events`` distinct known items that it shares, times ``exp(-age / recency_days) / sqrt(its length)``.
    Each of the ``neighbours`` nearest (then newest) adds its nearness, times ``exp(-distance / item_decay)``, to its
    items up to ``reach_events`` away from the last place of the newest shared item; those before it count
    ``before_weight``.

    Attributes:
        config: as given to `fit`.
        index: what was learned.
    """

    name: ClassVar[str] = "session_neighbours"
    source: ClassVar[Source] = Source.SESSION_NEIGHBOURS

    def __init__(self, config: SessionNeighboursConfig, index: SessionIndex) -> None:
        self.config = config
        self.index = index
        self._factors: tuple[float, Float64s] | None = None

    @classmethod
    def fit(cls, arrays: TrainingArrays, config: SessionNeighboursConfig, options: FitOptions) -> SessionNeighbours:
        """Index the most recent sessions of every item; sessions that no item refers to are left out."""
        sessions = arrays.sessions
        order, ends = _newest_first(sessions)
        lengths = np.diff(sessions.offsets)[order]
        kept = np.minimum(lengths, config.max_session_events)
        item_offsets, item_sessions, item_places, idf, used = _list(arrays, order, _starts(kept), config, options)
        numbers = np.cumsum(used, dtype=np.int32)
        numbers -= 1
        item_sessions = numbers[item_sessions]
        del numbers
        order, ends, lengths = order[used], ends[used], lengths[used]
        session_offsets = _starts(kept[used])
        session_items = np.empty(session_offsets[-1], np.int32)

        def copy(first: int, stop: int) -> None:
            copy_sessions(first, stop, order, sessions.offsets, sessions.items, session_offsets, session_items)

        run_blocks("session neighbours (copying)", balanced_blocks(session_offsets), options, copy)
        norms = (1.0 / np.sqrt(lengths)).astype(np.float32)
        columns = (item_offsets, item_sessions, item_places, idf, session_offsets, session_items, ends, norms)
        return cls(config, SessionIndex(*(frozen(column) for column in columns)))

    def recommend(self, query: Query) -> Ranked:
        """The items of the nearest sessions, asked as the configuration says."""
        return self.ask(query)

    def ask(self, query: Query, settings: NeighboursQueryConfig | None = None) -> Ranked:
        """The items of the nearest sessions, asked with settings of one's own; None: with the configuration's."""
        asked, index = settings or self.config, self.index
        recency_ms = asked.recency_days * DAY_MS
        factors = self._late_factors(recency_ms)

        def find(width: int, permitted: Permits) -> Found:
            return items_of_near_sessions(
                query.sessions.offsets,
                query.sessions.items,
                query.sessions.ts,
                index.item_offsets,
                index.item_sessions,
                index.item_places,
                index.idf,
                index.session_offsets,
                index.session_items,
                index.ends,
                index.norms,
                factors,
                asked.query_events,
                asked.position_decay,
                recency_ms,
                asked.neighbours,
                asked.item_decay,
                asked.before_weight,
                asked.reach_events,
                width,
                *permitted,
            )

        key = self.name if settings is None else f"{self.name} {settings}"
        return ranked_by(self.source, *best_permitted(query, key, find))

    def _late_factors(self, recency_ms: float) -> Float64s:
        """Norms times decays of the sessions, computed at the first question and kept for one recency: 8 bytes each.

        Not saved: it is a pass of some 10 ns a session, and what is asked of one model may have its own recency.
        """
        kept = self._factors
        if kept is None or kept[0] != recency_ms:
            kept = recency_ms, frozen(late_factors(self.index.ends, self.index.norms, recency_ms))
            self._factors = kept
        return kept[1]

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays by the names under which they are saved."""
        return self.index.arrays()

    def save(self, folder: Path) -> None:
        """Write the model into an existing empty folder."""
        save_model(folder, self.name, self.config, self.arrays())

    @classmethod
    def load(cls, folder: Path) -> SessionNeighbours:
        """Read a saved model, memory-mapped."""
        config, _, arrays = load_model(folder, cls.name)
        index = SessionIndex(*(arrays[field.name] for field in fields(SessionIndex)))
        return cls(SessionNeighboursConfig(**config), index)


def _starts(lengths: Int64s) -> Int64s:
    starts = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=starts[1:])
    return starts


def _newest_first(sessions: SessionBatch) -> tuple[Int32s, Int64s]:
    """The sessions that have events, by end time and then number, descending; and when they ended."""
    order = np.flatnonzero(np.diff(sessions.offsets)).astype(np.int32)
    ends = sessions.ts[sessions.offsets[1:][order] - 1]
    newest = np.argsort(ends, kind="stable")[::-1]
    return order[newest], ends[newest]


def _list(
    arrays: TrainingArrays, order: Int32s, costs: Int64s, config: SessionNeighboursConfig, options: FitOptions
) -> tuple[Int64s, Int32s, UInt8s, Float32s, NDArray[np.bool_]]:
    """Each item's sessions as places in ``order``, its idf, and which places are referred to."""
    sessions, n = arrays.sessions, arrays.n_items
    blocks = balanced_blocks(costs, options.threads)
    counts = {first: np.zeros(n, np.int32) for first, _ in blocks}
    last = config.max_session_events

    def count(first: int, stop: int) -> None:
        count_sessions(first, stop, order, sessions.offsets, sessions.items, last, counts[first])

    run_blocks("session neighbours (counting)", blocks, options, count)
    before, total = {}, np.zeros(n, np.int32)
    for first, _ in blocks:
        before[first] = total.copy()
        total += counts[first]
    item_offsets = _starts(np.minimum(total, config.sessions_per_item))
    item_sessions = np.empty(item_offsets[-1], np.int32)
    item_places = np.empty(item_offsets[-1], np.uint8)
    used = np.zeros(len(order), np.uint8)

    def fill(first: int, stop: int) -> None:
        list_sessions(
            first,
            stop,
            order,
            sessions.offsets,
            sessions.items,
            last,
            before[first],
            item_offsets,
            item_sessions,
            item_places,
            used,
        )

    run_blocks("session neighbours (listing)", blocks, options, fill)
    idf = np.log1p(len(order) / np.maximum(total, 1)).astype(np.float32)
    return item_offsets, item_sessions, item_places, idf, used.view(np.bool_)
