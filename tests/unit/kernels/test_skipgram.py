import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextcart.kernels.skipgram import MAX_EXPONENT, SIGMOID, STEPS_PER_UNIT, alias_table, next_random, train_sessions
from tests.strategies import few

CLUSTERS, PER_CLUSTER = 4, 10


def clustered_sessions(n: int = 400, length: int = 8):
    """Sessions that stay within one cluster; item i is of cluster i % 4."""
    random = np.random.default_rng(1)
    places = random.integers(PER_CLUSTER, size=(n, length))
    items = places * CLUSTERS + random.integers(CLUSTERS, size=(n, 1))
    return np.arange(n + 1, dtype=np.int64) * length, items.ravel().astype(np.int32)


def trained(offsets, items, n_items: int, *, seed: int = 3, dim: int = 16, epochs: int = 3, negative: int = 3):
    random = np.random.default_rng(5)
    vectors = (random.random((n_items, dim), np.float32) - np.float32(0.5)) / np.float32(dim)
    contexts = np.zeros_like(vectors)
    keep, other = alias_table(np.ones(max(1, n_items), np.float32))
    for epoch in range(epochs):
        train_sessions(
            0, len(offsets) - 1, offsets, items, vectors, contexts, keep, other, 3, negative, 0.1, 0.01, seed + epoch
        )
    return vectors


def test_items_of_one_cluster_are_near_one_another():
    vectors = trained(*clustered_sessions(), CLUSTERS * PER_CLUSTER)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines = vectors @ vectors.T
    same = np.equal.outer(np.arange(40) % CLUSTERS, np.arange(40) % CLUSTERS)
    np.fill_diagonal(cosines, -1)
    nearest = np.argsort(-cosines, axis=1)[:, : PER_CLUSTER - 1]
    assert np.take_along_axis(same, nearest, axis=1).mean() > 0.95
    assert cosines[same & ~np.eye(40, dtype=bool)].mean() > cosines[~same].mean() + 0.5


def test_one_thread_and_one_seed_give_the_same_bytes():
    offsets, items = clustered_sessions(100)
    first, again, other = (trained(offsets, items, 40, seed=seed) for seed in (3, 3, 4))
    assert first.tobytes() == again.tobytes()
    assert first.tobytes() != other.tobytes()


RATE = 0.1
TABLE_ERROR = 0.002
"""Half a step of the sigmoid's table times its steepest slope, 1 / 4, rounded up."""


def test_the_sigmoid_table_is_near_the_sigmoid():
    x = np.linspace(-MAX_EXPONENT, MAX_EXPONENT, 10_007)[:-1]
    looked_up = SIGMOID[((x + MAX_EXPONENT) * STEPS_PER_UNIT).astype(np.int64)]
    assert np.abs(looked_up - 1 / (1 + np.exp(-x))).max() < TABLE_ERROR


def test_one_step_without_negatives_is_the_gradient_by_hand():
    """Two items, contexts not zero: each moves by rate * (1 - sigmoid(v·c)) along the other's context."""
    vectors = np.array([[1.0, 0.0], [0.0, 0.0]], np.float32)
    contexts = np.array([[0.0, 0.0], [0.5, 0.5]], np.float32)
    keep, other = np.ones(2, np.float32), np.arange(2, dtype=np.int32)
    offsets, items = np.array([0, 2], np.int64), np.array([0, 1], np.int32)
    train_sessions(0, 1, offsets, items, vectors, contexts, keep, other, 1, 0, 0.1, 0.1, 1)
    step = 0.1 * (1 - 1 / (1 + np.exp(-0.5)))
    assert vectors[0] == pytest.approx([1 + step * 0.5, step * 0.5], abs=RATE * TABLE_ERROR)
    assert contexts[1] == pytest.approx([0.5 + step, 0.5], abs=RATE * TABLE_ERROR)
    # The second item's context partner is item 0, whose context was zero: it gives no direction.
    assert vectors[1].tolist() == [0.0, 0.0]


@pytest.mark.parametrize("negative", [1, 3])
def test_the_draws_of_an_event_are_shared_and_weighed_by_its_pairs(negative):
    """Every draw is item 4, which no session has. Sums are in float64, step by step as the kernel's docstring says."""
    random = np.random.default_rng(9)
    vectors, contexts = random.normal(0, 0.3, (2, 5, 3)).astype(np.float32)
    keep, other = np.array([0, 0, 0, 0, 1], np.float32), np.full(5, 4, np.int32)
    offsets, items = np.array([0, 4], np.int64), np.array([0, 1, 2, 0], np.int32)
    v, c = vectors.astype(np.float64), contexts.astype(np.float64)
    for i, item in enumerate(items):
        others = [j for j in items[max(0, i - 2) : i + 3] if j != item]
        gradient = np.zeros(3)
        steps = [(j, 1.0, RATE) for j in others] + [(4, 0.0, RATE * len(others) / 2)] * (2 * negative)
        for target, label, rate in steps:
            step = rate * (label - 1 / (1 + np.exp(-v[item] @ c[target])))
            gradient += step * c[target]
            c[target] += step * v[item]
        v[item] += gradient
    train_sessions(0, 1, offsets, items, vectors, contexts, keep, other, 2, negative, RATE, RATE, 1)
    assert vectors == pytest.approx(v, abs=0.002)
    assert contexts == pytest.approx(c, abs=0.002)
    assert np.abs(contexts[4] - c[4]).max() < 0.1 * np.abs(c[4]).max()


