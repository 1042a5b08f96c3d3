import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextcart.config import TopSellersConfig, TypeWeights
from nextcart.models import top_sellers as top_sellers_module
from nextcart.models.model import FitOptions, Query, TrainingArrays
from nextcart.models.top_sellers import TopSellers
from tests import naive
from tests.naive import CARTS, DAY_MS, ORDERS, Event, batch_of, check_ranking
from tests.strategies import N_ITEMS, few, training


def fitted(sessions, n_items: int = N_ITEMS, **config) -> TopSellers:
    batch = batch_of(sessions)
    arrays = TrainingArrays(batch, np.bincount(batch.items, minlength=n_items))
    return TopSellers.fit(arrays, TopSellersConfig(**config), FitOptions())


@few
@given(
    training,
    st.sampled_from([0.0, 0.01, 3.0]),
    st.sampled_from([TypeWeights(), TypeWeights(clicks=0.0, carts=2.0, orders=0.5)]),
    st.sampled_from([1, 3, 10_000]),
)
def test_lists_are_those_defined(sessions, decay, weights, max_items):
    model = fitted(sessions, decay_per_day=decay, type_weights=weights, max_items=max_items)
    wanted = naive.top_sellers(sessions, model.config)
    assert model.lists.keys() == wanted.keys()
    for name, (items, scores) in model.lists.items():
        scored = {item: score for item, score in wanted[name].items() if score > 0}
        assert len(items) == min(max_items, len(scored))
        check_ranking(items, scores, scored, len(items))


def test_a_list_by_hand():
    """Item 0: a click ten days old. Item 1: an order thirty days old. Item 2: the newest event, a cart."""
    day = [Event(0, 20 * DAY_MS)], [Event(1, 0, ORDERS)], [Event(2, 30 * DAY_MS, CARTS)]
    lists = fitted(day, decay_per_day=0.01).lists
    items, scores = lists["overall"]
    assert items.tolist() == [1, 2, 0]
    assert scores.tolist() == pytest.approx([5 * math.exp(-0.3), 3.0, math.exp(-0.1)])
    assert lists["clicks"][0].tolist() == [0]
    assert lists["carts"][0].tolist() == [2]
    assert lists["orders"][0].tolist() == [1]


def test_equal_scores_go_to_the_smaller_row():
    assert fitted([[Event(item)] for item in (4, 2, 0, 5)]).lists["overall"][0].tolist() == [0, 2, 4, 5]


def test_ten_thousand_items_are_kept():
    sessions = [[Event(item) for item in range(10_050)]]
    items, _ = fitted(sessions, 10_050).lists["overall"]
    assert items.tolist() == list(range(10_000))


def test_blocks_of_events_change_nothing(monkeypatch):
    sessions = [[Event(i % 5, 1000 * i, i % 3) for i in range(50)]]
    whole = fitted(sessions).lists
    monkeypatch.setattr(top_sellers_module, "BLOCK_EVENTS", 7)
    for name, (items, scores) in fitted(sessions).lists.items():
        assert items.tolist() == whole[name][0].tolist()
        assert scores == pytest.approx(whole[name][1])


def test_an_objective_has_its_list_and_clicks_the_overall_one():
    model = fitted([[Event(0), Event(1, 0, CARTS), Event(2, 0, ORDERS)]])
    assert [model.list_for(objective) for objective in (None, "clicks", "carts", "orders")] == [
        "overall",
        "overall",
        "carts",
        "orders",
    ]


def test_an_objective_that_nothing_was_learned_for_takes_the_overall_list():
    assert fitted([[Event(0), Event(1, 0, CARTS)]]).list_for("orders") == "overall"


def test_nothing_to_learn_from():
    model = fitted([])
    assert model.recommend(Query(batch_of([[]]), 3)).items.tolist() == [[-1, -1, -1]]
