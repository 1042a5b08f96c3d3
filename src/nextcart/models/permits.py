"""A query's ban and allow lists in the form that kernels take: offsets and rows, empty offsets for no list at all."""

from __future__ import annotations

import numpy as np

from nextcart.models.model import Query
from nextcart.types import Int32s, Int64s, ItemLists

NO_LISTS: tuple[Int64s, Int32s] = (np.empty(0, np.int64), np.empty(0, np.int32))

Permits = tuple[Int64s, Int32s, Int64s, Int32s]
"""ban offsets, banned rows, allow offsets, allowed rows."""


def permits(query: Query) -> Permits:
    """The four arrays that every scoring kernel ends its arguments with."""
    return (*_columns(query.banned), *_columns(query.allowed))


def _columns(lists: ItemLists | None) -> tuple[Int64s, Int32s]:
    return NO_LISTS if lists is None else (lists.offsets, lists.items)
