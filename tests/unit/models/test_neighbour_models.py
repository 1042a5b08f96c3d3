"""Co-visitation and bought-together from end to end: fitted and asked, against the same in plain Python."""

import json

import numpy as np
import pytest

from nextcart.config import DEFAULT_MATRICES, BoughtTogetherConfig, CovisitationConfig, MatrixConfig, TypeWeights
from nextcart.errors import InputError
from nextcart.models.bought_together import BoughtTogether
from nextcart.models.covisitation import Covisitation
from nextcart.models.model import FitOptions, Query, TrainingArrays
from nextcart.models.neighbour_lists import NeighbourLists
from nextcart.models.shared import Shared
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


MATRICES = ("main", "next", "around", "buys", "two_hop")
ASK = {"events": 3, "decay": 0.5, "type_weights": (1.0, 2.0, 0.0)}


@pytest.fixture(scope="module")
def default(shop) -> Covisitation:
    return Covisitation.fit(shop.arrays, CovisitationConfig(), FitOptions())


@pytest.mark.parametrize("matrix", MATRICES)
def test_any_matrix_answers_as_asked(shop, default, matrix):
    asked = CovisitationConfig(
        query_events=3, query_decay=0.5, query_type_weights=TypeWeights(clicks=1.0, carts=2.0, orders=0.0)
    )
    pairs = as_pairs(default.matrices[matrix])
    query = Query(shop.asking, 12, lists_of(*([i] for i in range(len(shop.asking)))))
    ranked = default.ask(query, matrix, **ASK)
    assert (ranked.items >= 0).any()
    for i, session in enumerate(sessions_of(shop.asking)):
        wanted = naive.covisitation_query(session, pairs, asked)
        check_ranking(ranked.items[i], ranked.scores[i], naive.permitted(wanted, {i}), 12)
        alone = default.ask(Query(batch_of([session]), 12, lists_of([i])), matrix, **ASK)
        assert alone.items[0].tolist() == ranked.items[i].tolist()
        assert alone.scores[0].tobytes() == ranked.scores[i].tobytes()


def test_lists_asked_about_the_same_sessions_are_told_apart(shop, default):
    shared = Query(shop.asking, 5, shared=Shared(20))
    asks = [(matrix, events, decay) for matrix in MATRICES for events in (1, 10) for decay in (0.5, 1.0)]
    for matrix, events, decay in asks * 2:
        found = default.ask(shared, matrix, events=events, decay=decay)
        wanted = default.ask(Query(shop.asking, 5), matrix, events=events, decay=decay)
        assert found.items.tolist() == wanted.items.tolist()
        assert found.scores.tolist() == wanted.scores.tolist()


def test_a_matrix_that_is_not_there_is_named(shop, default):
    with pytest.raises(InputError, match=r"no matrix 'far'.*main, next, around, buys, two_hop"):
        default.ask(Query(shop.asking, 5), "far", events=1, decay=1.0)


def test_two_hops_are_made_of_the_matrix_that_names_them(default):
    wanted = naive.two_hop(as_pairs(default.matrices["around"]), 30)
    for item, pairs in as_pairs(default.matrices["two_hop"]).items():
        assert len(pairs) == min(60, len(wanted[item]))
        if pairs:
            check_ranking(*zip(*pairs, strict=True), wanted[item], len(pairs))


@pytest.mark.parametrize("threads", [1, 5])
def test_threads_do_not_change_any_matrix(shop, default, threads):
    again = Covisitation.fit(shop.arrays, CovisitationConfig(), FitOptions(threads=threads)).arrays()
    for name, array in default.arrays().items():
        assert array.tobytes() == again[name].tobytes(), name


def test_normalised_rows_sum_to_one_at_most(default):
    for name in ("next", "around", "buys", "two_hop"):
        assert all(sum(w for _, w in pairs) <= 1 + 1e-6 for pairs in as_pairs(default.matrices[name]).values())


def test_a_log_of_clicks_alone_has_no_buys(shop, tmp_path):
    clicks = [[event._replace(type=CLICKS) for event in session] for session in sessions_of(shop.arrays.sessions)]
    arrays = TrainingArrays(batch_of(clicks), shop.arrays.counts)
    Covisitation.fit(arrays, CovisitationConfig(), FitOptions()).save(tmp_path)
    loaded = Covisitation.load(tmp_path)
    assert len(loaded.matrices["buys"].items) == 0
    assert (loaded.ask(Query(shop.asking, 5), "buys", events=5, decay=0.5).items == -1).all()


def test_a_version_has_the_matrices_that_it_was_trained_with(default, tmp_path):
    """Those left out do not come back at loading, and a version from before they existed has none of them."""
    config = CovisitationConfig(matrices={"next": DEFAULT_MATRICES["next"]})
    saved = Covisitation(config, {name: default.matrices[name] for name in ("main", "next")})
    saved.save(tmp_path)
    loaded = Covisitation.load(tmp_path)
    assert (loaded.config, list(loaded.matrices)) == (config, ["main", "next"])
    document = json.loads((tmp_path / "model.json").read_text())
    document["config"] = {"top_n": 40, "matrices": {"next": {"top_n": 60, "look_back_events": 1}}}
    (tmp_path / "model.json").write_text(json.dumps(document))
    older = Covisitation.load(tmp_path)
    assert list(older.matrices) == ["main", "next"]
    assert older.config.matrices == {"next": MatrixConfig(top_n=60, look_back_events=1)}


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
