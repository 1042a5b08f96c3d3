"""Recommenders by neighbour sessions: VS-kNN, STAN, VSTAN and VMIS-kNN.

All four do the same: of the past sessions that share an item with the current one they take the ``sample`` most recent,
of these the ``k`` most similar, and give each item of such a neighbour the neighbour's similarity times some factors.
They differ in similarity and factors; a class here says how, by the symbols of its paper. Positions count from 1 at the
oldest event; a repeated item stands at its last position. ``steps`` is how far an item stands from the end of the
current session: 0 for the last event.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from .log import DAY_MS, Floats, Ints, Log, Session, best

Grid = dict[str, tuple[Any, ...]]


class SessionIndex:
    """Past sessions, the newest first, by item; shared by all methods and settings.

    Attributes:
        ends: last timestamp of each session; session 0 is the newest.
        offsets: session ``s`` has the distinct items ``items[offsets[s]:offsets[s + 1]]`` at ``positions``.
        items: rows.
        positions: of each item's last event in its session.
        idf: log(sessions / sessions with the item), by row.
    """

    def __init__(self, log: Log) -> None:
        """Number the sessions of a log anew, newest first, and sort their items into lists by item."""
        lengths = np.diff(log.offsets)
        newest_first = np.argsort(-log.events.ts[log.offsets[1:] - 1], kind="stable")
        number = np.empty(len(log), np.int64)
        number[newest_first] = np.arange(len(log))
        sessions = np.repeat(number, lengths)
        positions = np.arange(len(sessions)) - np.repeat(log.offsets[:-1], lengths) + 1
        order = np.lexsort((positions, log.events.items, sessions))
        sessions, items, positions = sessions[order], log.events.items[order], positions[order]
        last = np.append((np.diff(sessions) != 0) | (np.diff(items) != 0), True)
        sessions, self.items, self.positions = sessions[last], items[last], positions[last]
        self.ends = log.events.ts[log.offsets[1:] - 1][newest_first]
        self.offsets = np.searchsorted(sessions, np.arange(len(log) + 1))
        by_item = np.argsort(self.items, kind="stable")
        self._sessions, self._positions = sessions[by_item], self.positions[by_item]
        self._starts = np.searchsorted(self.items[by_item], np.arange(len(log.aids) + 1))
        self.idf = np.log(len(log) / np.maximum(np.diff(self._starts), 1))

    def with_item(self, item: int, most: int) -> tuple[Ints, Ints]:
        """The ``most`` newest sessions that hold an item, and its position in each."""
        part = slice(self._starts[item], min(self._starts[item + 1], self._starts[item] + most))
        return self._sessions[part], self._positions[part]


@dataclass(frozen=True, slots=True)
class Neighbours:
    """Past sessions that share items with the current one.

    Attributes:
        sessions: their numbers, ascending, so the newest first.
        similarity: sum of the weights of the shared items.
        steps: how far the most recent shared item stands from the current session's end.
        place: position of that item in the neighbour.
    """

    sessions: Ints
    similarity: Floats
    steps: Ints
    place: Ints

    def take(self, chosen: Ints) -> Neighbours:
        """Those at the given places."""
        return Neighbours(self.sessions[chosen], self.similarity[chosen], self.steps[chosen], self.place[chosen])


class NeighbourMethod:
    """What the four methods share; `GRID` holds for each setting the values to try, the first being the default."""

    name: ClassVar[str]
    GRID: ClassVar[Grid]

    def __init__(self, index: SessionIndex, **settings: Any) -> None:
        """Take the index and any settings that differ from the defaults."""
        self.index = index
        self.set: dict[str, Any] = {name: values[0] for name, values in self.GRID.items()} | settings

    def number(self, name: str) -> float:
        """A setting that is a number."""
        return float(self.set[name])

    def item_weights(self, steps: Ints, length: int) -> Floats:
        """How much each item of the current session counts in the similarity."""
        raise NotImplementedError

    def session_factors(self, found: Neighbours, length: int, sizes: Ints, age_days: Floats) -> Floats:
        """Each neighbour's final weight."""
        raise NotImplementedError

    def distance_factors(self, distance: Ints) -> Floats | float:
        """How much an item counts by its distance from the shared item within the neighbour."""
        del distance
        return 1.0

    def idf_factors(self) -> Floats | float:
        """How much each item of the catalogue counts by its rarity."""
        return 1.0

    def recommend(self, session: Session, n: int) -> Ints:
        """The best ``n`` items, rows."""
        return best(self.scores(session), n)

    def scores(self, session: Session) -> Floats:
        """The score of each item of the catalogue."""
        index = self.index
        items = session.items[-self.set.get("last_items", 50) :]
        found = self._find(items)
        if not len(found.sessions):
            return np.zeros(len(index.idf))
        sizes = index.offsets[found.sessions + 1] - index.offsets[found.sessions]
        age_days = np.maximum(session.ts[-1] - index.ends[found.sessions], 0) / DAY_MS
        weights = self.session_factors(found, len(np.unique(items)), sizes, age_days)
        entries = np.repeat(index.offsets[found.sessions], sizes) + _counting(sizes)
        distance = np.abs(index.positions[entries] - np.repeat(found.place, sizes))
        contributions = np.repeat(weights, sizes) * self.distance_factors(distance)
        scores = np.bincount(index.items[entries], contributions, len(index.idf)) * self.idf_factors()
        if self.set["without_last"]:
            scores[items[-1]] = 0.0
        return np.asarray(scores)

    def _find(self, items: Ints) -> Neighbours:
        """The most similar of the most recent sessions that share an item."""
        steps = np.arange(len(items))[::-1]
        last = [place for place in range(len(items)) if items[place] >= 0 and items[place] not in items[place + 1 :]]
        sample = self.set["sample"]
        lists = [self.index.with_item(items[place], sample) for place in last]
        sessions = np.concatenate([each[0] for each in lists]) if lists else np.empty(0, np.int64)
        if not len(sessions):
            return Neighbours(sessions, np.zeros(0), sessions, sessions)
        counts = [len(each[0]) for each in lists]
        weights = np.repeat(self.item_weights(steps[last], len(items)), counts)
        similarity: Floats = np.bincount(sessions, weights).astype(np.float64)
        known = np.flatnonzero(np.bincount(sessions))[:sample]
        latest, place = np.zeros(len(similarity), np.int64), np.zeros(len(similarity), np.int64)
        for at, (holders, positions) in zip(last, lists, strict=True):  # from old to new, so that the newest stays
            latest[holders], place[holders] = steps[at], positions
        found = Neighbours(known, similarity[known], latest[known], place[known])
        return found.take(np.argsort(-self._ranked_by(found), kind="stable")[: self.set["k"]])

    def _ranked_by(self, found: Neighbours) -> Floats:
        return found.similarity


