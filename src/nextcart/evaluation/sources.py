"""How a ranker comes by its lists: which source found each hit, and what dropping one costs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nextcart.evaluation.bootstrap import Floats, Interval, interval, ratio, resampled, session_weights
from nextcart.evaluation.cutting import Questions
from nextcart.kernels.candidates import best_candidates
from nextcart.kernels.pair_columns import NEVER, PAIR_COLUMNS, sum_up_lists
from nextcart.models.candidates import Candidates, Retrieval
from nextcart.models.model import Query
from nextcart.models.ranker import Ranker
from nextcart.models.recent_popularity import NEARBY, OF_DAY, OF_HOUR
from nextcart.models.recommender import Recommender
from nextcart.models.shared import Shared
from nextcart.types import Bools, Float32s, Int64s, Ranked, Source

_LIST_SOURCES = {
    "neighbours": Source.SESSION_NEIGHBOURS,
    NEARBY: Source.SESSION_NEIGHBOURS,
    "item2vec": Source.ITEM2VEC,
    "log_bilinear": Source.LOG_BILINEAR,
    "bought_together": Source.BOUGHT_TOGETHER,
    "top_sellers": Source.TOP_SELLERS,
    OF_DAY: Source.TOP_SELLERS,
    OF_HOUR: Source.TOP_SELLERS,
}
"""Whose the lists are; those with other names are of co-visitation."""
_NO_PLACE = {"score": 0.0, "rank": NEVER}
"""What a candidate that a list does not hold has of it."""
_NO_HISTORY = {
    "steps_since": NEVER,
    "items_since": NEVER,
    "seconds_since": 1000 * NEVER,
    "steps_since_first": NEVER,
    "last_type": -1.0,
    "dwell_seconds": -1.0,
}
"""What a candidate that the session does not hold has in `PAIR_COLUMNS`; 0 in those that are not named."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What recall is without something, less what it is with it; the interval is over resampled sessions."""

    difference: float
    interval: Interval | None


@dataclass(frozen=True, slots=True)
class SourceShare:
    """What one source does for the ranker.

    Attributes:
        name: of the source.
        hits: share of the ranker's hits that it brought, alone or with others.
        alone: share of the hits that no other source brought.
        left_out: cost of leaving out the candidates that it alone brings.
        hidden: cost of hiding its scores and ranks as well; the forest is not trained again, so that a training
            without the source would lose less.
    """

    name: str
    hits: float
    alone: float
    left_out: Cost
    hidden: Cost


@dataclass(frozen=True, slots=True)
class RankerLook:
    """What was seen of the ranker.

    Attributes:
        recall: at the cut-off.
        candidates: mean number of candidates.
        found: share of the targets that are among the candidates: no order of them can do better.
        filled: share of the hits that no source brought; top sellers fill short lists.
        sources: in the order of their bits.
    """

    recall: float
    candidates: float
    found: float
    filled: float
    sources: tuple[SourceShare, ...]


