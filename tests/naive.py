"""What the models and the metrics are, in plain Python: the slow and obvious way, to hold the kernels against.

Sessions are lists of `Event`, oldest first; lists of neighbours are lists of (item, weight), best first.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import permutations
from typing import NamedTuple

import numpy as np

from nextcart.config import (
    BoughtTogetherConfig,
    CovisitationConfig,
    HybridConfig,
    Item2vecConfig,
    MatrixConfig,
    SessionNeighboursConfig,
    TopSellersConfig,
)
from nextcart.types import SessionBatch

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
CLICKS, CARTS, ORDERS = 0, 1, 2


class Event(NamedTuple):
    item: int
    ts: int = 0
    type: int = CLICKS


Session = Sequence[Event]
Scores = Mapping[int, float]
Neighbours = Mapping[int, Sequence[tuple[int, float]]]


def batch_of(sessions: Sequence[Session]) -> SessionBatch:
    """The sessions as columns."""
    events = [event for session in sessions for event in session]
    return SessionBatch(
        np.cumsum([0, *map(len, sessions)], dtype=np.int64),
        np.array([event.item for event in events], np.int32),
        np.array([event.ts for event in events], np.int64),
        np.array([event.type for event in events], np.uint8),
    )


def sessions_of(batch: SessionBatch) -> list[list[Event]]:
    """The columns as sessions."""
    events = list(map(Event, batch.items.tolist(), batch.ts.tolist(), batch.types.tolist()))
    return [events[a:b] for a, b in zip(batch.offsets[:-1], batch.offsets[1:], strict=True)]


def best(scores: Scores, k: int) -> list[tuple[int, float]]:
    """The k best: higher score first (as float32, in which scores are kept), then the smaller row."""
    rounded = ((item, float(np.float32(score))) for item, score in scores.items())
    return sorted(rounded, key=lambda pair: (-pair[1], pair[0]))[:k]


def permitted(scores: Scores, banned: Collection[int] = (), allowed: Collection[int] | None = None) -> dict[int, float]:
    """The items that may come."""
    return {
        item: score for item, score in scores.items() if item not in banned and (allowed is None or item in allowed)
    }


# What each model learns.


def top_sellers(sessions: Iterable[Session], config: TopSellersConfig) -> dict[str, dict[int, float]]:
    """Sum of w(type) * exp(-decay * age in days), ages from the newest event: overall and by type."""
    sessions = list(sessions)
    newest = max((event.ts for session in sessions for event in session), default=0)
    weights = config.type_weights.as_tuple()
    scores: dict[str, dict[int, float]] = {
        name: defaultdict(float) for name in ("overall", "clicks", "carts", "orders")
    }
    for session in sessions:
        for event in session:
            score = weights[event.type] * math.exp(-config.decay_per_day * (newest - event.ts) / DAY_MS)
            scores["overall"][event.item] += score
            scores[("clicks", "carts", "orders")[event.type]][event.item] += score
    return {name: dict(each) for name, each in scores.items()}


def covisitation(sessions: Iterable[Session], config: MatrixConfig) -> dict[int, dict[int, float]]:
    """For each item a: the items b near its events, as the direction says, by w(type b) * both decays."""
    weights: dict[int, dict[int, float]] = defaultdict(lambda: defaultdict(float))
    for session in sessions:
        last = session[-config.last_events :]
        for (i, a), (j, b) in permutations(enumerate(last), 2):
            hours = abs(b.ts - a.ts) / HOUR_MS
            pairs = {"later": b.ts > a.ts, "after": j > i, "around": True}[config.direction]
            if not pairs or hours > config.window_hours or (a.item == b.item and not config.keep_diagonal):
                continue
            if config.look_back_events and abs(j - i) > config.look_back_events:
                continue
            decay = config.position_decay ** (abs(j - i) - 1) * math.exp(-config.decay_per_hour * hours)
            weight = config.type_weights.as_tuple()[b.type] * decay
            if weight > 0:
                weights[a.item][b.item] += weight
    if config.normalised:
        for row in weights.values():
            total = sum(row.values())
            row.update({item: weight / total for item, weight in row.items()})
    return weights


def two_hop(lists: Neighbours, width: int) -> dict[int, dict[int, float]]:
    """For each item: the first neighbours of its first neighbours but itself, by the sum of the weights' products."""
    weights: dict[int, dict[int, float]] = defaultdict(lambda: defaultdict(float))
    for item, neighbours in lists.items():
        for via, to_there in neighbours[:width]:
            for other, onwards in lists[via][:width]:
                if other != item:
                    weights[item][other] += to_there * onwards
    return weights


