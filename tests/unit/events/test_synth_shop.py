"""The curves and the catalogue behind the synthetic shop: published quantiles, and moves that keep popularity."""

import numpy as np
import pytest

from nextcart.events.synth_curves import ITEM_LIMIT, item_weights, session_lengths
from nextcart.events.synth_figures import OTTO
from nextcart.events.synth_shop import Shop

N_WEEKS = 4


@pytest.fixture(scope="module")
def shop():
    return Shop.build(1_200, N_WEEKS, np.random.default_rng(3))


def popularity(shop):
    """Share of all events that each item shall have."""
    aisle = np.floor(shop.edges[:-1]).astype(int)
    weekly = np.diff(shop.campaigns.reshape(N_WEEKS, -1) - np.arange(N_WEEKS)[:, None], axis=1, prepend=0)
    return (np.diff(shop.edges) * weekly.mean(axis=0)[aisle]), weekly


def test_session_lengths_follow_the_published_quantiles_in_random_order():
    lengths = session_lengths(50_000, np.random.default_rng(1))
    p50, p75, p90, p95, p99 = np.quantile(lengths, [0.5, 0.75, 0.9, 0.95, 0.99], method="inverted_cdf").tolist()
    assert (lengths.min(), p50, p75, p90, p95, p99, lengths.max()) == (2, 6, 15, 39, 68, 176, 500)
    assert lengths.mean() == pytest.approx(OTTO.session_events.mean, rel=0.005)
    assert np.array_equal(np.sort(lengths), np.sort(session_lengths(50_000, np.random.default_rng(2))))
    assert abs(np.corrcoef(lengths[1:], lengths[:-1])[0, 1]) < 0.02


@pytest.mark.parametrize("n", [18_556, 185_560, 1_855_603])
def test_item_weights_follow_the_published_quantiles_at_any_size(n):
    weights = item_weights(n)
    assert np.all(np.diff(weights) >= 0)
    assert weights.mean() == pytest.approx(OTTO.item_events.mean, rel=0.005)
    quantiles = np.quantile(weights, [0.5, 0.75, 0.9, 0.95, 0.99])
    assert quantiles == pytest.approx([19.6, 56, 183, 398, 1678], rel=0.01)
    assert weights[-1] <= ITEM_LIMIT * weights.sum() * 1.001


def test_the_top_seller_of_the_whole_shop_is_ottos():
    assert item_weights(OTTO.items)[-1] == pytest.approx(OTTO.item_events.max, rel=0.01)


@pytest.mark.parametrize(("n", "share"), [(8, 0.6), (400, 0.02), (4_000, 0.01)])
def test_no_item_of_a_small_shop_has_most_of_it(n, share):
    weights = item_weights(n)
    assert weights[-1] < share * weights.sum()


@pytest.mark.parametrize("move", ["successors", "complements", "same_aisle"])
def test_moves_keep_the_popularity_of_every_item(shop, move):
    rng = np.random.default_rng(5)
    expected, _ = popularity(shop)
    n = 400_000
    items = rng.choice(len(shop), n, p=expected / expected.sum()).astype(np.int32)
    moved = np.bincount(getattr(shop, move)(items, rng), minlength=len(shop))
    # Beside chance, the campaigns' shares of partner aisles and the way between them are rounded differently.
    assert np.all(np.abs(moved - n * expected) < 5 * np.sqrt(n * expected) + 3)


def test_an_item_has_few_successors_and_complements_and_they_lie_in_aisles_of_their_own(shop):
    rng = np.random.default_rng(6)
    # The item in the middle of its aisle's popularity ranks.
    item = int(np.argsort(np.diff(shop.edges))[len(shop) // 2])
    many = np.full(5_000, item, np.int32)
    aisle = int(shop.edges[item])
    for move, home in ((shop.successors, aisle), (shop.complements, aisle ^ 1)):
        found, number = np.unique(move(many, rng), return_counts=True)
        at_home = np.floor(shop.edges[found]) == home
        assert number[at_home].sum() > 0.5 * len(many)
        assert np.sort(number)[-6:].sum() > 0.75 * len(many)


def test_campaigns_lift_aisles_from_week_to_week_and_are_seen_at_the_entrance(shop):
    rng = np.random.default_rng(7)
    _, weekly = popularity(shop)
    assert weekly.sum(axis=1) == pytest.approx(1)
    lift = weekly / weekly.mean(axis=0)
    assert 0.25 < np.std(np.log(lift)) < 0.75
    assert lift[:, ::2] == pytest.approx(lift[:, 1::2])
    for week in range(N_WEEKS):
        entered = np.floor(shop.edges[shop.anywhere(np.full(100_000, week), rng)]).astype(int)
        seen = np.bincount(entered, minlength=weekly.shape[1]) / 100_000
        assert np.all(np.abs(seen - weekly[week]) < 5 * np.sqrt(weekly[week] / 100_000))


@pytest.mark.parametrize("n_items", [8, 9, 121, 100_003])
def test_every_item_of_any_catalogue_owns_an_arc_of_its_aisle(n_items):
    shop = Shop.build(n_items, 1, np.random.default_rng(1))
    assert len(shop) == n_items
    assert np.all(np.diff(shop.edges) > 0)
    starts = shop.edges[np.searchsorted(shop.edges, np.arange(len(shop.crossing)))]
    assert starts.tolist() == list(range(len(shop.crossing)))
    assert np.array_equal(np.sort(shop.aids), np.arange(n_items))