class VSkNN(NeighbourMethod):
    """Ludewig & Jannach, "Evaluation of session-based recommendation algorithms", 2018.

    The current session's items weigh by their position, a neighbour by the position of the most recent shared item too.
    """

    name = "VS-kNN"
    GRID: ClassVar[Grid] = {
        "k": (200, 100, 500, 1000),
        "sample": (1000, 2500, 5000),
        "weighting": ("linear", "quadratic", "div", "same"),
        "score_weighting": ("linear", "quadratic", "div", "same"),
        "idf": (0.0, 1.0, 5.0),
        "without_last": (False, True),
    }

    def item_weights(self, steps: Ints, length: int) -> Floats:
        """By position, the last one 1."""
        return _decay(self.set["weighting"], steps, length)

    def session_factors(self, found: Neighbours, length: int, sizes: Ints, age_days: Floats) -> Floats:
        """Similarity by the current length, times the decay at the most recent shared item."""
        del sizes, age_days
        return found.similarity / length * _decay(self.set["score_weighting"], found.steps, 10)

    def idf_factors(self) -> Floats | float:
        """1 + λ idf."""
        return 1.0 + self.number("idf") * self.index.idf


class VMISkNN(NeighbourMethod):
    """Kersbergen, Sprangers & Schelter, "Serenade", 2022: VS-kNN over an index, with linear decays and idf."""

    name = "VMIS-kNN"
    GRID: ClassVar[Grid] = {
        "k": (500, 100, 1500),
        "sample": (1000, 500, 2500, 5000),
        "last_items": (9, 2, 3, 5),
        "without_last": (False, True),
    }

    def item_weights(self, steps: Ints, length: int) -> Floats:
        """π: the position divided by the length."""
        return _decay("linear", steps, length)

    def session_factors(self, found: Neighbours, length: int, sizes: Ints, age_days: Floats) -> Floats:
        """λ, 1 less a tenth a step from the end, times the similarity."""
        del length, sizes, age_days
        return found.similarity * _decay("linear", found.steps, 10)

    def idf_factors(self) -> Floats | float:
        """Log of |H| / h."""
        return self.index.idf


