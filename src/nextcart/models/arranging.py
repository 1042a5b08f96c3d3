"""What becomes of a list by wishes: a least score, boosts, variety and pins, in this order; then it has ``k`` items."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from nextcart.kernels.diversity import thin_out
from nextcart.kernels.rules import boost, insert_pins, may_stand, take_out
from nextcart.models.model import Query
from nextcart.models.neighbour_lists import NeighbourLists
from nextcart.models.permits import permits
from nextcart.models.rules import RowRules
from nextcart.types import UNKNOWN, Ranked, Source

BOOST_REACH = 2
"""Boosts order a list of so many times the limit: an item further down is not raised, however large its factor."""


@dataclass(frozen=True, slots=True)
class Wishes:
    """What a list must be like, apart from what may come.

    Attributes:
        rules: pins and boosts of the shop.
        min_score: items that score less do not come, and nothing takes their places. Pins come all the same.
        most: so many items of a neighbourhood at most; pins do not count.
        neighbours: by which neighbourhoods are told, where ``most`` is given.
    """

    rules: RowRules
    min_score: float | None = None
    most: int | None = None
    neighbours: NeighbourLists | None = None


def arranged(query: Query, list_of: Callable[[Query], Ranked], wishes: Wishes) -> tuple[Ranked, Ranked]:
    """The lists as wished, and those that they come from.

    Scores belong to places: whatever moves up takes the score that stands there, so they never ascend.

    Args:
        query: what is asked.
        list_of: the filled lists of a query; its shorter lists are the starts of its longer ones.
        wishes: what they must be like.
    """
    k, rules = query.k, wishes.rules
    if not (rules.arranges or wishes.most is not None or wishes.min_score is not None):
        found = list_of(query)
        return found, found
    n_pins = int(np.searchsorted(rules.positions, k, side="right"))
    pins, positions = rules.pins[:n_pins], rules.positions[:n_pins]
    stand = may_stand(len(query.sessions), pins, *permits(query))
    width = BOOST_REACH * k if wishes.most is not None or len(rules.boosted) else k + n_pins
    while True:
        found = list_of(replace(query, k=width, limit=k))
        items, scores, sources = found.items.copy(), found.scores.copy(), found.sources.copy()
        if wishes.min_score is not None:
            # Past float32 it is infinite, which all items score less than.
            with np.errstate(over="ignore"):
                below = scores < np.float32(wishes.min_score)
            items[below], scores[below], sources[below] = UNKNOWN, 0, 0
        full = items[:, -1] != UNKNOWN
        boost(items, sources, BOOST_REACH * k, rules.boosted, rules.factors)
        take_out(items, scores, sources, pins, stand)
        if wishes.most is None or wishes.neighbours is None:
            break
        lists = wishes.neighbours
        items, scores, sources = thin_out(items, scores, sources, k, wishes.most, lists.offsets, lists.items)
        if not (full & (items[:, -1] == UNKNOWN)).any():
            break
        width *= 2
    placed = insert_pins(items, scores, sources, pins, positions, stand, int(Source.PINNED), k)
    return Ranked(*placed), found
