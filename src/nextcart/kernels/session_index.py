"""Building an index from items to recent sessions.

Sessions are numbered newest first, so that an item's list ascends. Building is by blocks of sessions that count first
and then know where each of their entries belongs: the result does not depend on the number of blocks.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from nextcart.kernels.scoring import EMPTY
from nextcart.types import Int32s, Int64s, UInt8s


@njit(cache=True, nogil=True)
def count_sessions(
    first: int, stop: int, order: Int32s, offsets: Int64s, items: Int32s, last_events: int, counts: Int32s
) -> None:
    """Add to ``counts`` (n_items,) the sessions ``order[first:stop]`` that hold each item among their last events."""
    seen = np.full(len(counts), EMPTY, np.int32)
    for q in range(first, stop):
        s = order[q]
        for e in range(max(offsets[s], offsets[s + 1] - last_events), offsets[s + 1]):
            a = items[e]
            if seen[a] != q:
                seen[a] = q
                counts[a] += 1


@njit(cache=True, nogil=True)
def list_sessions(
    first: int,
    stop: int,
    order: Int32s,
    offsets: Int64s,
    items: Int32s,
    last_events: int,
    before: Int32s,
    item_offsets: Int64s,
    item_sessions: Int32s,
    item_places: UInt8s,
    used: UInt8s,
) -> None:
    """Write the places ``first`` to ``stop`` of ``order`` into the lists of their items, as far as these have room.

    ``before`` (n_items,) holds what earlier blocks would write and is counted on; ``item_offsets`` (n_items + 1,) is
    the room of each list. ``used`` (len(order),) becomes 1 where a list refers to the place.
    """
    seen = np.full(len(before), EMPTY, np.int32)
    for q in range(first, stop):
        s = order[q]
        last = offsets[s + 1] - 1
        for e in range(last, max(offsets[s] - 1, last - last_events), -1):
            a = items[e]
            if seen[a] != q:
                seen[a] = q
                entry = item_offsets[a] + before[a]
                if entry < item_offsets[a + 1]:
                    item_sessions[entry], item_places[entry] = q, last - e
                    before[a] += 1
                    used[q] = 1


@njit(cache=True, nogil=True)
def copy_sessions(
    first: int, stop: int, order: Int32s, offsets: Int64s, items: Int32s, out_offsets: Int64s, out_items: Int32s
) -> None:
    """Copy the last items of the sessions ``order[first:stop]``, each as many as ``out_offsets`` leaves room for."""
    for q in range(first, stop):
        size = out_offsets[q + 1] - out_offsets[q]
        start = offsets[order[q] + 1] - size
        for i in range(size):
            out_items[out_offsets[q] + i] = items[start + i]
