"""Co-visitation and bought-together from end to end: fitted and asked, against the same in plain Python."""

import numpy as np
import pytest

from nextcart.config import BoughtTogetherConfig, CovisitationConfig, MatrixConfig, TypeWeights
from nextcart.models.bought_together import BoughtTogether
from nextcart.models.covisitation import Covisitation
from nextcart.models.model import FitOptions, Query, TrainingArrays
from nextcart.models.neighbour_lists import NeighbourLists
from nextcart.types import Source
from tests import naive
from tests.naive import CARTS, CLICKS, ORDERS, Event, batch_of, check_ranking, sessions_of
from tests.shop import lists_of


def as_pairs(lists: NeighbourLists) -> naive.Neighbours:
    spans = zip(lists.offsets[:-1], lists.offsets[1:], strict=True)
    return {
        item: list(zip(lists.items[a:b].tolist(), lists.weights[a:b].tolist(), strict=True))
        for item, (a, b) in enumerate(spans)
    }


def test_a_fitted_shop_holds_what_counting_in_python_gives(shop):
    learned = sessions_of(shop.arrays.sessions)
    covisitation = Covisitation.fit(shop.arrays, CovisitationConfig(), FitOptions()).matrices["main"]
    complements = BoughtTogether.fit(shop.arrays, BoughtTogetherConfig(), FitOptions()).complements
    both = (
        (covisitation, naive.covisitation(learned, CovisitationConfig())),
        (complements, naive.bought_together(learned, BoughtTogetherConfig())),
    )
    for lists, wanted in both:
        for item, pairs in as_pairs(lists).items():
            assert len(pairs) == min(40, len(wanted[item]))
            if pairs:
                check_ranking(*zip(*pairs, strict=True), wanted[item], len(pairs))
    assert len(covisitation.offsets) == shop.arrays.n_items + 1
    assert len(complements.items) > 20


def test_covisitation_answers_as_defined(shop):
    model = Covisitation.fit(shop.arrays, CovisitationConfig(), FitOptions())
    pairs = as_pairs(model.matrices["main"])
    ranked = model.recommend(Query(shop.asking, 12, lists_of(*([i] for i in range(len(shop.asking))))))
    for i, session in enumerate(sessions_of(shop.asking)):
        wanted = naive.covisitation_query(session, pairs, CovisitationConfig())
        check_ranking(ranked.items[i], ranked.scores[i], naive.permitted(wanted, {i}), 12)


def test_a_question_by_hand():
    """0 is followed by 2 (weight 4), 1 by 3 (weight 1): 0 clicked first, 1 carted last."""
    lists = NeighbourLists(
        np.array([0, 1, 2, 2, 2], np.int64), np.array([2, 3], np.int32), np.array([4.0, 1.0], np.float32)
    )
    model = Covisitation(CovisitationConfig(), {"main": lists})
    ranked = model.recommend(Query(batch_of([[Event(0, 0, CLICKS), Event(1, 9, CARTS)]]), 3))
    assert ranked.items.tolist() == [[2, 3, -1]]
    assert ranked.scores[0].tolist() == pytest.approx([4 * 0.9 * 1, 1 * 1 * 3, 0])
    assert ranked.sources.tolist() == [[Source.COVISITATION] * 2 + [0]]


def test_an_unknown_event_takes_its_place_among_the_last_ten():
    """Positions count from the newest event, known or not."""
    lists = NeighbourLists(np.array([0, 1, 1], np.int64), np.array([1], np.int32), np.array([1.0], np.float32))
    model = Covisitation(CovisitationConfig(), {"main": lists})

    def score(unknown: int) -> float:
        session = [Event(0), *(Event(-1, i) for i in range(unknown))]
        return float(model.recommend(Query(batch_of([session]), 1)).scores[0, 0])

    assert score(0) == 1.0
    assert score(3) == pytest.approx(0.9**3)
    assert score(9) == pytest.approx(0.9**9)
    assert score(10) == 0.0