def bought_together(sessions: Iterable[Session], config: BoughtTogetherConfig) -> dict[int, dict[int, float]]:
    """For each item a: (n(a, b) + shrinkage * w * p(b)) / (n(a) + shrinkage) / p(b) ** power over carts and orders.

    n(a, b) counts each basket as 1 / (its distinct items - 1) ** size_power, and w is the mean of that. What stands in
    so many baskets that ``shrinkage`` of them are expected to hold it goes with every item.
    """
    baskets = [[event for event in session if event.type in (CARTS, ORDERS)] for session in sessions]
    baskets = [basket[-config.max_basket_events :] for basket in baskets if basket]
    support: dict[int, int] = defaultdict(int)
    together: dict[tuple[int, int], int] = defaultdict(int)
    weight: dict[tuple[int, int], float] = defaultdict(float)
    for basket in baskets:
        distinct = {event.item for event in basket}
        for item in distinct:
            support[item] += 1
        near = {
            (a.item, b.item)
            for a in basket
            for b in basket
            if a.item != b.item and (not config.window_hours or abs(a.ts - b.ts) <= config.window_hours * HOUR_MS)
        }
        for pair in near:
            together[pair] += 1
            weight[pair] += 1 / (len(distinct) - 1) ** config.size_power
    of_several = [size - 1 for basket in baskets if (size := len({event.item for event in basket})) > 1]
    mean = sum(size**-config.size_power for size in of_several) / len(of_several) if of_several else 1.0
    often = sorted(support, key=lambda item: (-support[item], item))
    staples = [
        item
        for item in often
        if support[item] >= config.shrinkage and config.shrinkage * support[item] >= config.min_support * len(baskets)
    ]
    for b in staples[: config.top_n]:
        for a in support.keys() - {b}:
            together[a, b] += config.min_support
    scores: dict[int, dict[int, float]] = defaultdict(dict)
    for (a, b), count in together.items():
        if count >= config.min_support:
            share = support[b] / len(baskets)
            drawn = (weight[a, b] + config.shrinkage * mean * share) / (support[a] + config.shrinkage)
            scores[a][b] = drawn / share**config.popularity_power
    return scores


# What each model answers.


def covisitation_query(session: Session, lists: Neighbours, config: CovisitationConfig) -> dict[int, float]:
    """Sum of weight * decay ** i * w(type) over the neighbours of the last events, i from the newest."""
    scores: dict[int, float] = defaultdict(float)
    for i, event in enumerate(reversed(session[-config.query_events :])):
        factor = config.query_decay**i * config.query_type_weights.as_tuple()[event.type]
        for item, weight in lists.get(event.item, ()):
            if factor > 0:
                scores[item] += factor * weight
    return scores


def basket_of(session: Session, config: BoughtTogetherConfig) -> set[int]:
    """The known items of the last carts and orders, else the last known item."""
    known = [event for event in session if event.item >= 0]
    bought = [event for event in known if event.type in (CARTS, ORDERS)]
    return {event.item for event in bought[-config.query_events :] or known[-1:]}


def basket_query(basket: Collection[int], lists: Neighbours) -> dict[int, float]:
    """Sum of the scores of what goes with the basket's items, none of which comes back."""
    scores: dict[int, float] = defaultdict(float)
    for item in basket:
        for other, score in lists.get(item, ()):
            scores[other] += score
    return permitted(scores, basket)


def item2vec_query(session: Session, vectors: np.ndarray, config: Item2vecConfig) -> dict[int, float]:
    """Sum over the last events of cosine ** power * decay ** i, i from the newest, for every item near to one."""
    scores: dict[int, float] = defaultdict(float)
    for i, event in enumerate(reversed(session[-config.query_events :])):
        if 0 <= event.item < len(vectors):
            cosines = vectors.astype(np.float64) @ vectors[event.item].astype(np.float64)
            for item, cosine in enumerate(cosines.tolist()):
                if cosine > 0:
                    scores[item] += config.query_decay**i * cosine**config.cosine_power
    return scores


def session_neighbours(
    learned: Sequence[Session], session: Session, config: SessionNeighboursConfig
) -> dict[int, float]:
    """What stands near the session's last items in the recent sessions that share them, nearest sessions first."""
    recent = sorted((s for s in learned if s), key=lambda s: s[-1].ts)[::-1]
    kept = [[event.item for event in s[-config.max_session_events :]] for s in recent]
    holding: dict[int, list[int]] = defaultdict(list)
    for number, items in enumerate(kept):
        for item in set(items):
            holding[item].append(number)

    asked = list(dict.fromkeys(event.item for event in reversed(session) if event.item >= 0))[: config.query_events]
    shared: dict[int, float] = defaultdict(float)
    match: dict[int, int] = {}
    for i, item in enumerate(asked):
        for number in holding[item][: config.sessions_per_item]:
            idf = float(np.float32(math.log1p(len(kept) / len(holding[item]))))
            shared[number] += math.exp(-i / config.position_decay) * idf
            match.setdefault(number, len(kept[number]) - 1 - kept[number][::-1].index(item))

    nearness: dict[int, float] = {}
    for number, weight in shared.items():
        age = max(0, min(session[-1].ts, recent[0][-1].ts) - recent[number][-1].ts) / DAY_MS / config.recency_days
        nearness[number] = weight * float(np.float32(1 / math.sqrt(len(recent[number])))) * math.exp(-min(age, 30.0))

    scores: dict[int, float] = defaultdict(float)
    for number, near in best(nearness, config.neighbours):
        for place, item in enumerate(kept[number]):
            distance = place - match[number]
            if abs(distance) <= config.reach_events:
                factor = config.before_weight if distance < 0 else 1.0
                scores[item] += near * factor * math.exp(-abs(distance) / config.item_decay)
    return {item: score for item, score in scores.items() if np.float32(score) > 0}


