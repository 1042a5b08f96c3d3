from contextlib import contextmanager

import numpy as np
import pytest

from nextcart.config import Item2vecConfig, ModelsConfig, RankerConfig, TopSellersConfig
from nextcart.errors import InputError
from nextcart.models.fitting import MODEL_NAMES
from nextcart.models.model import FitOptions, TrainingArrays
from nextcart.models.recommender import Recommender
from nextcart.models.vocabulary import Vocabulary
from nextcart.types import DEFAULT_MODELS, UNKNOWN, Ranked, Source
from tests.naive import CARTS, ORDERS, Event, batch_of
from tests.shop import lists_of

ONE_CLICK = batch_of([[Event(0)]])


def fit(shop, only=None, **options) -> Recommender:
    return Recommender.fit(
        shop.vocabulary, shop.arrays, ModelsConfig(), FitOptions(deterministic=True), only, **options
    )


def rows(ranked: Ranked) -> list[int]:
    assert ranked.items.shape[0] == 1
    return ranked.items[0][ranked.items[0] >= 0].tolist()


def test_every_model_has_its_place_among_the_default_ones():
    assert sorted(DEFAULT_MODELS) == sorted(MODEL_NAMES)


@pytest.mark.parametrize(
    ("only", "fitted", "default"),
    [
        (None, set(MODEL_NAMES), "ranker"),
        (["hybrid"], {"top_sellers", "covisitation", "item2vec", "hybrid"}, "hybrid"),
        (["bought_together"], {"top_sellers", "bought_together"}, "bought_together"),
        (["item2vec", "covisitation"], {"top_sellers", "item2vec", "covisitation"}, "covisitation"),
        ([], {"top_sellers"}, "top_sellers"),
    ],
)
def test_what_is_named_is_fitted_with_what_it_needs(shop, only, fitted, default):
    timed = []

    @contextmanager
    def stage(name):
        timed.append(name)
        yield

    recommender = fit(shop, only, timed=stage)
    assert set(recommender.models) == fitted
    assert recommender.default_model == default
    # The ranker first: the models of the past that it learns from are gone before those of all events come.
    first = ["ranker"] if "ranker" in fitted else []
    assert timed == first + [name for name in MODEL_NAMES if name in fitted - {"hybrid", "ranker"}]


def test_a_name_that_is_no_model_is_an_error_that_lists_them(shop, recommender):
    with pytest.raises(InputError, match=r"'covisitatoin'.*hybrid"):
        fit(shop, ["covisitatoin"])
    with pytest.raises(InputError, match=r"'nearest'.*hybrid"):
        recommender.recommend(ONE_CLICK, 5, model="nearest")
    with pytest.raises(InputError, match="item2vec or covisitation"):
        recommender.similar(0, 5, model="hybrid")
    with pytest.raises(InputError, match="bought_together"):
        fit(shop, []).bought_together(np.array([0], np.int32), 3)


def test_a_ranker_that_is_named_but_cannot_learn_is_an_error_with_the_remedy(shop):
    few = ModelsConfig(ranker=RankerConfig(min_questions=10**6))
    with pytest.raises(InputError, match=r"fewer than 1000000 questions.*min_questions"):
        Recommender.fit(shop.vocabulary, shop.arrays, few, FitOptions(), ["ranker"])


def test_the_best_model_answers_where_none_is_named(shop, recommender):
    named = recommender.recommend(shop.asking, 7, model="ranker")
    assert recommender.recommend(shop.asking, 7).ranked.items.tolist() == named.ranked.items.tolist()


def test_the_objective_picks_the_top_sellers(recommender):
    lists = recommender.models["top_sellers"].lists
    empty = batch_of([[]])
    for objective, name in (("clicks", "overall"), ("carts", "carts"), ("orders", "orders")):
        answer = recommender.recommend(empty, 5, model="covisitation", objective=objective)
        assert rows(answer.ranked) == lists[name][0][:5].tolist()
        alone = recommender.recommend(empty, 5, model="top_sellers", objective=objective).ranked
        assert rows(alone) == lists[name][0][:5].tolist()
        assert alone.scores[0].tolist() == lists[name][1][:5].tolist()


@pytest.fixture(scope="module")
def sparse() -> Recommender:
    """Ten items clicked ever less often; only 8 and 9 were ever carted, only 9 ordered."""
    sessions = [[Event(item, 10 * n) for item in range(10 - n)] for n in range(10)]
    sessions += [[Event(8, 0, CARTS)], [Event(9, 0, ORDERS), Event(9, 5, CARTS)]]
    batch = batch_of(sessions)
    counts = np.bincount(batch.items)
    vocabulary = Vocabulary("int64", np.arange(100, 110), counts)
    config = ModelsConfig(item2vec=Item2vecConfig(min_count=5))
    return Recommender.fit(vocabulary, TrainingArrays(batch, counts), config, FitOptions())


def test_an_objectives_short_list_goes_on_with_the_overall_one(sparse):
    overall = sparse.models["top_sellers"].lists["overall"][0].tolist()
    orders = sparse.top_sellers(10, objective="orders")
    assert rows(orders) == [9] + [row for row in overall if row != 9]
    assert orders.scores[0, 1:].tolist() == [0.0] * 9
    answer = sparse.recommend(batch_of([[]]), 10, model="top_sellers", objective="orders")
    assert rows(answer.ranked) == rows(orders)


