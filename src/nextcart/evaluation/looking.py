"""A close look at held-out sessions, for people: how far down the lists the hits stand, and some questions themselves.

Questions are those of `next_click`, and in a log without clicks those of `next_event`: one target each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from nextcart.config import EvaluationConfig
from nextcart.evaluation.calibration import Calibration, Scores, later_calibration
from nextcart.evaluation.cutting import Questions, evenly_spaced, events_between, sample_sessions
from nextcart.evaluation.protocols.next_click import next_clicks
from nextcart.evaluation.protocols.next_event import last_events
from nextcart.evaluation.report import Protocol
from nextcart.evaluation.sources import RankerLook, Watch
from nextcart.models.model import Query
from nextcart.models.ranker import Ranker
from nextcart.models.recommender import Recommender
from nextcart.types import TYPE_NAMES, Bools, Id, Int32s, Int64s, Progress, SessionBatch, Source, no_progress

HITS_SHOWN = MISSES_SHOWN = 6
EVENTS_SHOWN, ITEMS_SHOWN = 8, 5


@dataclass(frozen=True, slots=True)
class Curve:
    """Recall of a model by k: the i-th is recall@(i + 1)."""

    model: str
    recall: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Example:
    """A question and what the version answered.

    Attributes:
        shown: the last events before the question, oldest first: item and type.
        before: events before the question.
        target: the item that came; None where it is outside the catalogue.
        repeats: whether it stands earlier in the session.
        place: where it stands in the list, from 1; None where it does not.
        candidate: whether it was among the ranker's candidates; None where no ranker answered.
        listed: the first items of the list, each with the sources that brought it.
    """

    shown: tuple[tuple[Id, str], ...]
    before: int
    target: Id | None
    repeats: bool
    place: int | None
    candidate: bool | None
    listed: tuple[tuple[Id, tuple[str, ...]], ...]


@dataclass(frozen=True, slots=True)
class Look:
    """What is seen on a sample of held-out sessions.

    Attributes:
        protocol: how the questions were posed.
        split: the part that the sessions are of.
        sessions: how many were looked at.
        of_sessions: how many there are.
        questions: how many these posed.
        k: length of the lists.
        curves: of every model.
        ranker: how the ranker came by its lists; None where the version has none.
        calibrations: what its scores are worth, one for each objective that it has trees for.
        model: whose answers the examples are.
        examples: hits first, then misses.
    """

    protocol: Protocol
    split: str
    sessions: int
    of_sessions: int
    questions: int
    k: int
    curves: tuple[Curve, ...]
    ranker: RankerLook | None
    calibrations: tuple[Calibration, ...]
    model: str
    examples: tuple[Example, ...]


def look(
    recommender: Recommender,
    sessions: SessionBatch,
    config: EvaluationConfig,
    *,
    split: str,
    limit: int,
    progress: Progress = no_progress,
) -> Look:
    """Ask every model the questions of at most ``limit`` sessions, evenly spaced.

    Args:
        recommender: fitted on nothing that these sessions hold.
        sessions: held-out sessions, rows of the recommender's vocabulary.
        config: cut-off, lengths of histories, resamples.
        split: name of the part, for the record.
        limit: bounds the time that it takes.
        progress: told of questions done.
    """
    sample, k = sample_sessions(sessions, limit), config.k
    protocol, batches = _questions(sample, config)
    total, done = sum(map(len, batches)), 0
    counts = {name: np.zeros(k + 1, np.int64) for name in recommender.models}
    ranker = recommender.models.get(Ranker.name)
    watch = Watch(recommender, ranker, k, len(sample)) if isinstance(ranker, Ranker) else None
    scores = Scores()
    default: list[Int64s] = []
    for questions in batches:
        shared = recommender.share(questions.history, k)
        for name, count in counts.items():
            answer = recommender.recommend(questions.history, k, model=name, shared=shared)
            found = places(answer.ranked.items, questions.targets.items)
            count += np.bincount(found, minlength=k + 1)
            if name == recommender.default_model:
                default.append(found)
            if watch is not None and name == Ranker.name:
                watch.add(questions, found, shared)
                scores.add(questions, answer.ranked)
        done += len(questions)
        progress("looking at held-out sessions", done, total)
    calibrations: list[Calibration] = []
    for objective in ranker.ranking.forests if isinstance(ranker, Ranker) else ():
        if objective == "clicks":
            bins = scores.bins(len(sample), config.rounds, config.seed)
            calibrations.append(Calibration(objective, protocol, total, bins))
        else:
            calibrations.append(
                later_calibration(recommender, sessions, config, objective, limit=limit, progress=progress)
            )
    return Look(
        protocol=protocol,
        split=split,
        sessions=len(sample),
        of_sessions=len(sessions),
        questions=total,
        k=k,
        curves=tuple(Curve(name, _curve(count)) for name, count in counts.items()),
        ranker=watch.result(config.rounds, config.seed) if watch is not None and total else None,
        calibrations=tuple(calibrations),
        model=recommender.default_model,
        examples=_examples(recommender, batches, default, k),
    )


def places(items: Int32s, targets: Int32s) -> Int64s:
    """Where each target stands in its list, from 0; the length of the list where it does not. Shape (n,)."""
    hits = (items == targets[:, None]) & (items >= 0)
    found: Int64s = np.where(hits.any(axis=1), hits.argmax(axis=1), items.shape[1]).astype(np.int64)
    return found


def _questions(sample: SessionBatch, config: EvaluationConfig) -> tuple[Protocol, list[Questions]]:
    clicks = list(next_clicks(sample.known(), config.last_positions, config.max_history_events))
    if clicks:
        return "next_click", clicks
    return "next_event", [last_events(sample, config.history_events)] if len(sample) else []


def _curve(count: Int64s) -> tuple[float, ...]:
    total = int(count.sum())
    return tuple((np.cumsum(count[:-1]) / total).tolist()) if total else ()


def _examples(
    recommender: Recommender, batches: Sequence[Questions], places_of: Sequence[Int64s], k: int
) -> tuple[Example, ...]:
    """Evenly spaced hits, then misses, at most one question of a session."""
    if not batches:
        return ()
    place = np.concatenate(places_of)
    session = np.concatenate([batch.session for batch in batches])
    hits = _spread(session, place < k, HITS_SHOWN)
    misses = _spread(session, (place == k) & ~np.isin(session, session[hits]), MISSES_SHOWN)
    starts = np.cumsum([0, *map(len, batches)])
    chosen = []
    for question in (*hits.tolist(), *misses.tolist()):
        batch = int(np.searchsorted(starts, question, "right")) - 1
        chosen.append(_example(recommender, batches[batch], question - int(starts[batch]), k))
    return tuple(chosen)


def _spread(session: Int64s, wanted: Bools, count: int) -> Int64s:
    """So many of the wanted questions, evenly spaced over their sessions, of each the one in the middle."""
    rows = np.flatnonzero(wanted)
    _, first, times = np.unique(session[rows], return_index=True, return_counts=True)
    middles: Int64s = rows[first + times // 2]
    return middles[evenly_spaced(len(middles), count)]


def _example(recommender: Recommender, questions: Questions, at: int, k: int) -> Example:
    offsets, vocabulary = questions.history.offsets, recommender.vocabulary
    history = events_between(questions.history, offsets[at : at + 1], offsets[at + 1 : at + 2])
    ranked = recommender.recommend(history, k).ranked
    target = questions.targets.items[at : at + 1]
    place = int(places(ranked.items, target)[0])
    last = slice(max(0, history.n_events - EVENTS_SHOWN), None)
    known = history.items[last] >= 0
    types = [TYPE_NAMES[kind] for kind in history.types[last][known].tolist()]
    head = ranked.items[0, :ITEMS_SHOWN]
    brought = [tuple(Source.names(bits)) for bits in ranked.sources[0, :ITEMS_SHOWN].tolist()]
    return Example(
        shown=tuple(zip(vocabulary.ids(history.items[last][known]), types, strict=True)),
        before=int(questions.before[at]),
        target=vocabulary.ids(target)[0] if target[0] >= 0 else None,
        repeats=bool(questions.repeats[at]),
        place=place + 1 if place < k else None,
        candidate=_is_candidate(recommender, history, target, k),
        listed=tuple(zip(vocabulary.ids(head[head >= 0]), brought, strict=False)),
    )


def _is_candidate(recommender: Recommender, history: SessionBatch, target: Int32s, k: int) -> bool | None:
    ranker = recommender.model(None)
    if not isinstance(ranker, Ranker):
        return None
    return bool((ranker.retrieval.candidates(Query(history, k)).items == target).any())
