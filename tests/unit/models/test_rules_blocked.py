"""A blocked item never comes, and what comes is what would if every request had banned it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextcart.models.blocked import Blocked
from nextcart.models.fitting import MODEL_NAMES
from nextcart.models.recommender import Recommender
from nextcart.models.rules import RowRules
from nextcart.types import ItemLists
from tests.contract import same
from tests.naive import Event, batch_of
from tests.shop import lists_of
from tests.strategies import few

MODES = ("next", "discover")


def rules_of(rows, recommender: Recommender) -> RowRules:
    return RowRules.of(1, len(recommender.vocabulary), block=np.array(sorted(rows), np.int32))


def everywhere(rows, n: int, more: ItemLists | None = None) -> ItemLists:
    """The rows banned by each of ``n`` sessions, with a session's own bans."""
    own = [[]] * n if more is None else [more.items[a:b].tolist() for a, b in zip(more.offsets, more.offsets[1:])]  # noqa: B905
    return lists_of(*(sorted({*rows, *each}) for each in own))


def popular_and_random(n_items: int, head: int, seed: int, size: int) -> set[int]:
    """A block list that empties the top of every list, and some others."""
    return {
        *range(min(head, n_items)),
        *np.random.default_rng(seed).choice(n_items, min(size, n_items), False).tolist(),
    }


blocks = st.builds(
    lambda head, seed, size: (head, seed, size), st.sampled_from((0, 3, 60)), st.integers(0, 99), st.integers(0, 120)
)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("model", MODEL_NAMES)
def test_blocking_is_banning_by_every_request(shop, recommender, model, mode):
    @few
    @given(blocks, st.sampled_from((1, 5, 20)), st.booleans(), st.booleans())
    def check(block, k, with_exclude, with_allow):
        rows = popular_and_random(len(recommender.vocabulary), *block)
        n = len(shop.asking)
        exclude = lists_of(*(list(range(i % 7, 150, 7)) for i in range(n))) if with_exclude else None
        allow = lists_of(*(list(range(i % 3, 170, 3)) for i in range(n))) if with_allow else None
        asked = {"model": model, "mode": mode, "allow": allow, "objective": "carts"}
        answer = recommender.recommend(shop.asking, k, exclude=exclude, rules=rules_of(rows, recommender), **asked)
        wanted = recommender.recommend(shop.asking, k, exclude=everywhere(rows, n, exclude), **asked)
        assert same(answer, wanted)
        assert not set(answer.ranked.items.ravel().tolist()) & rows

    check()


def test_lists_stay_full_until_the_catalogue_ends(shop, recommender):
    n = len(recommender.vocabulary)
    rules = rules_of(range(n - 25), recommender)
    for model in MODEL_NAMES:
        items = recommender.recommend(shop.asking, 20, model=model, rules=rules).ranked.items
        assert items.min() >= n - 25, model
        whole = recommender.recommend(shop.asking, 40, model=model, rules=rules).ranked.items
        assert all(sorted(row[row >= 0].tolist()) == list(range(n - 25, n)) for row in whole), model


@few
@given(blocks, st.integers(0, 40), st.integers(1, 50))
def test_item_lists_are_as_if_the_blocked_had_been_excluded(recommender, block, row, k):
    rows = popular_and_random(len(recommender.vocabulary), *block)
    rules, banned = rules_of(rows, recommender), np.array(sorted({*rows, 2}), np.int32)
    two = np.array([2], np.int32)
    basket = np.array([row, 7], np.int32)
    for ask in (
        lambda **options: recommender.similar(row, k, model="item2vec", **options),
        lambda **options: recommender.similar(row, k, model="covisitation", **options),
        lambda **options: recommender.bought_together(basket, k, **options),
        lambda **options: recommender.top_sellers(k, **options),
        lambda **options: recommender.top_sellers(k, objective="orders", **options),
    ):
        answer, wanted = ask(exclude=two, rules=rules), ask(exclude=banned)
        assert answer.items.tolist() == wanted.items.tolist()
        assert answer.scores.tolist() == wanted.scores.tolist()


def test_a_session_whose_candidates_are_all_blocked_says_so(recommender):
    sessions = batch_of([[Event(0)]])
    own = recommender.models["covisitation"].matrices["main"]
    rows = own.items[own.offsets[0] : own.offsets[1]].tolist()
    answer = recommender.recommend(sessions, 5, model="covisitation", rules=rules_of(rows, recommender))
    assert answer.fallback.tolist() == [3]
    assert (answer.ranked.items >= 0).all()


def test_nothing_blocked_is_no_mask():
    assert Blocked.of(np.empty(0, np.int32), 5) is None


def test_a_mask_counts_an_item_once():
    blocked = Blocked.of(np.array([3, 1, 3], np.int32), 5)
    assert blocked is not None
    assert (blocked.mask.tolist(), blocked.count) == ([0, 1, 0, 1, 0], 2)
    lists = lists_of([0, 1, 2], [], [3], [4])
    assert blocked.out_of(lists).items.tolist() == [0, 2, 4]
    assert blocked.out_of(lists).offsets.tolist() == [0, 2, 2, 2, 3]
    assert blocked.within(ItemLists(lists.offsets, np.array([0, 1, 2, -1, 3], np.int32))).items.tolist() == [1, 3]