class STAN(NeighbourMethod):
    """Garg, Gupta, Malhotra, Vig & Shroff, "Sequence and time aware neighborhood", 2019."""

    name = "STAN"
    GRID: ClassVar[Grid] = {
        "k": (500, 200, 1000),
        "sample": (2500, 1000, 5000),
        "lambda_1": (1.0, 0.5, 2.0, 4.0),
        "lambda_2_days": (30.0, 5.0, 80.0, 3650.0),
        "lambda_3": (2.0, 0.5, 1.0, 4.0, 9.0),
        "without_last": (False, True),
    }

    def item_weights(self, steps: Ints, length: int) -> Floats:
        """Factor w1: exp(-steps / λ1)."""
        del length
        return np.asarray(np.exp(-steps / self.number("lambda_1")))

    def session_factors(self, found: Neighbours, length: int, sizes: Ints, age_days: Floats) -> Floats:
        """Cosine, times w2: exp(-age / λ2)."""
        cosine = found.similarity / np.sqrt(length * sizes)
        return np.asarray(cosine * np.exp(-age_days / self.number("lambda_2_days")))

    def distance_factors(self, distance: Ints) -> Floats | float:
        """Factor w3: exp(-distance / λ3)."""
        return np.asarray(np.exp(-distance / self.number("lambda_3")))

    def _ranked_by(self, found: Neighbours) -> Floats:
        sizes = self.index.offsets[found.sessions + 1] - self.index.offsets[found.sessions]
        return np.asarray(found.similarity / np.sqrt(sizes))


class VSTAN(STAN):
    """Ludewig, Mauro, Latifi & Jannach, "Empirical analysis of session-based recommendation algorithms", 2020.

    STAN, with a decay at the most recent shared item and an idf weight from VS-kNN.
    """

    name = "VSTAN"
    GRID: ClassVar[Grid] = STAN.GRID | {"lambda_ipw": (4.0, 1.0, 2.0), "idf": (0.0, 1.0, 5.0)}

    def session_factors(self, found: Neighbours, length: int, sizes: Ints, age_days: Floats) -> Floats:
        """STAN's, times exp(-steps / λ_ipw)."""
        return super().session_factors(found, length, sizes, age_days) * np.exp(
            -found.steps / self.number("lambda_ipw")
        )

    def idf_factors(self) -> Floats | float:
        """1 + λ_idf idf."""
        return 1.0 + self.number("idf") * self.index.idf


def _decay(kind: str, steps: Ints, length: int) -> Floats:
    """A weight that falls with the steps from the session's end: 1 at the last event."""
    if kind == "same":
        return np.ones(len(steps))
    if kind == "div":
        return 1.0 / (steps + 1.0)
    linear = np.maximum(1.0 - steps / length, 0.0)
    return np.asarray(linear**2 if kind == "quadratic" else linear)


def _counting(sizes: Ints) -> Ints:
    """0, 1, … of each size, behind one another."""
    return np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
