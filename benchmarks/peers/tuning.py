"""A small search of a peer's settings on a split of the training part: one setting after another, the best kept."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from .log import Ints, Session
from .neighbours import Grid

K = 20


class Peer(Protocol):
    """What the search asks."""

    def recommend(self, session: Session, n: int) -> Ints:
        """The best ``n`` rows."""


@dataclass(frozen=True, slots=True)
class Tuned:
    """What a search found.

    Attributes:
        for_recall: the settings with the best recall@20.
        for_mrr: those with the best MRR@20.
        tried: how many were tried.
        cpu_s: what that took.
    """

    for_recall: dict[str, Any]
    for_mrr: dict[str, Any]
    tried: int
    cpu_s: float


def tune(build: Callable[..., Peer], grid: Grid, sessions: Sequence[Session], targets: Ints) -> Tuned:
    """Try each value of each setting in turn, and keep the one with the best sum of recall and MRR.

    Args:
        build: makes a peer of settings.
        grid: the values, the defaults first.
        sessions: what is shown.
        targets: the row that comes next, for each.
    """
    began = time.process_time()
    kept = {name: values[0] for name, values in grid.items()}
    tried = [(kept, measure(build(**kept), sessions, targets))]
    most = sum(tried[0][1])
    for name, values in grid.items():
        start = kept
        for value in values[1:]:
            settings = start | {name: value}
            figures = measure(build(**settings), sessions, targets)
            tried.append((settings, figures))
            if sum(figures) > most:
                kept, most = settings, sum(figures)
    for_recall = max(tried, key=lambda each: each[1][0])[0]
    for_mrr = max(tried, key=lambda each: each[1][1])[0]
    return Tuned(for_recall, for_mrr, len(tried), round(time.process_time() - began, 2))


def measure(peer: Peer, sessions: Sequence[Session], targets: Ints) -> tuple[float, float]:
    """recall@20 and MRR@20."""
    ranks = np.zeros(len(targets))
    for number, session in enumerate(sessions):
        at = np.flatnonzero(peer.recommend(session, K) == targets[number])
        ranks[number] = at[0] + 1 if len(at) else 0
    hit = ranks > 0
    return float(hit.mean()), float((hit / np.maximum(ranks, 1)).mean())
