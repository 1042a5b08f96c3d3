import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextcart.config import BoughtTogetherConfig
from nextcart.kernels.covisitation import basket_support
from nextcart.kernels.scoring import baskets_of
from nextcart.models.bought_together import BoughtTogether
from nextcart.models.model import FitOptions, TrainingArrays
from nextcart.models.neighbour_lists import NeighbourLists
from tests import naive
from tests.naive import CARTS, HOUR_MS, ORDERS, Event, batch_of, check_ranking
from tests.strategies import N_ITEMS, asking, few, training

configs = st.builds(
    BoughtTogetherConfig,
    window_hours=st.sampled_from([0.0, 1.0, 24.0]),
    min_support=st.sampled_from([1, 2, 3]),
    shrinkage=st.sampled_from([0.0, 1.0, 3.0, 10.0]),
    popularity_power=st.sampled_from([0.0, 0.3, 1.0]),
    size_power=st.sampled_from([0.0, 0.5, 1.0]),
    max_basket_events=st.sampled_from([2, 200]),
    top_n=st.sampled_from([1, 40]),
)


DAY = BoughtTogetherConfig(window_hours=24.0, min_support=3, shrinkage=10.0, popularity_power=0.3)


def count(sessions, config: BoughtTogetherConfig, threads: int = 1) -> NeighbourLists:
    batch = batch_of(sessions)
    arrays = TrainingArrays(batch, np.bincount(batch.items, minlength=N_ITEMS))
    return BoughtTogether.fit(arrays, config, FitOptions(threads=threads)).complements


def complements(lists: NeighbourLists, item: int) -> list[tuple[int, float]]:
    span = slice(lists.offsets[item], lists.offsets[item + 1])
    return list(zip(lists.items[span].tolist(), lists.weights[span].tolist(), strict=True))


@few
@given(training, configs)
def test_pairs_are_scored_as_defined(sessions, config):
    lists = count(sessions, config)
    wanted = naive.bought_together(sessions, config)
    for item in range(N_ITEMS):
        found = complements(lists, item)
        assert len(found) == min(config.top_n, len(wanted[item]))
        if found:
            check_ranking(*zip(*found, strict=True), wanted[item], len(found))


def test_a_table_by_hand():
    """Four baskets: 0 with 1 in three of them, 2 alone; clicks count for nothing."""
    together = [Event(0, 0, ORDERS), Event(2, 10), Event(1, 24 * HOUR_MS, CARTS)]
    sessions = [together, together, together[::-1], [Event(2, 0, CARTS)], [Event(3, 0), Event(4, 1)]]
    sessions[2] = [Event(1, 0, CARTS), Event(0, 5, ORDERS)]
    lists = count(sessions, DAY)
    # n(0, 1) = 3; n(0) = 3; p(1) = 3 of the 4 baskets, to which the share is drawn as if by 10 of them.
    score = pytest.approx((3 + 10 * 3 / 4) / (3 + 10) / (3 / 4) ** 0.3)
    assert complements(lists, 0) == [(1, score)]
    assert complements(lists, 1) == [(0, score)]
    assert complements(lists, 2) == complements(lists, 3) == []


def test_a_pair_counts_once_a_session_however_often_it_stands_there():
    basket = [Event(0, 0, CARTS), Event(1, 1, CARTS), Event(0, 2, ORDERS), Event(1, 3, ORDERS)]
    config = BoughtTogetherConfig(min_support=1, shrinkage=0.0, popularity_power=0.0)
    assert complements(count([basket], config), 0) == [(1, 1.0)]
    assert complements(count([basket] * 2, DAY), 0) == []


def test_the_item_itself_is_no_complement_and_the_window_has_an_end():
    config = DAY.model_copy(update={"min_support": 1})
    twice = [Event(0, 0, ORDERS), Event(0, 1, ORDERS)]
    far = [Event(1, 0, ORDERS), Event(2, 24 * HOUR_MS + 1, ORDERS)]
    assert len(count([twice, far], config).items) == 0
    assert count([twice, far], config.model_copy(update={"window_hours": 0.0})).items.tolist() == [2, 1]


def test_more_popular_complements_rank_lower_than_rarer_ones_of_equal_probability():
    sessions = [[Event(0, 0, ORDERS), Event(1, 1, ORDERS), Event(2, 2, ORDERS)]] * 4 + [[Event(1, 0, ORDERS)]] * 20
    lists = count(sessions, DAY.model_copy(update={"shrinkage": 0.0}))
    assert [item for item, _ in complements(lists, 0)] == [2, 1]


