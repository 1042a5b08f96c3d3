"""Why an item was recommended: which of the session's events brought it."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from nextcart.kernels.explanation import (
    NO_EVENT,
    explain_by_itself,
    explain_by_lists,
    explain_by_places,
    explain_by_sessions,
    explain_by_vectors,
)
from nextcart.kernels.log_bilinear import kinds_of
from nextcart.models.bought_together import BoughtTogether
from nextcart.models.covisitation import MAIN, Covisitation
from nextcart.models.item2vec import Item2vec
from nextcart.models.log_bilinear import LogBilinear
from nextcart.models.session_neighbours import SessionNeighbours
from nextcart.types import UNKNOWN, Int32s, Ranked, SessionBatch, Source, UInt8s

ALIKE = (1.0, 1.0, 1.0)


def events_behind(models: Iterable[object], sessions: SessionBatch, ranked: Ranked) -> Int32s:
    """The event with the greatest share in each item's score, as its index within its session, oldest first.

    Asked in this order, of the sources that brought the item: co-visitation (weight * decay ** i * type weight),
    item2vec (the same of its neighbours, else of the vectors), bought together, log-bilinear (the event's part of the
    product), session neighbours (sessions that both items share), the item's own newest event. `NO_EVENT` (-1) for what
    only fills the list, or is pinned.

    Returns:
        int32, shape (n_sessions, k).
    """
    by_name = {getattr(model, "name", ""): model for model in models}
    found = np.full(ranked.items.shape, NO_EVENT, np.int32)
    asked = (found, ranked.items, ranked.sources)
    covisitation = by_name.get(Covisitation.name)
    if isinstance(covisitation, Covisitation):
        _by_covisitation(covisitation, sessions, *asked)
    item2vec = by_name.get(Item2vec.name)
    if isinstance(item2vec, Item2vec):
        _by_item2vec(item2vec, sessions, *asked)
    together = by_name.get(BoughtTogether.name)
    if isinstance(together, BoughtTogether):
        _by_bought_together(together, sessions, *asked)
    log_bilinear = by_name.get(LogBilinear.name)
    if isinstance(log_bilinear, LogBilinear):
        _by_log_bilinear(log_bilinear, sessions, *asked)
    neighbours = by_name.get(SessionNeighbours.name)
    if isinstance(neighbours, SessionNeighbours):
        _by_session_neighbours(neighbours, sessions, *asked)
    explain_by_itself(*asked, int(Source.HISTORY), sessions.offsets, sessions.items)
    return found


def _by_covisitation(model: Covisitation, sessions: SessionBatch, found: Int32s, items: Int32s, bits: UInt8s) -> None:
    config, lists = model.config, model.matrices[MAIN]
    columns = (sessions.offsets, sessions.items, sessions.types, lists.offsets, lists.items, lists.weights)
    weights = config.query_type_weights.as_tuple()
    explain_by_lists(found, items, bits, int(model.source), *columns, config.query_events, config.query_decay, weights)


def _by_item2vec(model: Item2vec, sessions: SessionBatch, found: Int32s, items: Int32s, bits: UInt8s) -> None:
    config, lists = model.config, model.neighbours
    columns = (sessions.offsets, sessions.items, sessions.types, lists.offsets, lists.items, lists.weights)
    last = (config.query_events, config.query_decay)
    explain_by_lists(found, items, bits, int(model.source), *columns, *last, ALIKE)
    rows = (sessions.offsets, sessions.items, model.vectors)
    explain_by_vectors(found, items, bits, int(model.source), *rows, *last, config.cosine_power)


def _by_bought_together(
    model: BoughtTogether, sessions: SessionBatch, found: Int32s, items: Int32s, bits: UInt8s
) -> None:
    lists = model.complements
    asked = np.full(len(sessions.items), UNKNOWN, np.int32)
    places = model.basket_of(sessions)[2]
    asked[places] = sessions.items[places]
    columns = (sessions.offsets, asked, sessions.types, lists.offsets, lists.items, lists.weights)
    explain_by_lists(found, items, bits, int(model.source), *columns, len(asked), 1.0, ALIKE)


def _by_log_bilinear(model: LogBilinear, sessions: SessionBatch, found: Int32s, items: Int32s, bits: UInt8s) -> None:
    kinds = kinds_of(sessions.offsets, sessions.ts, sessions.types)
    learned = model.learned
    weights = (learned.weights, learned.kind_weights, learned.kind_vectors)
    columns = (sessions.offsets, sessions.items, kinds, learned.vectors)
    explain_by_places(found, items, bits, int(model.source), *columns, *weights)


def _by_session_neighbours(
    model: SessionNeighbours, sessions: SessionBatch, found: Int32s, items: Int32s, bits: UInt8s
) -> None:
    config, index = model.config, model.index
    columns = (sessions.offsets, sessions.items, index.item_offsets, index.item_sessions, index.idf)
    explain_by_sessions(found, items, bits, int(model.source), *columns, config.query_events, config.position_decay)
