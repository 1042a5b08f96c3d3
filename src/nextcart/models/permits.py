"""What may come and what not: a query's ban and allow lists as kernels take them, and candidates held against them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from nextcart.kernels.rules import drop_blocked
from nextcart.kernels.scoring import first_permitted, join_lists
from nextcart.models.model import Query
from nextcart.models.shared import Found
from nextcart.types import Int32s, Int64s, ItemLists, Ranked

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


def past_blocked(ask: Callable[[Query], Ranked], query: Query) -> Ranked:
    """What a list-maker answers, as if each blocked item had been banned by every session.

    ``ask`` knows nothing of blocked items, and its shorter lists are the starts of its longer ones. It is asked for
    more than ``query.k`` items, and again for twice as many while too few of them are left: the number of blocked
    items makes no difference.
    """
    blocked = query.blocked
    if blocked is None:
        return ask(query)
    most = query.k + blocked.count
    width = min(2 * query.k, most)
    while True:
        found = ask(replace(query, k=width, blocked=None))
        items, scores, sources, short = drop_blocked(found.items, found.scores, found.sources, blocked.mask, query.k)
        if not short or width == most:
            return Ranked(items, scores, sources)
        width = min(2 * width, most)


def with_own_blocked(query: Query) -> Query:
    """The query whose sessions ban those of their own items that are blocked, too."""
    blocked, sessions = query.blocked, query.sessions
    if blocked is None:
        return query
    own = blocked.within(ItemLists(sessions.offsets, sessions.items))
    return replace(query, banned=ItemLists(*join_lists(own.offsets, own.items, *_columns(query.banned))))


def _columns(lists: ItemLists | None) -> tuple[Int64s, Int32s]:
    return NO_LISTS if lists is None else (lists.offsets, lists.items)