def test_a_pair_of_a_small_basket_counts_more_and_a_rare_item_asks_for_what_is_popular():
    small, large = [[Event(item, item, ORDERS) for item in basket] for basket in ((0, 1), (0, 2, 3, 4, 5))]
    plain = BoughtTogetherConfig(shrinkage=0.0, size_power=0.5)
    scores = dict(complements(count([small, large], plain), 0))
    assert (scores[1], scores[2]) == (pytest.approx(1 / 2), pytest.approx(1 / 2 / 2))
    assert (
        len(set(dict(complements(count([small, large], plain.model_copy(update={"size_power": 0.0})), 0)).values()))
        == 1
    )
    popular = [small, large, *[[Event(5, 0, ORDERS)]] * 20]
    assert complements(count(popular, plain), 0)[0][0] == 1
    assert complements(count(popular, BoughtTogetherConfig()), 0)[0][0] == 5


def test_the_draw_is_worth_the_same_in_a_log_of_large_baskets():
    """By hand: of three baskets two are of several items, worth 1 and 1 / sqrt(4); the draw is by their mean."""
    small, large, alone = [[Event(item, 0, ORDERS) for item in basket] for basket in ((0, 1), (0, 1, 2, 3, 4), (5,))]
    config = BoughtTogetherConfig(shrinkage=10.0, size_power=0.5)
    scores = dict(complements(count([small, large, alone], config), 0))
    assert scores[1] == pytest.approx((1 + 0.5 + 10 * 0.75 * 2 / 3) / (2 + 10))
    assert scores[2] == pytest.approx((0.5 + 10 * 0.75 * 1 / 3) / (2 + 10))


def test_what_stands_in_many_baskets_goes_with_everything_that_was_bought():
    """0 stands in 4 of 12 baskets, never with 1: of 3 baskets one is expected to hold it. 2 stands in 3, 3 in none."""
    sessions = [[Event(0, 0, ORDERS)]] * 4 + [[Event(2, 0, ORDERS)]] * 3 + [[Event(1, 0, CARTS), Event(4, 0, CARTS)]]
    sessions = [*sessions, *([[Event(5, 0, ORDERS), Event(4, 1, ORDERS)]] * 4), [Event(3, 0)]]
    config = BoughtTogetherConfig(shrinkage=3.0)
    lists = count(sessions, config)
    assert complements(lists, 1) == [
        (4, pytest.approx((1 + 3 * 5 / 12) / (1 + 3))),
        (0, pytest.approx(3 * 4 / 12 / (1 + 3))),
        (5, pytest.approx(3 * 4 / 12 / (1 + 3))),
    ]
    assert [item for item, _ in complements(lists, 0)] == [4, 5]
    assert complements(lists, 3) == []
    twice = count(sessions, config.model_copy(update={"min_support": 2}))
    assert complements(twice, 1) == []
    # Each of the twelve is too little known to be drawn to by fifteen.
    assert [item for item, _ in complements(count(sessions, BoughtTogetherConfig()), 1)] == [4]


@few
@given(training)
def test_threads_do_not_change_the_lists(sessions):
    one, many = (count(sessions, BoughtTogetherConfig(min_support=1), n) for n in (1, 3))
    for name, array in one.arrays().items():
        assert array.tobytes() == many.arrays()[name].tobytes()


@few
@given(training)
def test_support_is_the_number_of_sessions(sessions):
    batch = batch_of(sessions)
    support, session_of, sizes = basket_support(batch.offsets, batch.items, N_ITEMS)
    assert support.tolist() == [
        sum(item in {event.item for event in session} for session in sessions) for item in range(N_ITEMS)
    ]
    assert session_of.tolist() == [s for s, session in enumerate(sessions) for _ in session]
    assert sizes.tolist() == [len({event.item for event in session}) for session in sessions]


@few
@given(asking, st.integers(1, 3))
def test_a_session_asks_with_its_last_carts_and_orders_or_its_last_item(sessions, query_events):
    batch = batch_of(sessions)
    offsets, items, places = baskets_of(batch.offsets, batch.items, batch.types, CARTS, query_events)
    config = BoughtTogetherConfig(query_events=query_events)
    for s, session in enumerate(sessions):
        basket = items[offsets[s] : offsets[s + 1]].tolist()
        assert len(set(basket)) == len(basket)
        assert set(basket) == naive.basket_of(session, config)
        events = places[offsets[s] : offsets[s + 1]]
        assert batch.items[events].tolist() == basket
        assert all(batch.offsets[s] <= event < batch.offsets[s + 1] for event in events)