def test_items_too_rare_for_a_vector_are_passed_over_and_their_neighbours_meet():
    """Item 2 has no vector: 0 and 1 on both sides of it are adjacent, so a window of 1 holds them."""
    contexts = np.full((2, 2), 0.5, np.float32)
    vectors = np.zeros((2, 2), np.float32)
    keep, other = np.ones(2, np.float32), np.arange(2, dtype=np.int32)
    offsets, items = np.array([0, 3], np.int64), np.array([0, 2, 1], np.int32)
    train_sessions(0, 1, offsets, items, vectors, contexts, keep, other, 1, 0, 0.1, 0.1, 1)
    assert (vectors > 0).all()


def test_the_window_has_an_end_and_an_item_is_no_context_of_itself():
    vectors, contexts = np.zeros((3, 2), np.float32), np.full((3, 2), 0.5, np.float32)
    keep, other = np.ones(3, np.float32), np.arange(3, dtype=np.int32)
    offsets, items = np.array([0, 3], np.int64), np.array([0, 0, 1], np.int32)
    train_sessions(0, 1, offsets, items, vectors, contexts, keep, other, 1, 0, 0.1, 0.1, 1)
    assert (contexts[0] == contexts[0][0]).all()
    assert (vectors[:2] > 0).all()
    assert (vectors[2] == 0).all()
    alone = np.zeros((3, 2), np.float32)
    train_sessions(0, 1, offsets[[0, 1]] * 0 + [0, 2], items, alone, contexts, keep, other, 1, 0, 0.1, 0.1, 1)
    assert (alone == 0).all()


def test_only_the_sessions_asked_for_are_trained_on():
    offsets, items = np.array([0, 2, 4], np.int64), np.array([0, 1, 2, 3], np.int32)
    vectors, contexts = np.zeros((4, 2), np.float32), np.full((4, 2), 0.5, np.float32)
    keep, other = np.ones(4, np.float32), np.arange(4, dtype=np.int32)
    train_sessions(1, 2, offsets, items, vectors, contexts, keep, other, 3, 0, 0.1, 0.1, 1)
    assert (vectors[:2] == 0).all()
    assert (vectors[2:] > 0).all()


def test_large_products_saturate():
    """An inner product of 72 is a certain hit, one of -72 a certain miss: exp is never asked for them."""
    keep, other = np.ones(2, np.float32), np.arange(2, dtype=np.int32)
    offsets, items = np.array([0, 2], np.int64), np.array([0, 1], np.int32)
    for sign, moves in ((1.0, False), (-1.0, True)):
        vectors = np.array([[6.0, 6.0], [0.0, 0.0]], np.float32)
        contexts = np.array([[0.0, 0.0], [6.0 * sign, 6.0 * sign]], np.float32)
        train_sessions(0, 1, offsets, items, vectors, contexts, keep, other, 1, 0, 0.1, 0.1, 1)
        assert vectors[0].tolist() == pytest.approx([5.4, 5.4] if moves else [6.0, 6.0])


@few
@given(st.lists(st.integers(1, 1000), min_size=1, max_size=50))
def test_an_alias_table_draws_by_the_weights(weights):
    """The exact chance of i: its own cell kept, and every cell that falls back on it."""
    values = np.array(weights, np.float32)
    keep, other = alias_table(values)
    chance = keep.astype(np.float64).copy()
    np.add.at(chance, other, 1.0 - keep.astype(np.float64))
    assert chance / len(weights) == pytest.approx(values.astype(np.float64) / values.sum(dtype=np.float64), abs=1e-5)
    assert ((keep >= 0) & (keep <= 1)).all()


def test_the_random_numbers_do_not_repeat_and_spread_evenly():
    state, seen = np.uint64(1), []
    for _ in range(4000):
        state = np.uint64(next_random(state))
        seen.append(int(state))
    assert len(set(seen)) == 4000
    shares = np.bincount([(value >> 33) % 10 for value in seen[4:]], minlength=10) / 4000
    assert shares.max() < 0.13
    assert shares.min() > 0.07