def test_top_sellers_leave_out_what_is_excluded(sparse):
    assert 9 not in rows(sparse.top_sellers(10, objective="orders", exclude=np.array([9], np.int32)))
    assert len(rows(sparse.top_sellers(10, exclude=np.array([1, 2], np.int32)))) == 8


@pytest.mark.parametrize("model", ["item2vec", "covisitation"])
def test_similar_items_leave_out_the_item_and_are_not_filled(shop, recommender, model):
    for row in (0, 5, 30):
        found = recommender.similar(row, len(shop.vocabulary), model=model)
        assert row not in rows(found)
        assert set(found.sources[found.items >= 0].tolist()) == {int(Source[model.upper()])}
        without = recommender.similar(row, 5, model=model, exclude=np.array(rows(found)[:2], np.int32))
        assert rows(without) == rows(found)[2:7]


def test_an_unknown_item_has_nothing_similar_and_no_complement(recommender):
    assert rows(recommender.similar(UNKNOWN, 5)) == []
    assert rows(recommender.similar(UNKNOWN, 5, model="covisitation")) == []
    assert rows(recommender.bought_together(np.array([UNKNOWN], np.int32), 5)) == []
    assert rows(recommender.bought_together(np.empty(0, np.int32), 5)) == []


def test_complements_of_a_basket_are_not_filled_and_leave_out_the_basket(shop, recommender):
    lists = recommender.models["bought_together"].complements
    basket = np.argsort(-np.diff(lists.offsets), kind="stable")[:2].astype(np.int32)
    found = recommender.bought_together(basket, 500)
    assert 0 < len(rows(found)) < 80
    assert not set(rows(found)) & set(basket.tolist())
    repeated = np.concatenate([basket, basket[::-1], [UNKNOWN]]).astype(np.int32)
    assert recommender.bought_together(repeated, 500).items.tolist() == found.items.tolist()
    out = np.array(rows(found)[:1], np.int32)
    assert rows(recommender.bought_together(basket, 500, exclude=out)) == rows(found)[1:]


def test_a_session_of_carts_asks_what_the_same_basket_asks(recommender):
    basket = [3, 1, 4]
    session = batch_of([[Event(row, i, CARTS) for i, row in enumerate(basket)]])
    mine = recommender.models["bought_together"]
    asked = recommender.recommend(session, 10, model="bought_together").ranked
    direct = recommender.bought_together(np.array(basket, np.int32), 10)
    own = asked.sources == Source.BOUGHT_TOGETHER
    assert asked.items[own].tolist() == direct.items[direct.items >= 0].tolist()
    assert mine.name == "bought_together"


@pytest.mark.parametrize("exclude", [None, lists_of([7])])
def test_discovery_leaves_out_the_whole_session_not_only_what_a_model_looks_at(recommender, exclude):
    """Item 6 was seen fifty events ago, past every model's look."""
    session = batch_of([[Event(6), *(Event(0, i) for i in range(50))]])
    for model in MODEL_NAMES:
        found = recommender.recommend(session, 100, model=model, mode="discover", exclude=exclude).ranked
        assert not {0, 6} & set(rows(found))
        assert (7 in rows(found)) is (exclude is None)


def test_warming_asks_every_model_and_changes_nothing(shop, recommender, tmp_path):
    recommender.save(tmp_path)
    loaded = Recommender.load(tmp_path)
    before = loaded.recommend(shop.asking, 5).ranked.items.tolist()
    loaded.warm()
    assert loaded.recommend(shop.asking, 5).ranked.items.tolist() == before


@pytest.mark.parametrize("n_items", [0, 1])
def test_a_shop_of_almost_nothing_is_fitted_saved_warmed_and_asked(tmp_path, n_items):
    batch = batch_of([[Event(0)]] if n_items else [])
    counts = np.ones(n_items, np.int64)
    vocabulary = Vocabulary("int64", np.arange(n_items), counts)
    recommender = Recommender.fit(vocabulary, TrainingArrays(batch, counts), ModelsConfig(), FitOptions())
    recommender.warm()
    recommender.save(tmp_path)
    loaded = Recommender.load(tmp_path)
    loaded.warm()
    assert set(loaded.models) == {*MODEL_NAMES} - {"ranker"}
    for model in loaded.models:
        answer = loaded.recommend(batch_of([[], [Event(-1)]]), 3, model=model)
        assert answer.ranked.items.tolist() == [[0, -1, -1] if n_items else [-1] * 3] * 2
        assert answer.fallback.tolist() == [1, 2]


def test_an_allow_list_past_the_top_sellers_is_still_answered(shop):
    """Three top sellers are kept; what is allowed lies past them and comes by popularity, but for the banned."""
    config = ModelsConfig(top_sellers=TopSellersConfig(max_items=3))
    recommender = Recommender.fit(shop.vocabulary, shop.arrays, config, FitOptions(), only=["top_sellers"])
    nothing = batch_of([[]])
    ranked = recommender.recommend(nothing, 4, allow=lists_of([50, 60, 70, 90]), exclude=lists_of([70])).ranked
    assert ranked.items.tolist() == [[50, 60, 90, UNKNOWN]]
    assert ranked.sources.tolist() == [[1, 1, 1, 0]]
    assert ranked.scores.tolist() == [[0, 0, 0, 0]]
