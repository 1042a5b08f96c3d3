"""What a tuning measures on: nothing that is fitted knows of it."""

from __future__ import annotations

import numpy as np
import pytest

from nextcart.config import EvaluationConfig, ModelsConfig, RankerConfig, SessionNeighboursConfig, Settings
from nextcart.errors import InputError
from nextcart.models.candidates import SOURCES
from nextcart.models.model import TrainingArrays
from nextcart.pipeline.held_back import HeldBack, gain_of
from nextcart.types import UNKNOWN, SessionBatch
from tests.shop import make_shop

CONFIG = ModelsConfig(ranker=RankerConfig(folds=2, max_trees=20))
OTHER = ModelsConfig(session_neighbours=SessionNeighboursConfig(neighbours=1, sessions_per_item=1))


@pytest.fixture(scope="module")
def arrays() -> TrainingArrays:
    return make_shop(sessions=1500).arrays


@pytest.fixture(scope="module")
def held_back(arrays) -> HeldBack:
    return HeldBack(arrays, Settings())


def test_every_held_back_session_starts_at_the_cut_or_later_and_all_of_the_past_lies_before(held_back) -> None:
    assert held_back.past.sessions.ts.max() < held_back.cut_ts
    for half in (held_back.search, held_back.check):
        assert half.ts.min() >= held_back.cut_ts
        assert len(half) >= 140


def test_events_from_the_cut_on_reach_no_fit(arrays, held_back, monkeypatch) -> None:
    seen = []
    for kind in SOURCES:
        true = kind.fit

        def fit(arrays, config, options, *asked, true=true):
            seen.append(arrays.sessions.ts.max())
            return true(arrays, config, options, *asked)

        monkeypatch.setattr(kind, "fit", staticmethod(fit))
    fresh = HeldBack(arrays, Settings())
    for model in ("session_neighbours", "covisitation", "hybrid", "ranker"):
        fresh.found_by(model, CONFIG)
    assert len(seen) > len(SOURCES)
    assert max(seen) < held_back.cut_ts


def test_what_the_later_events_are_changes_nothing_that_is_fitted(arrays, held_back) -> None:
    late = arrays.sessions.ts >= held_back.cut_ts
    sessions = arrays.sessions
    items = np.where(late, np.int32(0), sessions.items)
    other = TrainingArrays(SessionBatch(sessions.offsets, items, sessions.ts, sessions.types), arrays.counts)
    past = HeldBack(other, Settings()).past
    np.testing.assert_array_equal(past.counts, held_back.past.counts)
    np.testing.assert_array_equal(past.sessions.items, held_back.past.sessions.items)


def test_settings_of_a_question_do_not_fit_again_and_answer_as_a_fresh_fit(arrays, held_back) -> None:
    held_back.found_by("session_neighbours", OTHER)
    held_back.found_by("session_neighbours", CONFIG)
    asked = ModelsConfig(session_neighbours=SessionNeighboursConfig(neighbours=3))
    assert held_back.found_by("session_neighbours", asked) == HeldBack(arrays, Settings()).found_by(
        "session_neighbours", asked
    )


def test_a_gain_is_the_difference_of_the_scores_with_an_interval_around(held_back) -> None:
    base, other = (held_back.checked("session_neighbours", config) for config in (OTHER, CONFIG))
    found = gain_of(base, other, EvaluationConfig(rounds=200))
    figures = [measured.evaluation.metrics["session_neighbours"]["next"] for measured in (base, other)]
    scores = [(each["recall"] + each["mrr"]) / 2 for each in figures]
    assert found.score == pytest.approx(scores[1] - scores[0], abs=1e-5)
    assert found.interval is not None
    assert found.interval[0] < found.score < found.interval[1]
    assert found.beyond_noise
    assert not gain_of(other, base, EvaluationConfig(rounds=200)).beyond_noise
    assert not gain_of(base, base, EvaluationConfig(rounds=0)).beyond_noise


def test_too_few_sessions_are_said_with_the_remedy() -> None:
    with pytest.raises(InputError, match=r"too few sessions to tune on: 60 would be held back, .*ingest more"):
        HeldBack(make_shop(sessions=300).arrays, Settings())


def test_a_log_without_clicks_is_asked_for_last_events(arrays) -> None:
    sessions = arrays.sessions
    orders = SessionBatch(sessions.offsets, sessions.items, sessions.ts, np.full_like(sessions.types, 2))
    held_back = HeldBack(TrainingArrays(orders, arrays.counts), Settings())
    assert held_back.protocol == "next_event"
    assert held_back.found_by("covisitation", CONFIG)[0] > 0


def test_in_a_log_without_clicks_an_item_that_is_new_is_missed_not_left_out(arrays) -> None:
    """Each held-back session ends with one: none is found, and the event before it is not asked for in its place."""
    sessions, new = arrays.sessions, np.int32(arrays.n_items)
    orders = np.full_like(sessions.types, 2)
    cut_ts = HeldBack(arrays, Settings()).cut_ts
    ends = sessions.offsets[1:] - 1
    ends = ends[sessions.ts[sessions.offsets[:-1]] >= cut_ts]
    items = sessions.items.copy()
    items[ends] = new
    log = SessionBatch(sessions.offsets, items, sessions.ts, orders)
    held_back = HeldBack(TrainingArrays(log, np.bincount(items).astype(np.int64)), Settings())
    assert (held_back.search.items[held_back.search.offsets[1:] - 1] == UNKNOWN).all()
    assert held_back.found_by("top_sellers", CONFIG) == (0.0, 0.0)
