"""`multi_objective`: each session is cut at a random event; the next click, all later carts and orders are asked for.

The official protocol of the OTTO data set (https://github.com/otto-de/recsys-dataset, its scripts ``testset`` and
``evaluate``). Events on items outside the catalogue are dropped first, then sessions of fewer than two events.
"""

from __future__ import annotations

import numpy as np

from nextcart.evaluation.bootstrap import Floats
from nextcart.evaluation.cutting import Questions, pose, session_of_event
from nextcart.types import TYPE_NAMES, EventType, Int64s, Objective, SessionBatch

WEIGHTS: dict[Objective, float] = {"clicks": 0.1, "carts": 0.3, "orders": 0.6}
"""What each type counts in the total."""


def draw_cuts(n_events: Int64s, seed: int) -> Int64s:
    """How many events of each session are shown, evenly drawn from 1 to all but one; 0 for one of fewer than two."""
    draws = np.random.default_rng(seed).random(len(n_events))
    cuts = 1 + (draws * (n_events - 1)).astype(np.int64)
    return np.where(n_events >= 2, cuts, 0)


def later_events(sessions: SessionBatch, cuts: Int64s, objective: Objective) -> Int64s:
    """The events of the objective's type after the cut of their session, in their order; none where the cut is 0."""
    kind = EventType(TYPE_NAMES.index(objective))
    owner = session_of_event(sessions)
    after = np.arange(sessions.n_events) >= (sessions.offsets[:-1] + cuts)[owner]
    return np.flatnonzero((sessions.types == kind) & after & (cuts[owner] > 0))


def later_labels(sessions: SessionBatch, cuts: Int64s, objective: Objective, history_events: int) -> Questions:
    """The questions of one objective: of the sessions that have such an event after their cut.

    Args:
        sessions: every item known.
        cuts: of `draw_cuts`; sessions of 0 are not asked about.
        objective: "clicks": the next click alone; "carts", "orders": all later ones, each item once.
        history_events: most events that are shown.
    """
    owner, later = session_of_event(sessions), later_events(sessions, cuts, objective)
    if objective == "clicks":
        _, once = np.unique(owner[later], return_index=True)
    else:
        width = int(sessions.items.max(initial=0)) + 1
        _, once = np.unique(owner[later] * width + sessions.items[later], return_index=True)
    events = later[np.sort(once)]
    asked, counts = np.unique(owner[events], return_counts=True)
    return pose(sessions, asked, (sessions.offsets[:-1] + cuts)[asked], counts, events, history_events)


def add_total(figures: dict[str, Floats]) -> None:
    """0.1 of the recall of clicks, 0.3 of carts, 0.6 of orders; NaN where the sessions have no label of a type."""
    parts = [weight * figures[f"{name}_recall"] for name, weight in WEIGHTS.items()]
    figures["total"] = np.sum(parts, axis=0)