def hybrid_weights(session: Session, config: HybridConfig) -> tuple[float, float, float]:
    """Weights of co-visitation, item2vec and top sellers for a session; they sum to 1."""
    covisitation, item2vec, top = config.covisitation, config.item2vec, config.top_sellers
    if len(session) <= config.short_session_events:
        covisitation *= config.short_covisitation
        item2vec *= config.short_item2vec
    if session and session[-1].type in (CARTS, ORDERS):
        covisitation *= config.intent_covisitation
        item2vec *= config.intent_item2vec
    total = covisitation + item2vec + top
    return (covisitation / total, item2vec / total, top / total) if total else (0.0, 0.0, 0.0)


def fuse(lists: Sequence[Sequence[int]], weights: Sequence[float]) -> dict[int, float]:
    """Sum of weight / log2(rank + 1), ranks from 1."""
    scores: dict[int, float] = defaultdict(float)
    for items, weight in zip(lists, weights, strict=True):
        for rank, item in enumerate(items, 1):
            scores[item] += weight / math.log2(rank + 1)
    return scores


def backfilled(own: Sequence[int], fill: Iterable[int], k: int) -> list[int]:
    """The own items, then what of the fill they lack, up to k."""
    items = list(own)[:k]
    for item in fill:
        if len(items) < k and item not in items:
            items.append(item)
    return items


# Evaluation.


class Question(NamedTuple):
    history: list[Event]
    target: int
    repeats: bool
    unknown: bool


def next_event(session: Session, history_events: int) -> Question:
    """The last event is asked for; the last ones before it are shown."""
    *before, last = session
    return Question(
        before[-history_events:],
        last.item,
        last.item >= 0 and last.item in [event.item for event in before],
        last.item < 0,
    )


def recall(ranked: Sequence[int], targets: Collection[int], k: int) -> float:
    """Targets among the first k, over min(k, number of targets)."""
    return len([item for item in ranked[:k] if item in targets]) / min(k, len(targets))


def hit_rate(ranked: Sequence[int], targets: Collection[int], k: int) -> float:
    """Whether any target is among the first k."""
    return float(any(item in targets for item in ranked[:k]))


def ndcg(ranked: Sequence[int], targets: Collection[int], k: int) -> float:
    """Discounted gain over that of a list that starts with all targets."""
    gain = sum(1 / math.log2(rank + 1) for rank, item in enumerate(ranked[:k], 1) if item in targets)
    return gain / sum(1 / math.log2(rank + 1) for rank in range(1, min(k, len(targets)) + 1))


def average_precision(ranked: Sequence[int], targets: Collection[int], k: int) -> float:
    """Precision at the rank of each hit, summed, over min(k, number of targets)."""
    total, found = 0.0, 0
    for rank, item in enumerate(ranked[:k], 1):
        if item in targets:
            found += 1
            total += found / rank
    return total / min(k, len(targets))


def reciprocal_rank(ranked: Sequence[int], targets: Collection[int], k: int) -> float:
    """One over the rank of the first hit."""
    return next((1 / rank for rank, item in enumerate(ranked[:k], 1) if item in targets), 0.0)


METRICS = {"recall": recall, "hit_rate": hit_rate, "ndcg": ndcg, "map": average_precision, "mrr": reciprocal_rank}


# Comparing a kernel's list with what it should be.


def check_ranking(items: Iterable[int], scores: Iterable[float], wanted: Scores, k: int, *, rel: float = 1e-5) -> None:
    """That a list holds the k best of ``wanted``, each with its score, best first and ties by the smaller row.

    Rounding may let near-equal scores change places, but for items that tie exactly.
    """
    pairs = list(zip(items, scores, strict=True))
    found = [(int(item), float(score)) for item, score in pairs if item >= 0]
    size = min(k, len(wanted))
    assert len(pairs) == k
    assert [item for item, _ in pairs[size:]] == [-1] * (k - size)
    assert [score for _, score in pairs[size:]] == [0.0] * (k - size)
    assert len(found) == size
    assert len({item for item, _ in found}) == size
    # Next to 0 the steps of float32 are wider than a share of the score.
    step = float(np.finfo(np.float32).smallest_subnormal)
    tolerance = max(step, rel * max((abs(score) for score in wanted.values()), default=1.0))
    for item, score in found:
        assert score == np.float32(score)
        assert abs(score - wanted[item]) <= tolerance
    assert found == sorted(found, key=lambda pair: (-pair[1], pair[0]))
    left_out = set(wanted) - {item for item, _ in found}
    if found and left_out:
        best_left = max(wanted[item] for item in left_out)
        assert best_left <= found[-1][1] + tolerance
        exact = [item for item in left_out if wanted[item] == wanted[found[-1][0]]]
        assert all(item > found[-1][0] for item in exact)