def test_similar_items_come_with_their_raw_weights(shop):
    model = Covisitation.fit(shop.arrays, CovisitationConfig(), FitOptions())
    pairs = as_pairs(model.matrices["main"])[4]
    ranked = model.similar(Query(batch_of([[Event(0, 0, ORDERS), Event(4, 1, ORDERS)]]), 50))
    size = len(pairs)
    assert ranked.items[0, :size].tolist() == [item for item, _ in pairs]
    assert ranked.scores[0, :size].tolist() == [weight for _, weight in pairs]


def test_named_matrices_are_fitted_saved_and_asked_by_name(shop, tmp_path):
    matrix = MatrixConfig(look_back_events=1, keep_diagonal=True, type_weights=TypeWeights(clicks=0.0), top_n=3)
    config = CovisitationConfig(matrices={"next_one": matrix})
    model = Covisitation.fit(shop.arrays, config, FitOptions())
    model.save(tmp_path)
    loaded = Covisitation.load(tmp_path)
    assert loaded.config == config
    wanted = naive.covisitation(sessions_of(shop.arrays.sessions), matrix)
    for each in (model, loaded):
        assert list(each.matrices) == ["main", "next_one"]
        for item, pairs in as_pairs(each.matrices["next_one"]).items():
            assert len(pairs) == min(3, len(wanted[item]))
            if pairs:
                check_ranking(*zip(*pairs, strict=True), wanted[item], len(pairs))
    session = Query(batch_of([[Event(0)]]), 3)
    assert model.similar(session, "next_one").items.tolist() != model.similar(session).items.tolist()


def test_bought_together_answers_as_defined(shop):
    config = BoughtTogetherConfig(min_support=1)
    model = BoughtTogether.fit(shop.arrays, config, FitOptions())
    pairs = as_pairs(model.complements)
    ranked = model.recommend(Query(shop.asking, 12, lists_of(*([i] for i in range(len(shop.asking))))))
    for i, session in enumerate(sessions_of(shop.asking)):
        wanted = naive.basket_query(naive.basket_of(session, config), pairs)
        check_ranking(ranked.items[i], ranked.scores[i], naive.permitted(wanted, {i}), 12)


def test_it_is_a_model_of_its_own(shop, recommender):
    """Clicks say nothing about what is bought together, and order within a basket neither."""
    clicks = [[event._replace(type=CLICKS) for event in session] for session in sessions_of(shop.arrays.sessions)]
    arrays = TrainingArrays(batch_of(clicks), shop.arrays.counts)
    assert len(BoughtTogether.fit(arrays, BoughtTogetherConfig(), FitOptions()).complements.items) == 0
    backwards = TrainingArrays(
        batch_of([[Event(0, 0, CARTS), Event(1, 9, CARTS)], [Event(1, 0, CARTS), Event(0, 9, CARTS)]]), np.array([2, 2])
    )
    lists = BoughtTogether.fit(backwards, BoughtTogetherConfig(min_support=2), FitOptions()).complements
    assert lists.items.tolist() == [1, 0]
    assert lists.weights[0] == lists.weights[1]


@pytest.mark.parametrize("kind", [Covisitation, BoughtTogether])
def test_nothing_to_learn_from(kind):
    config = CovisitationConfig() if kind is Covisitation else BoughtTogetherConfig()
    model = kind.fit(TrainingArrays(batch_of([]), np.empty(0, np.int64)), config, FitOptions())
    assert model.recommend(Query(batch_of([[], [Event(-1)]]), 2)).items.tolist() == [[-1, -1]] * 2


def test_lists_from_places_in_any_order() -> None:
    lists = NeighbourLists.from_places(
        3,
        np.array([2, 0, 2, 2], np.int32),
        np.array([7, 5, 8, 9], np.int32),
        np.array([1.0, 4.0, 3.0, 2.0], np.float32),
        np.array([3, 1, 1, 2], np.int32),
    )
    assert lists.offsets.tolist() == [0, 1, 1, 4]
    assert lists.items.tolist() == [5, 8, 9, 7]
    assert lists.weights.tolist() == [4.0, 3.0, 2.0, 1.0]
    assert not lists.weights.flags.writeable
