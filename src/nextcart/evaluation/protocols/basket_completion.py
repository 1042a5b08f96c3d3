"""`basket_completion`: of what a session put into its cart or ordered, one item is given; the others are to be found.

Sessions of two or more distinct items in carts and orders are asked about; events on items outside the catalogue are
dropped first. The answers are the lists of an item page or a basket: bought together, and for comparison the similar
items of co-visitation and item2vec and the top sellers. None of them holds the given item or is filled.
"""

from __future__ import annotations

import numpy as np

from nextcart.errors import InputError
from nextcart.evaluation.cutting import Questions, first_places, pose, session_of_event
from nextcart.models.bought_together import BoughtTogether
from nextcart.models.covisitation import Covisitation
from nextcart.models.item2vec import Item2vec
from nextcart.models.model import Query
from nextcart.models.recommender import Recommender
from nextcart.models.top_sellers import TopSellers
from nextcart.types import EventType, Int32s, ItemLists, SessionBatch

ASKED = (BoughtTogether.name, Covisitation.name, Item2vec.name, TopSellers.name)
"""The models that answer with such lists."""


def completions(sessions: SessionBatch, draws: np.ndarray[tuple[int], np.dtype[np.float64]]) -> Questions:
    """The questions: the given item is the history, all other items of carts and orders are the targets.

    Args:
        sessions: every item known.
        draws: float64 in [0, 1), shape (n_sessions,): which of the distinct items, in the order in which they came,
            is given.
    """
    bought = sessions.where(sessions.types >= EventType.CARTS)
    once = bought.where(first_places(bought) == np.arange(bought.n_events))
    sizes = np.diff(once.offsets)
    given = once.offsets[:-1] + (draws * sizes).astype(np.int64)
    asked = np.flatnonzero(sizes >= 2)
    others = np.ones(once.n_events, bool)
    others[given[asked]] = False
    others &= (sizes >= 2)[session_of_event(once)]
    posed = pose(once, asked, given[asked] + 1, sizes[asked] - 1, np.flatnonzero(others), 1)
    # The targets are other items by definition, wherever in the session they stood.
    return Questions(
        posed.history, posed.targets, asked, np.zeros(len(posed.repeats), bool), np.ones(len(asked), np.int64)
    )


def complete(recommender: Recommender, given: SessionBatch, k: int, model: str) -> Int32s:
    """The lists of a model for baskets of one item each; shape (n, k), `UNKNOWN` past the end.

    Raises:
        InputError: the version has no such model, or it does not answer baskets.
    """
    chosen = recommender.model(model)
    basket = ItemLists(given.offsets, given.items)
    query = Query(given, k, basket)
    if isinstance(chosen, BoughtTogether):
        return chosen.complement(basket, query).items
    if isinstance(chosen, Covisitation | Item2vec):
        return chosen.similar(query).items
    if isinstance(chosen, TopSellers):
        return chosen.recommend(query).items
    raise InputError(f"model '{model}' completes no baskets; name some of {', '.join(ASKED)}")
