import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from nextcart.kernels.log_bilinear import KINDS, PAUSES, Parameters, kinds_of
from nextcart.kernels.log_bilinear_lists import LANES, MOST, items_after, product
from nextcart.models.permits import NO_PERMITS, Permits
from tests import naive_log_bilinear as naive
from tests.naive import Event, batch_of
from tests.strategies import few

N, DIM = 30, 8
EMPTY_LISTS = (np.empty(0, np.int64), np.empty(0, np.int32))


def asked(session: list[int], k: int, permits: Permits = NO_PERMITS, *, vectors=None, query_events=2, near=None):
    batch = batch_of([[Event(item, place) for place, item in enumerate(session)]])
    kinds = kinds_of(batch.offsets, batch.ts, batch.types)
    vectors = np.eye(N, DIM, dtype=np.float32) if vectors is None else vectors
    near = np.arange(N, dtype=np.int32)[:, None] if near is None else near
    weights = (np.float32(0.5) ** np.arange(3, dtype=np.float32))[:, None] * np.ones(DIM, np.float32)
    learned = Parameters(vectors, np.zeros(N, np.float32), weights, *naive.no_kinds(DIM))
    items, scores = items_after(batch.offsets, batch.items, kinds, *learned, near, query_events, k, *permits)
    return [(int(i), float(s)) for i, s in zip(items[0], scores[0], strict=True) if i >= 0]


def test_the_own_items_are_weighed_by_their_places():
    found = dict(asked([0, 1, 2], 5))
    assert found == {2: np.float32(np.e), 1: np.float32(np.exp(0.5)), 0: np.float32(np.exp(0.25))}


def test_an_unknown_item_keeps_its_place():
    assert dict(asked([1, -1], 5)) == {1: np.float32(np.exp(0.5))}


def test_a_kind_has_weights_and_a_vector_of_its_own():
    batch = batch_of([[Event(2, 0, 1)]])
    kinds = kinds_of(batch.offsets, batch.ts, batch.types)
    assert kinds.tolist() == [PAUSES]
    of_kinds = np.ones((KINDS, DIM), np.float32), np.zeros((KINDS, DIM), np.float32)
    of_kinds[0][PAUSES], of_kinds[1][PAUSES, 3] = 0.5, 4.0
    learned = (np.eye(N, DIM, dtype=np.float32), np.zeros(N, np.float32), np.ones((3, DIM), np.float32))
    near = np.tile(np.arange(4, dtype=np.int32), (N, 1))
    items, scores = items_after(batch.offsets, batch.items, kinds, *learned, *of_kinds, near, 2, 2, *NO_PERMITS)
    assert (items[0].tolist(), scores[0].tolist()) == ([3, 2], [np.float32(np.exp(2)), np.float32(np.exp(0.5))])


def test_events_before_the_context_say_nothing():
    assert [item for item, _ in asked([7, 1, 2, 3], 9)] == [3, 2, 1]


def test_near_items_are_looked_at_for_the_last_events_alone():
    near = np.stack([np.arange(N), (np.arange(N) + 10) % N], axis=1).astype(np.int32)
    assert {item for item, _ in asked([1, 2, 3], 9, near=near)} == {1, 2, 3, 12, 13}
    near[3, 1] = -1
    assert {item for item, _ in asked([1, 2, 3], 9, near=near)} == {1, 2, 3, 12}


def test_ties_go_to_the_smaller_row():
    near = np.tile(np.arange(N, dtype=np.int32), (N, 1))
    assert [item for item, _ in asked([29], 4, vectors=np.zeros((N, DIM), np.float32), near=near)] == [0, 1, 2, 3]


def test_an_empty_session_and_one_of_unknown_items_have_no_answer():
    assert asked([], 3) == asked([-1, -1], 3) == []


def test_only_what_is_allowed_and_not_banned_comes():
    allow = (np.array([0, 3], np.int64), np.array([1, 2, 9], np.int32))
    assert [item for item, _ in asked([2], 9, (*EMPTY_LISTS, *allow))] == [2, 1, 9]
    ban = (np.array([0, 1], np.int64), np.array([2], np.int32))
    assert [item for item, _ in asked([2], 9, (*ban, *allow))] == [1, 9]
    assert asked([2], 9, (*ban, *EMPTY_LISTS)) == []


def test_a_score_stays_a_number():
    (first, *_) = asked([0], 1, vectors=np.full((N, DIM), 100, np.float32))
    assert first == (0, np.float32(np.exp(MOST)))


@few
@given(st.integers(1, 16), st.integers(0, 2**32))
def test_a_product_is_numpy_s(eighths, seed):
    random = np.random.default_rng(seed)
    a, b = random.normal(size=(2, LANES * eighths)).astype(np.float32)
    exact = a.astype(np.float64) @ b.astype(np.float64)
    assert abs(product(a, b) - exact) <= 1e-5 * np.abs(a.astype(np.float64)) @ np.abs(b)
