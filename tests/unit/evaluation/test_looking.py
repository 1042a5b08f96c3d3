"""A look at held-out sessions: curves, sources, what dropping one costs, examples."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from nextcart.config import EvaluationConfig, ModelsConfig, RankerConfig
from nextcart.evaluation.looking import Look, look, places
from nextcart.evaluation.replay import replay
from nextcart.evaluation.sources import Lacking, hide
from nextcart.kernels.pair_columns import LIST_COLUMNS, NEVER, PAIR_COLUMNS
from nextcart.models.candidates import SOURCES, Retrieval
from nextcart.models.model import FitOptions, Query
from nextcart.models.ranker import Ranker
from nextcart.models.recommender import Recommender
from nextcart.types import UNKNOWN, SessionBatch, Source
from tests.naive import ORDERS
from tests.shop import Shop, make_shop

CONFIG = EvaluationConfig(rounds=50)
QUICK = RankerConfig(max_trees=10, folds=1, max_questions=600, min_questions=20, patience=5)


@pytest.fixture(scope="module")
def ranked(shop: Shop) -> Recommender:
    """All models, the ranker after few questions."""
    return Recommender.fit(shop.vocabulary, shop.arrays, ModelsConfig(ranker=QUICK), FitOptions(deterministic=True))


@pytest.fixture(scope="module")
def held_out() -> SessionBatch:
    return make_shop(8, sessions=120).arrays.sessions


@pytest.fixture(scope="module")
def seen(ranked: Recommender, held_out: SessionBatch) -> Look:
    return look(ranked, held_out, CONFIG, split="test", limit=10**6)


def ranker_of(recommender: Recommender) -> Ranker:
    ranker = recommender.model("ranker")
    assert isinstance(ranker, Ranker)
    return ranker


def test_the_place_of_a_target() -> None:
    items = np.array([[5, 3, 1], [4, UNKNOWN, UNKNOWN], [7, 8, 9]], np.int32)
    assert places(items, np.array([3, UNKNOWN, 7], np.int32)).tolist() == [1, 3, 0]


def test_curves_end_in_what_the_protocol_measures(seen: Look, ranked: Recommender, held_out: SessionBatch) -> None:
    measured = replay("next_click", ranked, held_out, CONFIG, split="test", data_fingerprint="").evaluation
    assert (seen.protocol, seen.k, seen.sessions, seen.of_sessions) == ("next_click", 20, 120, 120)
    assert seen.questions == measured.possible["recall"]
    assert [curve.model for curve in seen.curves] == list(ranked.models)
    for curve in seen.curves:
        assert curve.recall[-1] == pytest.approx(measured.metrics[curve.model]["next"]["recall"], abs=1e-6)
        assert list(curve.recall) == sorted(curve.recall)
        assert len(curve.recall) == 20
    assert seen.ranker
    assert seen.ranker.recall == pytest.approx(seen.curves[-1].recall[-1])


def test_sources_of_hits(seen: Look) -> None:
    assert seen.ranker
    assert [each.name for each in seen.ranker.sources] == [
        "top_sellers",
        "covisitation",
        "session_neighbours",
        "history",
        "log_bilinear",
    ]
    for each in seen.ranker.sources:
        assert 0 <= each.alone <= each.hits <= 1
        assert each.left_out.interval
    assert seen.ranker.recall <= seen.ranker.found <= 1
    assert 0 < seen.ranker.candidates <= QUICK.max_candidates


def test_a_source_that_brings_nothing_is_not_missed(ranked: Recommender, held_out: SessionBatch) -> None:
    ranker, query = ranker_of(ranked), Query(held_out, 20)
    found = ranker.retrieval.candidates(query)
    for hidden in (False, True):
        lacking = Lacking(ranker, found, Source.BOUGHT_TOGETHER, hidden=hidden).recommend(query)
        np.testing.assert_array_equal(lacking.items, ranker.recommend(query).items)
        np.testing.assert_array_equal(lacking.sources, ranker.recommend(query).sources)


def test_without_a_source_its_own_candidates_are_gone(ranked: Recommender, held_out: SessionBatch) -> None:
    ranker, query = ranker_of(ranked), Query(held_out, 20)
    found = ranker.retrieval.candidates(query)
    bit = np.uint8(Source.COVISITATION)
    lists = Lacking(ranker, found, Source.COVISITATION, hidden=False).recommend(query)
    assert not (lists.sources & bit).any()
    for row in range(len(held_out)):
        span = slice(found.offsets[row], found.offsets[row + 1])
        others = found.items[span][(found.sources[span] & ~bit) > 0]
        assert set(lists.items[row][lists.items[row] >= 0]) <= set(others)
        assert (lists.items[row] >= 0).sum() == min(20, len(others))
    assert (found.sources == bit).any()


@pytest.mark.parametrize("member", ["log_bilinear", "session_neighbours", "top_sellers", "covisitation"])
def test_a_hidden_source_looks_like_one_that_is_not_there(
    ranked: Recommender, held_out: SessionBatch, member: str
) -> None:
    ranker = ranker_of(ranked)
    others = [each for each in ranked.models.values() if isinstance(each, SOURCES) and each.name != member]
    left = Retrieval(QUICK, others, ranker.ranking.item_columns).feature_names
    found = ranker.retrieval.candidates(Query(held_out, 20)).features
    hidden = found.copy()
    hide(hidden, ranker.retrieval, Source[member.upper()])
    names = ranker.retrieval.feature_names
    changed = {name for name, column in zip(names, (hidden != found).any(axis=0), strict=True) if column}
    own = set(names) - set(left)
    assert own < changed <= own | set(LIST_COLUMNS)
    ranks = hidden[:, [column for column, name in enumerate(names) if name.endswith("_rank") and name != "best_rank"]]
    assert (hidden[:, names.index("best_rank")] == ranks.min(axis=1)).all()
    assert (hidden[:, names.index("lists_with")] == (ranks < NEVER).sum(axis=1)).all()
    for column, name in enumerate(names):
        if name in own:
            assert (hidden[:, column] == (NEVER if name.endswith("_rank") else 0)).all()


def test_hidden_history_looks_like_items_that_were_never_seen(ranked: Recommender, held_out: SessionBatch) -> None:
    ranker = ranker_of(ranked)
    names = ranker.retrieval.feature_names
    found = ranker.retrieval.candidates(Query(held_out, 20)).features
    pair = [names.index(name) for name in PAIR_COLUMNS]
    never_seen = found[found[:, names.index("times_seen")] == 0][0, pair]
    hide(found, ranker.retrieval, Source.HISTORY)
    assert (found[:, pair] == never_seen).all()


def test_examples_are_hits_and_misses_with_their_sessions(seen: Look) -> None:
    hits = [each for each in seen.examples if each.place is not None]
    assert (len(hits), len(seen.examples)) == (6, 12)
    assert list(seen.examples[:6]) == hits
    for each in seen.examples:
        assert len(each.shown) == min(each.before, 8)
        assert len(each.listed) == 5
        if each.place is not None and each.place <= 5:
            assert each.listed[each.place - 1][0] == each.target
        if each.place is None:
            assert each.target not in [item for item, _ in each.listed]
    assert len({each.shown for each in seen.examples}) > 6


def test_fewer_sessions_for_a_quick_look(ranked: Recommender, held_out: SessionBatch) -> None:
    some = look(ranked, held_out, CONFIG, split="test", limit=10)
    assert (some.sessions, some.of_sessions) == (10, 120)
    assert some.questions < 200


def test_a_log_without_clicks_asks_for_the_last_event(ranked: Recommender, held_out: SessionBatch) -> None:
    orders = replace(held_out, types=np.full(held_out.n_events, ORDERS, np.uint8))
    found = look(ranked, orders, CONFIG, split="test", limit=100)
    assert (found.protocol, found.questions) == ("next_event", 100)
    assert found.calibrations[0].protocol == "next_event"
    assert found.examples


def test_no_session_and_no_ranker(recommender: Recommender, held_out: SessionBatch) -> None:
    nothing = look(recommender, held_out.slice(0, 0), CONFIG, split="test", limit=10)
    assert (nothing.questions, nothing.examples, nothing.ranker) == (0, (), None)
    plain = look(recommender, held_out, CONFIG, split="test", limit=20)
    assert (plain.ranker, plain.calibrations) == (None, ())
    assert {each.candidate for each in plain.examples} == {None}
