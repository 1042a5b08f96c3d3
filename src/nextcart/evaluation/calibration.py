"""What a ranker's scores are worth: how often the items of a score really came, for each objective that has trees."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nextcart.config import EvaluationConfig
from nextcart.evaluation.bootstrap import Interval, interval, ratio, resampled, session_weights
from nextcart.evaluation.cutting import Questions, evenly_spaced, events_between, session_of_event
from nextcart.evaluation.metrics import find_hits
from nextcart.evaluation.protocols.multi_objective import draw_cuts, later_events, later_labels
from nextcart.evaluation.report import Protocol
from nextcart.models.ranker import Ranker
from nextcart.models.recommender import Recommender
from nextcart.types import Bools, Float32s, Int64s, Objective, Progress, Ranked, SessionBatch

MOST_BINS, LEAST_PLACES = 20, 100
BATCH_QUESTIONS = 4096


@dataclass(frozen=True, slots=True)
class Bin:
    """Places of lists with like scores.

    Attributes:
        score: their mean score.
        observed: share of them whose item came.
        interval: of that share, over resampled sessions; None without resamples.
        places: how many.
    """

    score: float
    observed: float
    interval: Interval | None
    places: int


@dataclass(frozen=True, slots=True)
class Calibration:
    """What the scores of an objective's trees are worth.

    Attributes:
        objective: whose trees scored.
        protocol: how the questions were posed.
        questions: how many.
        bins: by score, ascending; of about as many places each.
    """

    objective: Objective
    protocol: Protocol
    questions: int
    bins: tuple[Bin, ...]


class Scores:
    """The places that a ranker scored, and which of their items came; batch by batch."""

    def __init__(self) -> None:
        self._scores: list[Float32s] = []
        self._came: list[Bools] = []
        self._session: list[Int64s] = []

    def add(self, questions: Questions, ranked: Ranked, first: int = 0) -> None:
        """Take the ranker's lists for a batch of questions, whose sessions count from ``first``."""
        # What fills a list has no score of its own.
        scored = (ranked.items >= 0) & (ranked.scores > 0)
        self._scores.append(ranked.scores[scored])
        self._came.append(find_hits(ranked.items, questions.targets)[scored])
        self._session.append(np.repeat(first + questions.session, scored.sum(axis=1)))

    def bins(self, n_sessions: int, rounds: int, seed: int) -> tuple[Bin, ...]:
        """The bins of all places that were taken."""
        if not self._scores:
            return ()
        scores, came = np.concatenate(self._scores), np.concatenate(self._came)
        return bins_of(scores, came, np.concatenate(self._session), n_sessions, rounds, seed)


def bins_of(scores: Float32s, came: Bools, session: Int64s, n_sessions: int, rounds: int, seed: int) -> tuple[Bin, ...]:
    """Bins of about as many places each, by score, ascending; equal scores may part.

    Args:
        scores: shape (n_places,).
        came: whether the item of each place came, shape (n_places,).
        session: of each place, shape (n_places,).
        n_sessions: how many there are.
        rounds: resamples of the sessions.
        seed: of the resamples.
    """
    n_bins = min(MOST_BINS, -(-len(scores) // LEAST_PLACES))
    if not n_bins:
        return ()
    number = np.empty(len(scores), np.int64)
    number[np.argsort(scores, kind="stable")] = np.arange(len(scores)) * n_bins // len(scores)
    cell, shape = session * n_bins + number, (n_sessions, n_bins)
    # By session, since the places of a session do not come or stay away independently of each other.
    hits, places = (np.bincount(cell, of, n_sessions * n_bins).reshape(shape) for of in (came, np.ones(len(scores))))
    sums = resampled(np.hstack((hits, places)), session_weights(0, n_sessions, rounds, seed))
    shares = ratio(sums[:, :n_bins], sums[:, n_bins:]).T
    means = np.bincount(number, scores) / sums[0, n_bins:]
    return tuple(
        Bin(float(mean), float(share[0]), interval(share), int(count))
        for mean, share, count in zip(means, shares, sums[0, n_bins:], strict=True)
    )


def later_calibration(
    recommender: Recommender,
    sessions: SessionBatch,
    config: EvaluationConfig,
    objective: Objective,
    *,
    limit: int,
    progress: Progress,
) -> Calibration:
    """The calibration of later carts or orders, by questions of `multi_objective`.

    Args:
        recommender: has a ranker, fitted on nothing that these sessions hold.
        sessions: held-out sessions, rows of the recommender's vocabulary.
        config: cut-off, lengths of histories, resamples.
        objective: "carts" or "orders".
        limit: at most so many of the questions, evenly spaced; each is of another session.
        progress: told of questions done.
    """
    known = sessions.known()
    cuts = draw_cuts(np.diff(known.offsets), config.seed)
    asking = np.unique(session_of_event(known)[later_events(known, cuts, objective)])
    asking = asking[evenly_spaced(len(asking), limit)]
    scores = Scores()
    for start in range(0, len(asking), BATCH_QUESTIONS):
        block = asking[start : start + BATCH_QUESTIONS]
        part = events_between(known, known.offsets[block], known.offsets[block + 1])
        questions = later_labels(part, cuts[block], objective, config.max_history_events)
        answer = recommender.recommend(questions.history, config.k, model=Ranker.name, objective=objective)
        scores.add(questions, answer.ranked, start)
        progress(f"looking at later {objective}", start + len(block), len(asking))
    bins = scores.bins(len(asking), config.rounds, config.seed)
    return Calibration(objective, "multi_objective", len(asking), bins)
