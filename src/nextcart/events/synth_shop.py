"""The catalogue behind `synth`: aisles of items laid around a ring, and the moves from an item to another.

Each item owns an arc of its aisle's ring, as long as its popularity. A move turns a point of that arc by a fixed angle,
or carries it to the partner aisle: neither changes how often the points of the ring are met, so however visitors move,
every item keeps the popularity that it was given. A small item leads to one or two *successors* in its aisle and as
many *complements* in the partner aisle, a top seller to many. Every week a campaign lifts some pairs of aisles.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nextcart.events.synth_curves import item_weights
from nextcart.types import Int32s, Int64s

Floats = NDArray[np.float64]

ITEMS_PER_AISLE = 60
LIKENESS = 0.75
"""Correlation between the popularity ranks of an aisle and of its items."""
CAMPAIGN_SIGMA = 0.5
"""Standard deviation of a pair of aisles' log popularity from week to week."""
SUCCESSOR_TURNS = np.array([0.382, 0.236, 0.618, 0.854])
SUCCESSOR_SHARES = np.array([0.55, 0.83, 0.94])
"""Turns from an item to its successors, and their cumulative probabilities; the last turn has the rest."""
COMPLEMENT_TURNS = np.array([0.0, 0.3, 0.7])


@dataclass(frozen=True, slots=True)
class Shop:
    """The catalogue of a synthetic shop. Aisles ``2p`` and ``2p + 1`` are partners.

    Attributes:
        edges: float64, shape (n_items + 1,), where the arc of each item begins: its aisle's number, and behind the
            point the share of the aisle's popularity that lies before it.
        crossing: float64, shape (n_aisles,), probability that a way to the partner aisle is open; with it as many
            visitors go one way as the other, however unlike the partners are.
        campaigns: float64, shape (n_weeks * n_aisles,), week + cumulative share of the aisles in that week.
        aids: int64, shape (n_items,), the public id of each item, which tells nothing of aisle or popularity.
    """

    edges: Floats
    crossing: Floats
    campaigns: Floats
    aids: Int64s

    @classmethod
    def build(cls, n_items: int, n_weeks: int, rng: np.random.Generator) -> Shop:
        """Draw a catalogue of `n_items` items (at least 8) whose campaigns last `n_weeks` weeks."""
        n_aisles = max(2, n_items // (2 * ITEMS_PER_AISLE) * 2)
        bounds = np.linspace(0, n_items, n_aisles + 1).astype(np.int64)
        weights = _laid_out(bounds, rng)
        mass = np.add.reduceat(weights, bounds[:-1])
        before = np.cumsum(weights) - weights
        aisle = np.repeat(np.arange(n_aisles), np.diff(bounds))
        edges = np.append(aisle + np.minimum((before - before[bounds[:-1]][aisle]) / mass[aisle], 1), n_aisles)
        crossing = np.minimum(1, mass[np.arange(n_aisles) ^ 1] / mass)
        return cls(edges, crossing, _campaigns(mass, n_weeks, rng), rng.permutation(n_items))

    def __len__(self) -> int:
        return len(self.aids)

    def anywhere(self, weeks: Int64s, rng: np.random.Generator) -> Int32s:
        """An item of the whole shop, by popularity in the given week."""
        n_aisles = len(self.crossing)
        place = np.searchsorted(self.campaigns, weeks + rng.random(len(weeks)), side="right")
        return self._at(np.minimum(place - weeks * n_aisles, n_aisles - 1) + rng.random(len(weeks)))

    def same_aisle(self, items: Int32s, rng: np.random.Generator) -> Int32s:
        """An item of the same aisle, by popularity."""
        return self._at(np.floor(self.edges[items]) + rng.random(len(items)))

    def successors(self, items: Int32s, rng: np.random.Generator) -> Int32s:
        """An item that is looked at next."""
        chosen = np.searchsorted(SUCCESSOR_SHARES, rng.random(len(items)))
        point = self._points(items, rng)
        aisle = np.floor(point)
        return self._at(aisle + (point - aisle + SUCCESSOR_TURNS[chosen]) % 1)

    def complements(self, items: Int32s, rng: np.random.Generator) -> Int32s:
        """An item of the partner aisle that goes with each item, or of the same aisle where that way is closed."""
        point = self._points(items, rng)
        aisle = point.astype(np.int64)
        turned = (point - aisle + COMPLEMENT_TURNS[rng.integers(0, len(COMPLEMENT_TURNS), len(items))]) % 1
        crosses = rng.random(len(items)) < self.crossing[aisle]
        return self._at(np.where(crosses, aisle ^ 1, aisle) + turned)

    def _points(self, items: Int32s, rng: np.random.Generator) -> Floats:
        """A point on the arc of each item, kept inside its aisle where rounding would carry it out."""
        start, end = self.edges[items], self.edges[items + 1]
        last = np.nextafter(np.floor(start) + 1, 0)
        points: Floats = np.minimum(start + rng.random(len(items)) * (end - start), last)
        return points

    def _at(self, points: Floats) -> Int32s:
        """The item whose arc holds each point."""
        found = np.searchsorted(self.edges, points, side="right") - 1
        return np.minimum(found, len(self) - 1).astype(np.int32)


def _laid_out(bounds: Int64s, rng: np.random.Generator) -> Floats:
    """Popularity of each item: alike within an aisle, and partner aisles about equal."""
    n_aisles, n_items = len(bounds) - 1, int(bounds[-1])
    aisles = np.repeat(np.sort(rng.standard_normal(n_aisles)), np.diff(bounds))
    scores = LIKENESS * aisles + np.sqrt(1 - LIKENESS**2) * rng.standard_normal(n_items)
    weights = np.empty(n_items)
    weights[np.argsort(scores)] = item_weights(n_items)
    return weights


def _campaigns(mass: Floats, n_weeks: int, rng: np.random.Generator) -> Floats:
    """See `Shop.campaigns`; over all weeks a campaign gives an aisle no more than it takes."""
    lift = rng.lognormal(0.0, CAMPAIGN_SIGMA, (n_weeks, len(mass) // 2))
    weekly = np.cumsum(mass * np.repeat(lift / lift.mean(axis=0), 2, axis=1), axis=1)
    shares: Floats = (weekly / weekly[:, -1:] + np.arange(n_weeks)[:, None]).ravel()
    return shares
