"""From requests to ranked items: one kernel call for all requests that ask for the same."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import cast

import numpy as np
from msgspec import Struct
from msgspec.structs import replace

from nextcart.events.schema import Session
from nextcart.kernels.fusion import list_lengths
from nextcart.models.received import session_batch
from nextcart.models.recommender import FALLBACKS, Recommender
from nextcart.models.rules import RowRules
from nextcart.models.vocabulary import Vocabulary
from nextcart.serving.schemas import Event, Fallback, Recommendation, RecommendRequest
from nextcart.types import UNKNOWN, Id, Int32s, ItemLists, Ranked, Source

_SOURCE_NAMES = [Source.names(bits) for bits in range(256)]


class Scored(Struct, frozen=True):
    """The answer to one request; the lists have one entry an item, best first.

    Attributes:
        aids: the items.
        scores: their scores.
        sources: a bit for each model that brought the item.
        fallback: why the list is top sellers only.
        rows: the items' rows, and -1 past the end of a shorter list.
        because: the session's event that spoke most for each item; None where that was not asked for.
    """

    aids: list[Id]
    scores: list[float]
    sources: list[int]
    fallback: Fallback | None
    rows: Int32s
    because: list[Event | None] | None = None

    def recommendations(self) -> list[Recommendation]:
        """The items as they go over HTTP."""
        if self.because is not None:
            return [
                Recommendation(aid, score, _SOURCE_NAMES[bits], event)
                for aid, score, bits, event in zip(self.aids, self.scores, self.sources, self.because, strict=True)
            ]
        return list(map(Recommendation, self.aids, self.scores))


def score(
    recommender: Recommender, requests: Sequence[RecommendRequest], rules: RowRules | None = None
) -> list[Scored]:
    """The answers to requests, in their order, by the shop's rules.

    Requests that ask for the same share a kernel call, which answers each as it would alone.
    """
    if len(requests) == 1:
        return _score_alike(recommender, requests, rules)
    groups: dict[tuple[object, ...], list[int]] = {}
    for place, request in enumerate(requests):
        asked = (
            *(request.model, request.objective, request.mode, request.limit, request.allow is None),
            *(request.min_score, request.max_per_neighbourhood),
        )
        groups.setdefault(asked, []).append(place)
    answers: dict[int, Scored] = {}
    for places in groups.values():
        alike = requests if len(places) == len(requests) else [requests[place] for place in places]
        answers.update(zip(places, _score_alike(recommender, alike, rules), strict=True))
    return [answers[place] for place in range(len(requests))]


def _score_alike(
    recommender: Recommender, requests: Sequence[RecommendRequest], rules: RowRules | None
) -> list[Scored]:
    first, vocabulary = requests[0], recommender.vocabulary
    # A request's events are a stricter kind of the schema's, which a list's type cannot say.
    sessions = [Session(0, request.events) for request in requests]  # type: ignore[arg-type]
    excluded = [request.exclude for request in requests]
    batch = session_batch(vocabulary, sessions)
    answer = recommender.recommend(
        batch,
        first.limit,
        model=first.model,
        objective=first.objective,
        mode=first.mode,
        exclude=_item_lists(vocabulary, excluded) if any(excluded) else None,
        allow=None if first.allow is None else _item_lists(vocabulary, [request.allow or [] for request in requests]),
        rules=rules,
        min_score=first.min_score,
        max_per_neighbourhood=first.max_per_neighbourhood,
    )
    reasons = cast("list[Fallback | None]", [FALLBACKS[number] for number in answer.fallback.tolist()])
    scored = unpack(vocabulary, answer.ranked, reasons)
    if any(request.explain for request in requests):
        places = recommender.explain(batch, answer.ranked).tolist()
        return [_explained(*each) for each in zip(scored, places, requests, strict=True)]
    return scored


def _explained(scored: Scored, places: Sequence[int], request: RecommendRequest) -> Scored:
    """With the events, which the batch has in time order, that brought the items; as it is where nobody asked."""
    if not request.explain:
        return scored
    events = sorted(request.events, key=lambda event: event.ts)
    because = [events[place] if place >= 0 else None for place in places[: len(scored.aids)]]
    return replace(scored, because=because)


def unpack(vocabulary: Vocabulary, ranked: Ranked, fallbacks: Iterable[Fallback | None]) -> list[Scored]:
    """Ranked rows as the shop's ids, a `Scored` a list, without the padding."""
    lengths = list_lengths(ranked.items).tolist()
    full = sum(lengths) == ranked.items.size
    aids = vocabulary.ids(ranked.items.ravel() if full else ranked.items[ranked.items != UNKNOWN])
    scores, sources = ranked.scores.tolist(), ranked.sources.tolist()
    answers, start = [], 0
    for place, (length, fallback) in enumerate(zip(lengths, fallbacks, strict=True)):
        listed = aids[start : start + length]
        answers.append(Scored(listed, scores[place][:length], sources[place][:length], fallback, ranked.items[place]))
        start += length
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
