"""Popularity of late, against tables by hand; as lists of a ranker it is saved with it."""

from pathlib import Path

import numpy as np
import pytest

from nextcart.config import ModelsConfig, RankerConfig
from nextcart.config.models import DEFAULT_LISTS
from nextcart.models.candidates import popularity_of
from nextcart.models.examples import fold_at
from nextcart.models.fitting import MODEL_NAMES
from nextcart.models.model import FitOptions, Query, TrainingArrays
from nextcart.models.ranker import Ranker
from nextcart.models.recent_popularity import POPULARITY_LISTS, RecentPopularity
from nextcart.models.recommender import Recommender
from nextcart.types import DAY_MS, ItemLists, Ranked, SessionBatch
from tests.naive import Event, batch_of
from tests.shop import make_shop

HOUR_MS = DAY_MS // 24
LISTS = DEFAULT_LISTS | dict.fromkeys(POPULARITY_LISTS, 20)
# Item 0 was popular at 3 o'clock nine days ago, item 1 is since a day at 5; item 2 came at 3 o'clock, last.
SESSIONS = [
    [Event(0, 3 * HOUR_MS + i) for i in range(5)],
    [Event(1, 9 * DAY_MS + 5 * HOUR_MS + i) for i in range(3)],
    [Event(2, 10 * DAY_MS + 3 * HOUR_MS)],
]


def arrays_of(sessions: list[list[Event]]) -> TrainingArrays:
    batch = batch_of(sessions)
    return TrainingArrays(batch, np.bincount(batch.items, minlength=4))


FITTED = RecentPopularity.fit(arrays_of(SESSIONS))


def ask(batch: SessionBatch, k: int = 3, banned: ItemLists | None = None) -> Query:
    return Query(batch, k, banned)


def test_the_last_day_and_the_hour_of_the_day_by_hand() -> None:
    asking = batch_of([[Event(3, 3 * HOUR_MS + 7)], [], [Event(3, 20 * DAY_MS + 5 * HOUR_MS)]])
    assert FITTED.of_day(ask(asking)).items.tolist() == [[1, 2, -1]] * 3
    assert FITTED.of_day(ask(asking)).scores[0].tolist() == [3, 1, 0]
    hours = FITTED.of_hour(ask(asking))
    assert hours.items.tolist() == [[0, 2, -1], [-1] * 3, [1, -1, -1]]
    assert hours.scores[0].tolist() == pytest.approx([5 * np.exp(-1), 1, 0], rel=1e-3)
    assert (hours.sources > 0).tolist() == (hours.items >= 0).tolist()
    banned = ItemLists(np.array([0, 1, 1, 2]), np.array([0, 1], np.int32))
    assert FITTED.of_hour(ask(asking, 3, banned)).items.tolist() == [[2, -1, -1], [-1] * 3, [-1] * 3]


def test_neighbours_items_come_by_their_popularity_of_late() -> None:
    def neighbours(query: Query) -> Ranked:
        items = np.full((1, query.k), -1, np.int32)
        items[0, :3] = [0, 2, 1]
        return Ranked(items, np.ones(items.shape, np.float32), np.ones(items.shape, np.uint8))

    for k in (1, 2, 200):
        found = FITTED.nearby(neighbours, ask(batch_of([[Event(0)]]), k))
        assert found.items[0].tolist() == [1, 2, 0, *[-1] * k][:k]
        assert found.items.shape == found.scores.shape == (1, k)


def test_it_is_fitted_where_a_list_is_asked_for_and_knows_the_past_alone() -> None:
    arrays = arrays_of(SESSIONS)
    assert popularity_of(RankerConfig(), arrays) is None
    later = arrays_of([*SESSIONS, *[[Event(3, 11 * DAY_MS), Event(0, 11 * DAY_MS)]] * 9])
    wanted = RankerConfig(lists=LISTS)
    known, crowded = (popularity_of(wanted, fold_at(each, 11 * DAY_MS).past) for each in (arrays, later))
    assert known is not None
    assert crowded is not None
    for name, array in known.arrays("").items():
        assert array.tobytes() == crowded.arrays("")[name].tobytes(), name


def test_a_ranker_with_these_lists_answers_alike_once_loaded(tmp_path: Path) -> None:
    shop = make_shop(3, clusters=4, items=30, sessions=120)
    config = ModelsConfig(ranker=RankerConfig(lists=LISTS, min_questions=20, min_leaf_rows=5, max_trees=5, folds=2))
    fitted = Recommender.fit(shop.vocabulary, shop.arrays, config, FitOptions(deterministic=True), MODEL_NAMES)
    ranker = fitted.models["ranker"]
    assert isinstance(ranker, Ranker)
    assert {f"{name}_score" for name in POPULARITY_LISTS} <= set(ranker.ranking.feature_names)
    fitted.save(tmp_path)
    asked = shop.arrays.sessions.slice(0, 20)
    one, other = (each.recommend(asked, 10, model="ranker").ranked for each in (fitted, Recommender.load(tmp_path)))
    assert one.items.tolist() == other.items.tolist()
    assert one.scores.tobytes() == other.scores.tobytes()
