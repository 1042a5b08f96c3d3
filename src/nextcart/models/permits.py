"""What may come and what not: a query's ban and allow lists as kernels take them, and candidates held against them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from nextcart.kernels.scoring import first_permitted
from nextcart.models.model import Query
from nextcart.models.shared import Found
from nextcart.types import Int32s, Int64s, ItemLists

NO_LISTS: tuple[Int64s, Int32s] = (np.empty(0, np.int64), np.empty(0, np.int32))

Permits = tuple[Int64s, Int32s, Int64s, Int32s]
"""ban offsets, banned rows, allow offsets, allowed rows; empty offsets for no list at all."""

NO_PERMITS: Permits = (*NO_LISTS, *NO_LISTS)


def permits(query: Query) -> Permits:
    """The four arrays that every scoring kernel ends its arguments with."""
    return (*_columns(query.banned), *_columns(query.allowed))


def best_permitted(query: Query, model: str, find: Callable[[int, Permits], Found]) -> Found:
    """The best ``query.k`` candidates of a model that may come.

    ``find`` gives the best so many, or a few more, of those that its permits let through. But for an allow list it is
    asked as if nothing were banned, further out by as many as may be dropped: what it finds then serves all who ask
    about the same sessions.
    """
    if query.allowed is not None:
        return find(query.k, permits(query))
    longest_ban = int(np.diff(query.banned.offsets).max(initial=0)) if query.banned is not None else 0
    width = query.k + longest_ban
    if query.shared is None:
        found = find(width, NO_PERMITS)
    else:
        found = query.shared.find(model, width, lambda looked: find(looked, NO_PERMITS))
    if query.banned is None and found[0].shape[1] == query.k:
        return found
    return first_permitted(*found, query.k, *permits(query))


def _columns(lists: ItemLists | None) -> tuple[Int64s, Int32s]:
    return NO_LISTS if lists is None else (lists.offsets, lists.items)