class Watch:
    """Adds up what is seen, batch by batch."""

    def __init__(self, recommender: Recommender, ranker: Ranker, k: int, n_sessions: int) -> None:
        self._recommender, self._ranker, self._k = recommender, ranker, k
        lists = {_source_of(name) for name in ranker.retrieval.list_names}
        self._sources = [source for source in Source if source in lists or source is Source.HISTORY]
        self._candidates = self._found = 0
        self._brought = np.zeros(256, np.int64)
        # By session: questions, hits, then the hits without each source, its candidates left out or also hidden.
        self._sums = np.zeros((n_sessions, 2 + 2 * len(self._sources)))

    def add(self, questions: Questions, places: Int64s, shared: Shared) -> None:
        """Take a batch of questions of one target each.

        Args:
            questions: what was asked.
            places: of the targets in the ranker's lists, k where they are not.
            shared: what is known of these sessions.
        """
        history, targets = questions.history, questions.targets.items
        found = self._ranker.retrieval.candidates(Query(history, self._k, shared=shared))
        owner = np.repeat(np.arange(len(questions)), np.diff(found.offsets))
        brought = np.zeros(len(questions), np.uint8)
        is_target = found.items == targets[owner]
        brought[owner[is_target]] = found.sources[is_target]
        hit = places < self._k
        self._count(0, questions, np.ones(len(questions), bool))
        self._count(1, questions, hit)
        self._candidates += len(found.items)
        self._found += int((brought > 0).sum())
        self._brought += np.bincount(brought[hit], minlength=256)
        for row, source in enumerate(self._sources):
            for hidden in (False, True):
                lacking = Lacking(self._ranker, found, source, hidden=hidden)
                models = {**self._recommender.models, Ranker.name: lacking}
                answer = Recommender(self._recommender.vocabulary, models).recommend(
                    history, self._k, model=Ranker.name
                )
                kept = (answer.ranked.items == targets[:, None]).any(axis=1)
                self._count(2 + 2 * row + hidden, questions, kept)

    def result(self, rounds: int, seed: int) -> RankerLook:
        """All that was seen; there was a question."""
        weights = session_weights(0, len(self._sums), rounds, seed)
        sums = resampled(self._sums, weights)
        recalls = ratio(sums[:, 1:], sums[:, :1].repeat(sums.shape[1] - 1, axis=1)).T
        costs = [_cost(each - recalls[0]) for each in recalls[1:]]
        questions, hits = self._sums[:, 0].sum(), max(float(self._sums[:, 1].sum()), 1.0)
        bits = np.arange(256)
        sources = tuple(
            SourceShare(
                source.name.lower(),
                int(self._brought[(bits & source) > 0].sum()) / hits,
                int(self._brought[source]) / hits,
                *costs[2 * row : 2 * row + 2],
            )
            for row, source in enumerate(self._sources)
        )
        return RankerLook(
            recall=float(recalls[0, 0]),
            candidates=float(self._candidates / questions),
            found=float(self._found / questions),
            filled=int(self._brought[0]) / hits,
            sources=sources,
        )

    def _count(self, column: int, questions: Questions, which: Bools) -> None:
        self._sums[:, column] += np.bincount(questions.session, which, minlength=len(self._sums))


class Lacking(Ranker):
    """A ranker without what one source alone brings, on candidates that are found already."""

    def __init__(self, ranker: Ranker, found: Candidates, source: Source, *, hidden: bool) -> None:
        """Take the candidates of the sessions that will be asked about; ``hidden``: the source's features too."""
        self.ranking, self.retrieval = ranker.ranking, ranker.retrieval
        self._found, self._source, self._hidden = found, source, hidden

    def recommend(self, query: Query) -> Ranked:
        """The candidates that another source brings as well, best first by the same forest."""
        found, forests = self._found, self.ranking.forests
        keep = (found.sources & ~np.uint8(self._source)) > 0
        before = np.zeros(len(keep) + 1, np.int64)
        np.cumsum(keep, out=before[1:])
        features = found.features[keep]
        if self._hidden:
            hide(features, self.retrieval, self._source)
        forest = forests.get(query.objective) or next(iter(forests.values()))
        sources = found.sources[keep] & ~np.uint8(self._source)
        return Ranked(
            *best_candidates(before[found.offsets], found.items[keep], sources, forest.score(features), query.k)
        )


def hide(features: Float32s, retrieval: Retrieval, source: Source) -> None:
    """Set a source's features, in place, to what they are where it brings nothing."""
    lists = [name for name in retrieval.list_names if _source_of(name) is source]
    absent = {f"{name}_{what}": value for name in lists for what, value in _NO_PLACE.items()}
    if source is Source.HISTORY:
        absent = {name: _NO_HISTORY.get(name, 0.0) for name in PAIR_COLUMNS}
    for column, name in enumerate(retrieval.feature_names):
        if name in absent:
            features[:, column] = absent[name]
    sum_up_lists(features, len(retrieval.list_names))


def _cost(values: Floats) -> Cost:
    return Cost(float(values[0]), interval(values))


def _source_of(name: str) -> Source:
    return _LIST_SOURCES.get(name, Source.COVISITATION)
