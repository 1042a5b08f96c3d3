"""`next_period`: how much of what comes next the top sellers hold, for several decays.

For each decay, lists as `TopSellers` makes and serves them are fitted on the training events; a figure is the share of
the held-out clicks, carts or orders of the day, or the week, after the training part whose items stand among the first
20, 100 or 1,000 of the list that serves that objective. "plain counts" is no decay, and every type weighs the same.
Events on items outside the catalogue count: no list can hold them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from nextcart.config import TopSellersConfig, TypeWeights
from nextcart.evaluation.bootstrap import Floats, ratio
from nextcart.evaluation.cutting import session_of_event
from nextcart.models.model import FitOptions, TrainingArrays
from nextcart.models.top_sellers import TopSellers
from nextcart.types import DAY_MS, TYPE_NAMES, Int64s, Mode, SessionBatch

SIZES = (20, 100, 1000)
PERIODS = {"day": DAY_MS, "week": 7 * DAY_MS}
PLAIN = "plain counts"
FIGURES = tuple(f"{kind}@{size}/{period}" for period in PERIODS for size in SIZES for kind in TYPE_NAMES)
KEPT = tuple(f"{kind}@20/week" for kind in TYPE_NAMES)
JUDGED = "mean@20/week"
"""The mean over the types that exist, by which the best decay is named."""


def fit_lists(
    arrays: TrainingArrays, config: TopSellersConfig, decays: Sequence[float], options: FitOptions
) -> dict[str, TopSellers]:
    """Top sellers by what is tried: "decay 0.01" and so on, and plain counts."""
    tried = {f"decay {decay:g}": config.model_copy(update={"decay_per_day": decay}) for decay in decays}
    even = {"decay_per_day": 0.0, "type_weights": TypeWeights(clicks=1, carts=1, orders=1)}
    tried[PLAIN] = config.model_copy(update=even)
    return {name: TopSellers.fit(arrays, each, options) for name, each in tried.items()}


def list_places(model: TopSellers, n_items: int) -> Int64s:
    """The place of each item, from 1, in the list that serves each objective; shape (3, n_items + 1).

    Past every size where the list lacks the item, as in the last column, which stands for unknown items.
    """
    places = np.full((len(TYPE_NAMES), n_items + 1), max(SIZES) + 1, np.int64)
    for row, objective in enumerate(TYPE_NAMES):
        items, _ = model.lists[model.list_for(objective)]
        places[row, items[: max(SIZES)]] = np.arange(1, min(len(items), max(SIZES)) + 1)
    return places


def held(sessions: SessionBatch, places: Int64s, end_ts: int) -> tuple[Floats, Floats]:
    """Events held and events that there were, by session, a column a figure of `FIGURES`.

    Args:
        sessions: held-out sessions.
        places: of `list_places`.
        end_ts: the newest training event; what is not later is no part of the next period.
    """
    owner, n = session_of_event(sessions), len(sessions)
    # `UNKNOWN` is -1, which indexes the last column.
    place = places[sessions.types, sessions.items]
    num, den = np.zeros((n, len(FIGURES))), np.zeros((n, len(FIGURES)))
    column = 0
    for length in PERIODS.values():
        within = (sessions.ts > end_ts) & (sessions.ts <= end_ts + length)
        for size in SIZES:
            for kind in range(len(TYPE_NAMES)):
                events = within & (sessions.types == kind)
                den[:, column] = np.bincount(owner[events], minlength=n)
                num[:, column] = np.bincount(owner[events & (place <= size)], minlength=n)
                column += 1
    return num, den


def add_means(figures: dict[str, Floats]) -> None:
    """The mean of the types' shares, for each size and period that there is; of the types that there were."""
    for period in PERIODS:
        for size in SIZES:
            names = [f"{kind}@{size}/{period}" for kind in TYPE_NAMES]
            if figures.keys() >= set(names):
                shares = np.stack([figures[name] for name in names])
                there = ~np.isnan(shares)
                figures[f"mean@{size}/{period}"] = ratio(np.where(there, shares, 0.0).sum(axis=0), there.sum(axis=0))


def best(metrics: Mapping[str, Mapping[Mode, Mapping[str, float | None]]]) -> str | None:
    """What holds most by `JUDGED`, the first tried where several do; None where nothing holds an event of it."""
    found = {name: modes["next"][JUDGED] for name, modes in metrics.items()}
    shares = {name: share for name, share in found.items() if share is not None}
    return max(shares, key=lambda name: shares[name]) if any(shares.values()) else None
