"""Asking a version everything once before it goes live, so that no visitor waits for what only the first one would."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, cast

import numpy as np

from nextcart.models.bought_together import BoughtTogether
from nextcart.models.covisitation import Covisitation
from nextcart.models.item2vec import Item2vec
from nextcart.models.rules import RowRules
from nextcart.types import ItemLists, SessionBatch

if TYPE_CHECKING:
    from nextcart.models.recommender import Recommender

PAGE_BYTES = 4096


def warm(recommender: Recommender) -> None:
    """Ask every model every kind of question once: compiles the kernels and reads the arrays' pages."""
    for part in (recommender.vocabulary, *recommender.models.values()):
        for array in part.arrays().values():
            array.view(np.uint8).reshape(-1)[::PAGE_BYTES].sum()
    n = min(2, len(recommender.vocabulary))
    rows = np.arange(n, dtype=np.int32)
    sessions = SessionBatch(np.array([0, n], np.int64), rows, np.arange(n, dtype=np.int64), np.zeros(n, np.uint8))
    lists = ItemLists(sessions.offsets, rows)
    for name in recommender.models:
        for allow in (None, lists):
            recommender.recommend(sessions, 2, model=name, mode="discover", exclude=lists, allow=allow)
    _ask_with_rules(recommender, sessions)
    for name in ("item2vec", "covisitation"):
        if name in recommender.models and n:
            recommender.similar(0, 2, model=cast(Literal["item2vec", "covisitation"], name))
    if BoughtTogether.name in recommender.models:
        recommender.bought_together(rows, 2)


def _ask_with_rules(recommender: Recommender, sessions: SessionBatch) -> None:
    """Compile what rules and explanations ask for, whether or not the shop has any."""
    last = np.arange(len(recommender.vocabulary), dtype=np.int32)[-1:]
    place, factor = np.ones(len(last), np.int32), np.ones(len(last))
    pinned = RowRules.of(0, len(recommender.vocabulary), pins=last, positions=place, boosted=last, factors=factor)
    for rules in (pinned, RowRules.of(0, len(recommender.vocabulary), block=last)):
        recommender.explain(sessions, recommender.recommend(sessions, 2, rules=rules, mode="discover").ranked)
    if Item2vec.name in recommender.models or Covisitation.name in recommender.models:
        recommender.recommend(sessions, 2, rules=pinned, max_per_neighbourhood=1)
