"""What scores are worth: bins by score, held against plain Python, for clicks, carts and orders."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextcart.config import EvaluationConfig, ModelsConfig, RankerConfig
from nextcart.evaluation.bootstrap import session_weights
from nextcart.evaluation.calibration import LEAST_PLACES, MOST_BINS, Bin, Scores, bins_of, later_calibration
from nextcart.evaluation.cutting import Questions
from nextcart.evaluation.looking import Look, look
from nextcart.evaluation.protocols.multi_objective import draw_cuts
from nextcart.evaluation.replay import replay
from nextcart.models.model import FitOptions
from nextcart.models.recommender import Recommender
from nextcart.types import TYPE_NAMES, UNKNOWN, Objective, Ranked, SessionBatch, no_progress
from tests import naive_protocols
from tests.naive import CARTS, CLICKS, ORDERS, Event, batch_of, sessions_of
from tests.shop import Shop, lists_of, make_shop
from tests.strategies import few

CONFIG = EvaluationConfig(rounds=50)
KINDS: dict[Objective, int] = {"clicks": CLICKS, "carts": CARTS, "orders": ORDERS}
Place = tuple[float, bool, int]
"""Score, whether its item came, session."""


@pytest.fixture(scope="module")
def ranked(shop: Shop) -> Recommender:
    """All models, the ranker after few questions."""
    quick = RankerConfig(max_trees=10, folds=1, max_questions=600, min_questions=20, patience=5)
    return Recommender.fit(shop.vocabulary, shop.arrays, ModelsConfig(ranker=quick), FitOptions(deterministic=True))


@pytest.fixture(scope="module")
def held_out() -> SessionBatch:
    """Also sessions of unknown items, and of one event: neither poses a question."""
    sessions = sessions_of(make_shop(8, sessions=200).arrays.sessions)
    return batch_of([*sessions, [Event(UNKNOWN, 1), Event(UNKNOWN, 2, CARTS)], [Event(1, 1, CARTS)], []])


@pytest.fixture(scope="module")
def seen(ranked: Recommender, held_out: SessionBatch) -> Look:
    return look(ranked, held_out, CONFIG, split="test", limit=10**6)


def naive_bins(places: list[Place], n_sessions: int, rounds: int, seed: int) -> list[Bin]:
    """The same bins, place by place."""
    ordered = sorted(places, key=lambda place: place[0])
    n_bins = min(MOST_BINS, -(-len(places) // LEAST_PLACES))
    bins: list[list[Place]] = [[] for _ in range(n_bins)]
    for at, place in enumerate(ordered):
        bins[at * n_bins // len(places)].append(place)
    weights = session_weights(0, n_sessions, rounds, seed)
    found = []
    for each in bins:
        drawn = []
        for weight in weights.T:
            counted = sum(weight[session] for _, _, session in each)
            if counted:
                drawn.append(sum(weight[session] for _, came, session in each if came) / counted)
        score, observed = (sum(place[part] for place in each) / len(each) for part in (0, 1))
        low, high = np.percentile(drawn, (2.5, 97.5)) if drawn else (0.0, 0.0)
        found.append(Bin(score, observed, (float(low), float(high)) if drawn else None, len(each)))
    return found


def naive_places(ranked: Recommender, held_out: SessionBatch, objective: Objective) -> tuple[int, list[Place]]:
    """What the ranker answers to each question of `multi_objective`, one session at a time."""
    sessions = naive_protocols.known(sessions_of(held_out))
    cuts = draw_cuts(np.array([len(each) for each in sessions]), CONFIG.seed).tolist()
    asked = naive_protocols.later_labels(sessions, cuts, KINDS[objective], CONFIG.max_history_events)
    places = []
    for number, question in enumerate(asked):
        answer = ranked.recommend(batch_of([question.history]), CONFIG.k, model="ranker", objective=objective).ranked
        for item, score in zip(answer.items[0].tolist(), answer.scores[0].tolist(), strict=True):
            if item >= 0 and score > 0:
                places.append((score, item in question.targets, number))
    return len(asked), places


def check_bins(found: tuple[Bin, ...], wanted: list[Bin]) -> None:
    assert [each.places for each in found] == [each.places for each in wanted]
    for mine, other in zip(found, wanted, strict=True):
        assert mine.score == pytest.approx(other.score, rel=1e-5)
        assert mine.observed == pytest.approx(other.observed)
        assert mine.interval == (other.interval and pytest.approx(other.interval, abs=1e-5))


@few
@given(
    st.lists(st.tuples(st.integers(1, 99), st.booleans(), st.integers(0, 4)), max_size=450),
    st.sampled_from([0, 10]),
)
def test_bins_are_those_of_plain_python(drawn: list[tuple[int, bool, int]], rounds: int) -> None:
    places = [(score / 128, came, session) for score, came, session in drawn]
    scores, came, session = (np.array([place[part] for place in places]) for part in range(3))
    found = bins_of(scores.astype(np.float32), came.astype(bool), session.astype(np.int64), 5, rounds, 42)
    check_bins(found, naive_bins(places, 5, rounds, 42))


def test_bins_by_hand() -> None:
    scores = np.linspace(1, 0, 4 * LEAST_PLACES, dtype=np.float32)
    came = np.arange(len(scores)) < LEAST_PLACES // 2
    bins = bins_of(scores, came, np.zeros(len(scores), np.int64), 1, 0, 42)
    assert [each.places for each in bins] == [LEAST_PLACES] * 4
    assert [each.observed for each in bins] == [0, 0, 0, 0.5]
    assert [each.score for each in bins] == pytest.approx([1 / 8, 3 / 8, 5 / 8, 7 / 8], abs=1e-3)
    assert {each.interval for each in bins} == {None}


def test_many_places_make_no_more_bins() -> None:
    n = 10 * MOST_BINS * LEAST_PLACES
    bins = bins_of(np.ones(n, np.float32), np.ones(n, bool), np.zeros(n, np.int64), 1, 0, 42)
    assert [each.places for each in bins] == [10 * LEAST_PLACES] * MOST_BINS


def test_what_fills_a_list_is_not_counted() -> None:
    history = batch_of([[Event(1)], [Event(2)]])
    questions = Questions(history, lists_of([3, 4], [5]), np.array([0, 1]), np.zeros(3, bool), np.array([1, 1]))
    items = np.array([[4, 6, 3], [6, 5, UNKNOWN]], np.int32)
    answer = Ranked(items, np.array([[0.5, 0.25, 0.0], [0.75, -1.0, 0.0]], np.float32), np.zeros((2, 3), np.uint8))
    scores = Scores()
    assert scores.bins(2, 0, 42) == ()
    scores.add(questions, answer)
    assert scores.bins(2, 0, 42) == (Bin(0.5, pytest.approx(1 / 3), None, 3),)


@pytest.mark.parametrize("objective", ["carts", "orders"])
def test_later_events_are_asked_for_as_multi_objective_does(
    ranked: Recommender, held_out: SessionBatch, seen: Look, objective: Objective
) -> None:
    (found,) = (each for each in seen.calibrations if each.objective == objective)
    n_questions, places = naive_places(ranked, held_out, objective)
    assert (found.protocol, found.questions) == ("multi_objective", n_questions)
    assert n_questions > 5
    assert any(came for _, came, _ in places)
    check_bins(found.bins, naive_bins(places, n_questions, CONFIG.rounds, CONFIG.seed))


def test_the_bins_hold_every_hit_of_the_protocol(ranked: Recommender, held_out: SessionBatch, seen: Look) -> None:
    measured = replay(
        "multi_objective", ranked, held_out, CONFIG, split="test", data_fingerprint="", models=["ranker"]
    ).evaluation
    assert [each.objective for each in seen.calibrations] == list(TYPE_NAMES)
    for each in seen.calibrations[1:]:
        figure = f"{each.objective}_recall"
        hits = measured.metrics["ranker"]["next"][figure] * measured.possible[figure]  # type: ignore[operator]
        assert sum(some.observed * some.places for some in each.bins) == pytest.approx(hits, abs=0.01)


def test_clicks_are_those_of_the_look(seen: Look) -> None:
    clicks = seen.calibrations[0]
    assert (clicks.objective, clicks.protocol, clicks.questions) == ("clicks", seen.protocol, seen.questions)
    hits = sum(each.observed * each.places for each in clicks.bins)
    assert seen.ranker
    assert hits == pytest.approx(seen.ranker.recall * seen.questions)
    assert [each.score for each in clicks.bins] == sorted(each.score for each in clicks.bins)


def test_a_limit_bounds_the_questions(ranked: Recommender, held_out: SessionBatch) -> None:
    told: list[tuple[str, int, int]] = []

    def progress(stage: str, done: int, total: int) -> None:
        told.append((stage, done, total))

    some = later_calibration(ranked, held_out, CONFIG, "carts", limit=3, progress=progress)
    assert some.questions == 3
    assert sum(each.places for each in some.bins) == 60
    assert told == [("looking at later carts", 3, 3)]


def test_sessions_without_such_an_event_ask_nothing(ranked: Recommender, held_out: SessionBatch) -> None:
    clicks = replace(held_out, types=np.full(held_out.n_events, CLICKS, np.uint8))
    for sessions in (clicks, held_out.known().slice(0, 0)):
        found = later_calibration(ranked, sessions, CONFIG, "orders", limit=10, progress=no_progress)
        assert (found.questions, found.bins) == (0, ())
