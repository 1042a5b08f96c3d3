import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextcart.config import ModelsConfig
from nextcart.errors import InputError
from nextcart.models.arranging import Wishes, arranged
from nextcart.models.fitting import MODEL_NAMES
from nextcart.models.model import FitOptions, Query
from nextcart.models.neighbour_lists import NeighbourLists
from nextcart.models.recommender import Recommender
from nextcart.models.rules import NO_RULES, RowRules
from nextcart.types import Ranked, Source
from tests import naive_rules
from tests.contract import same
from tests.naive import Event, batch_of
from tests.naive_rules import Entry
from tests.shop import lists_of
from tests.strategies import few

N = 14
rows = st.integers(0, N - 1)
whole_lists = st.lists(st.permutations(range(N)).flatmap(lambda p: st.integers(0, N).map(lambda n: p[:n])), max_size=3)


def entries_of(items) -> list[Entry]:
    """The items with scores that fall from 2 in steps, some of them equal, and below 0 at the end."""
    return [Entry(item, 2.0 - 0.25 * (place // 2 * 2), 1 + item % 7) for place, item in enumerate(items)]


def list_maker(wholes):
    """Lists of any length, as a model that can bring these entries makes them."""

    def list_of(query: Query) -> Ranked:
        shape = (len(wholes), query.k)
        ranked = Ranked(np.full(shape, -1, np.int32), np.zeros(shape, np.float32), np.zeros(shape, np.uint8))
        for s, whole in enumerate(wholes):
            for place, entry in enumerate(whole[: query.k]):
                ranked.items[s, place], ranked.scores[s, place], ranked.sources[s, place] = entry
        return ranked

    return list_of


def neighbours_of(near) -> NeighbourLists:
    sizes = [len(near.get(row, ())) for row in range(N)]
    items = [item for row in range(N) for item in near.get(row, ())]
    offsets = np.cumsum([0, *sizes], dtype=np.int64)
    return NeighbourLists(offsets, np.array(items, np.int32), np.ones(len(items), np.float32))


def answered(ranked: Ranked) -> list[list[Entry]]:
    columns = (ranked.items, ranked.scores, ranked.sources)
    return [
        [Entry(*entry) for entry in zip(*row, strict=True) if entry[0] >= 0]
        for row in zip(*(column.tolist() for column in columns), strict=True)
    ]


def rules_of(pins, boosts) -> RowRules:
    return RowRules.of(
        1,
        N,
        pins=np.array(list(pins.values()), np.int32),
        positions=np.array(list(pins), np.int32),
        boosted=np.array(list(boosts), np.int32),
        factors=np.array(list(boosts.values())),
    )


def distinct_pins(pins):
    return {
        position: item for place, (position, item) in enumerate(pins.items()) if item not in [*pins.values()][:place]
    }


@few
@given(
    whole_lists,
    st.integers(1, 8),
    st.dictionaries(st.integers(1, 10), rows, max_size=4).map(distinct_pins),
    st.dictionaries(rows, st.sampled_from([0.1, 0.5, 1.0, 1.5, 3.0, 100.0]), max_size=5),
    st.sampled_from([None, -1.0, 0.0, 0.5, 1.75]),
    st.sampled_from([None, 1, 2, 5]),
    st.dictionaries(rows, st.sets(rows, max_size=N), max_size=N),
    st.none() | st.sets(rows, min_size=1),
)
def test_lists_are_arranged_as_defined(wholes, k, pins, boosts, min_score, most, near, banned):
    wholes = [entries_of([item for item in whole if item not in (banned or ())]) for whole in wholes]
    bans = None if banned is None else lists_of(*(sorted(banned) for _ in wholes))
    query = Query(batch_of([[] for _ in wholes]), k, bans)
    wishes = Wishes(rules_of(pins, boosts), min_score, most, neighbours_of(near))
    ranked, _ = arranged(query, list_maker(wholes), wishes)
    assert ranked.items.shape == (len(wholes), k)
    standing = {position: item for position, item in pins.items() if item not in (banned or ())}
    wanted = [
        naive_rules.arranged(whole, k, pins=standing, factors=boosts, min_score=min_score, most=most, near=near)
        for whole in wholes
    ]
    assert answered(ranked) == wanted
    assert ((ranked.scores == 0) | (ranked.items >= 0)).all()


def test_by_hand():
    """Boost 100 brings the eighth item to the front, a pin pushes it down, and the pinned one leaves its old place."""
    whole = entries_of(range(10))
    ranked, _ = arranged(Query(batch_of([[]]), 4), list_maker([whole]), Wishes(rules_of({1: 2}, {7: 100.0})))
    assert ranked.items.tolist() == [[2, 7, 0, 1]]
    assert ranked.scores.tolist() == [[2.0, 2.0, 2.0, 1.5]]
    assert ranked.sources.tolist() == [[int(Source.PINNED), 1, 1, 2]]


def test_an_item_past_twice_the_limit_is_not_raised():
    whole = entries_of(range(10))
    ranked, _ = arranged(Query(batch_of([[]]), 4), list_maker([whole]), Wishes(rules_of({}, {8: 1e9})))
    assert ranked.items.tolist() == [[0, 1, 2, 3]]


def test_an_allow_list_lets_no_other_item_be_pinned(shop, recommender):
    allow = lists_of(*([3, 4, 5, 6] for _ in range(len(shop.asking))))
    rules = RowRules.of(1, 99, pins=np.array([9, 4], np.int32), positions=np.array([1, 2], np.int32))
    items = recommender.recommend(shop.asking, 3, model="hybrid", allow=allow, rules=rules).ranked.items
    assert (items[:, 1] == 4).all()
    assert not (items == 9).any()


def test_a_block_beats_a_pin_and_a_boost():
    rows, places = np.array([5, -1, 7], np.int32), np.array([3, 2, 1], np.int32)
    factors = np.array([2.0, 3.0, 0.5])
    rules = RowRules.of(
        4, 9, block=np.array([5, -1], np.int32), pins=rows, positions=places, boosted=rows, factors=factors
    )
    assert rules.version == 4
    assert (rules.pins.tolist(), rules.positions.tolist()) == ([7], [1])
    assert (rules.boosted.tolist(), rules.factors.tolist()) == ([7], [0.5])
    assert rules.blocked is not None
    assert rules.blocked.count == 1


# With the real models.


@pytest.mark.parametrize("model", MODEL_NAMES)
def test_wishes_that_wish_for_nothing_change_nothing(shop, recommender, model):
    n = len(recommender.vocabulary)
    nothing = RowRules.of(1, n, boosted=np.arange(n, dtype=np.int32), factors=np.ones(n))
    wanted = recommender.recommend(shop.asking, 9, model=model)
    for wishes in ({"rules": nothing}, {"max_per_neighbourhood": n}, {"min_score": -1e30}, {"rules": NO_RULES}):
        assert same(recommender.recommend(shop.asking, 9, model=model, **wishes), wanted)


@pytest.mark.parametrize("mode", ["next", "discover"])
@pytest.mark.parametrize("model", MODEL_NAMES)
def test_pins_stand_and_no_item_comes_twice(shop, recommender, model, mode):
    n = len(recommender.vocabulary)
    pins = np.array([11, n - 1, 0], np.int32)
    rules = RowRules.of(
        1,
        n,
        block=np.arange(20, 40, dtype=np.int32),
        pins=pins,
        positions=np.array([1, 4, 30], np.int32),
        boosted=np.array([1], np.int32),
        factors=np.array([5.0]),
    )
    sessions = batch_of([[], [Event(11)], [Event(5), Event(1, 1, 2)]])
    answer = recommender.recommend(sessions, 10, model=model, mode=mode, rules=rules)
    items = answer.ranked.items
    stands = [True, mode == "next", True]
    assert (items[:, 0] == 11).tolist() == stands
    assert (items[:, 3] == n - 1).all()
    assert all(len(set(row)) == 10 and min(row) >= 0 for row in items.tolist())
    assert not np.isin(items, np.arange(20, 40)).any()
    assert (np.diff(answer.ranked.scores, axis=1) <= 0).all()
    assert answer.fallback.tolist()[:1] == [1]


def test_a_least_score_shortens_a_list_and_takes_its_fill(shop, recommender):
    plain = recommender.recommend(shop.asking, 20, model="covisitation")
    answer = recommender.recommend(shop.asking, 20, model="covisitation", min_score=1e-9)
    own = plain.ranked.sources == int(Source.COVISITATION)
    assert own.any()
    assert not own.all()
    assert (answer.ranked.items >= 0).tolist() == own.tolist()
    assert answer.ranked.items[own].tolist() == plain.ranked.items[own].tolist()
    assert answer.fallback.tolist() == plain.fallback.tolist()


@pytest.mark.parametrize("model", MODEL_NAMES)
def test_neighbourhoods_are_thinned_and_lists_stay_full(shop, recommender, model):
    lists = recommender.models["item2vec"].neighbours
    near = {
        row: set(lists.items[lists.offsets[row] : lists.offsets[row + 1]].tolist())
        for row in range(len(shop.vocabulary))
    }
    for most in (1, 3):
        ranked = recommender.recommend(shop.asking, 5, model=model, max_per_neighbourhood=most).ranked
        for each in answered(ranked):
            assert naive_rules.thinned(each, 5, most, near) == each
            assert len(each) == 5 or most == 1


def test_top_sellers_are_arranged_too(recommender):
    n = len(recommender.vocabulary)
    plain = recommender.top_sellers(10).items[0].tolist()
    rules = RowRules.of(
        1,
        n,
        block=np.array(plain[:1], np.int32),
        pins=np.array([n - 1], np.int32),
        positions=np.array([2], np.int32),
        boosted=np.array(plain[5:6], np.int32),
        factors=np.array([1000.0]),
    )
    assert recommender.top_sellers(5, rules=rules).items.tolist() == [[plain[5], n - 1, *plain[1:4]]]


def test_a_batch_is_arranged_as_its_sessions_alone(shop, recommender):
    n = len(recommender.vocabulary)
    rules = RowRules.of(
        1,
        n,
        pins=np.array([3], np.int32),
        positions=np.array([2], np.int32),
        boosted=np.arange(0, n, 3, dtype=np.int32),
        factors=np.linspace(0.3, 4, len(range(0, n, 3))),
    )
    wishes = {"rules": rules, "min_score": 0.001, "max_per_neighbourhood": 2, "model": "hybrid", "mode": "discover"}
    together = recommender.recommend(shop.asking, 8, **wishes)
    for i in range(len(shop.asking)):
        alone = recommender.recommend(shop.asking.slice(i, i + 1), 8, **wishes)
        assert alone.ranked.items[0].tolist() == together.ranked.items[i].tolist()
        assert alone.ranked.scores[0].tolist() == together.ranked.scores[i].tolist()


def test_without_a_model_of_nearness_variety_is_an_error_with_the_remedy(shop):
    bare = Recommender.fit(shop.vocabulary, shop.arrays, ModelsConfig(), FitOptions(), [])
    with pytest.raises(InputError, match="train item2vec or covisitation"):
        bare.recommend(shop.asking, 5, max_per_neighbourhood=1)


def test_covisitation_tells_what_is_near_where_there_is_no_item2vec(shop, recommender):
    without = Recommender(
        recommender.vocabulary, {name: recommender.models[name] for name in ("top_sellers", "covisitation")}
    )
    lists = recommender.models["covisitation"].matrices["main"]
    near = {
        row: set(lists.items[lists.offsets[row] : lists.offsets[row + 1]].tolist())
        for row in range(len(shop.vocabulary))
    }
    ranked = without.recommend(shop.asking, 5, max_per_neighbourhood=1).ranked
    assert all(naive_rules.thinned(each, 5, 1, near) == each for each in answered(ranked))
