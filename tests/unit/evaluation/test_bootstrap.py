import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextcart.evaluation.bootstrap import estimate, interval, ratio, resampled, session_weights
from tests.strategies import few


@few
@given(st.integers(0, 40), st.integers(0, 40), st.integers(0, 40), st.integers(0, 50), st.integers(0, 2**63 - 1))
def test_a_weight_depends_on_the_seed_and_the_place_alone(start, first, more, rounds, seed):
    whole = session_weights(start, start + first + more, rounds, seed)
    parts = (
        session_weights(start, start + first, rounds, seed),
        session_weights(start + first, start + first + more, rounds, seed),
    )
    assert whole.shape == (first + more, rounds)
    np.testing.assert_array_equal(np.vstack(parts), whole)


def test_another_seed_draws_otherwise():
    assert (session_weights(0, 50, 50, 1) != session_weights(0, 50, 50, 2)).any()


def test_weights_are_poisson_of_mean_one():
    weights = session_weights(0, 2000, 500, 42)
    assert weights.mean() == pytest.approx(1, abs=0.005)
    assert weights.var() == pytest.approx(1, abs=0.01)
    for count in range(5):
        assert (weights == count).mean() == pytest.approx(math.exp(-1) / math.factorial(count), abs=0.002)
    # Neither sessions nor resamples go together.
    assert abs(np.corrcoef(weights[:1000].ravel(), weights[1000:].ravel())[0, 1]) < 0.01
    assert abs(np.corrcoef(weights[:, :250].ravel(), weights[:, 250:].ravel())[0, 1]) < 0.01


def test_sums_by_hand():
    values = np.array([[1.0, 10.0], [2.0, 20.0], [4.0, 40.0]])
    weights = np.array([[0, 1], [1, 1], [2, 0]], np.float32)
    # All once; then 0·1 + 1·2 + 2·4 = 10; then 1·1 + 1·2 + 0·4 = 3.
    assert resampled(values, weights).tolist() == [[7, 70], [10, 100], [3, 30]]


def test_a_share_of_nothing_is_no_number():
    assert np.isnan(ratio(np.array([0.0]), np.array([0.0]))).all()
    assert estimate(np.array([np.nan, 0.5])) is None
    assert interval(np.array([np.nan, 0.5])) is None
    assert interval(np.array([0.5, np.nan])) is None
    assert interval(np.array([0.5])) is None
    assert interval(np.array([0.5, np.nan, 0.25])) == (0.25, 0.25)


def test_the_interval_of_a_share_is_that_of_theory():
    """Of n independent sessions a share p has a standard error of sqrt(p(1 - p) / n)."""
    n, p = 4000, 0.3
    hits = (np.random.default_rng(1).random(n) < p).astype(float)
    sums = resampled(np.column_stack((hits, np.ones(n))), session_weights(0, n, 2000, 42))
    low, high = interval(ratio(sums[:, 0], sums[:, 1]))
    wanted = 2 * 1.96 * math.sqrt(hits.mean() * (1 - hits.mean()) / n)
    assert high - low == pytest.approx(wanted, rel=0.06)
    assert low < hits.mean() < high


def test_questions_of_one_session_are_not_taken_for_independent():
    """The same hits, ten to a session that all hit or all miss: the interval is about sqrt(10) times as wide."""
    rng = np.random.default_rng(2)
    whole = (rng.random(400) < 0.4).astype(float)
    spread = np.repeat(whole, 10)
    widths = []
    for hits, asked in ((whole * 10, np.full(400, 10.0)), (spread, np.ones(4000))):
        sums = resampled(np.column_stack((hits, asked)), session_weights(0, len(hits), 2000, 42))
        low, high = interval(ratio(sums[:, 0], sums[:, 1]))
        widths.append(high - low)
    assert widths[0] / widths[1] == pytest.approx(math.sqrt(10), rel=0.12)
