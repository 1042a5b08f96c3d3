"""From requests to ranked items: one kernel call for all requests that ask for the same."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np

from nextcart.events.schema import Session
from nextcart.models.arrays import session_batch
from nextcart.models.recommender import FALLBACKS, Recommender
from nextcart.models.vocabulary import Vocabulary
from nextcart.serving.schemas import Fallback, Recommendation, RecommendRequest
from nextcart.types import UNKNOWN, Id, Int32s, ItemLists, Ranked, Source

_SOURCE_NAMES = [Source.names(bits) for bits in range(256)]


@dataclass(frozen=True, slots=True)
class Scored:
    """The answer to one request; the lists have one entry an item, best first."""

    aids: list[Id]
    scores: list[float]
    sources: list[int]
    fallback: Fallback | None

    def recommendations(self, *, explain: bool = False) -> list[Recommendation]:
        """The items as they go over HTTP."""
        if explain:
            return [
                Recommendation(aid, score, _SOURCE_NAMES[bits])
                for aid, score, bits in zip(self.aids, self.scores, self.sources, strict=True)
            ]
        return [Recommendation(aid, score) for aid, score in zip(self.aids, self.scores, strict=True)]


def score(recommender: Recommender, requests: Sequence[RecommendRequest]) -> list[Scored]:
    """The answers to requests, in their order.

    Requests of one model, objective, mode and limit share a kernel call, which answers each as it would alone.
    """
    groups: dict[tuple[object, ...], list[int]] = {}
    for place, request in enumerate(requests):
        asked = (request.model, request.objective, request.mode, request.limit, request.allow is None)
        groups.setdefault(asked, []).append(place)
    answers: dict[int, Scored] = {}
    for places in groups.values():
        alike = requests if len(places) == len(requests) else [requests[place] for place in places]
        answers.update(zip(places, _score_alike(recommender, alike), strict=True))
    return [answers[place] for place in range(len(requests))]


def _score_alike(recommender: Recommender, requests: Sequence[RecommendRequest]) -> list[Scored]:
    first = requests[0]
    vocabulary = recommender.vocabulary
    # A request's events are a stricter kind of the schema's, which a list's type cannot say.
    sessions = [Session(0, cast(list, request.events)) for request in requests]  # type: ignore[type-arg]
    excluded = [request.exclude for request in requests]
    answer = recommender.recommend(
        session_batch(vocabulary, sessions),
        first.limit,
        model=first.model,
        objective=first.objective,
        mode=first.mode,
        exclude=_item_lists(vocabulary, excluded) if any(excluded) else None,
        allow=None if first.allow is None else _item_lists(vocabulary, [request.allow or [] for request in requests]),
    )
    names = [cast("Fallback | None", FALLBACKS[number]) for number in answer.fallback.tolist()]
    return unpack(vocabulary, answer.ranked, names)


def unpack(vocabulary: Vocabulary, ranked: Ranked, fallbacks: Iterable[Fallback | None]) -> list[Scored]:
    """Ranked rows as the shop's ids, a `Scored` a list, without the padding."""
    held = ranked.items != UNKNOWN
    aids = vocabulary.ids(ranked.items[held])
    scores, sources = ranked.scores[held].tolist(), ranked.sources[held].tolist()
    answers, start = [], 0
    for count, fallback in zip(held.sum(axis=1).tolist(), fallbacks, strict=True):
        part = slice(start, start + count)
        answers.append(Scored(aids[part], scores[part], sources[part], fallback))
        start += count
    return answers


def _item_lists(vocabulary: Vocabulary, lists: Sequence[Sequence[Id]]) -> ItemLists:
    """Lists of ids as lists of ascending rows, items outside the catalogue left out."""
    lengths = [len(ids) for ids in lists]
    if not any(lengths):
        return ItemLists(np.zeros(len(lists) + 1, np.int64), np.empty(0, np.int32))
    rows = vocabulary.rows([aid for ids in lists for aid in ids])
    owner = np.repeat(np.arange(len(lists)), lengths)[rows != UNKNOWN]
    rows = rows[rows != UNKNOWN]
    order = np.lexsort((rows, owner))
    return ItemLists(np.searchsorted(owner, np.arange(len(lists) + 1)).astype(np.int64), rows[order])


def known_rows(vocabulary: Vocabulary, ids: Sequence[Id]) -> Int32s:
    """The rows of ids, those outside the catalogue left out."""
    rows = vocabulary.rows(ids)
    known: Int32s = rows[rows != UNKNOWN]
    return known
