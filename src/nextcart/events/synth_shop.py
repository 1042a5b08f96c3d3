"""The shop behind `synth`: its catalogue, and the walk of a visitor through it, many sessions at once.

Items live in aisles. Each item has a few *successors* in its own aisle (what people look at next) and a few
*complements* in a partner aisle (what they put into the cart beside it). Popularity is log-normal over aisles and over
the items of an aisle, which gives the long tail of a real shop; every week a campaign lifts some aisles.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nextcart.types import EventType, Int32s, Int64s, UInt8s

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

ITEMS_PER_AISLE, AISLE_FLOOR, AISLE_LIMIT = 60, 0.15, 0.04
AISLE_SIGMA, ITEM_SIGMA, CAMPAIGN_SIGMA = 1.8, 0.8, 0.4
"""Standard deviations of log popularity: of aisles, of items in an aisle, and of an aisle from week to week."""

SUCCESSOR_SHARES = np.array([0.5, 0.8, 0.93])
"""Cumulative probabilities of an item's first, second and third successor; the fourth has the rest."""
COMPLEMENTS = 3

REPEAT, SUCCESSOR, COMPLEMENT, AISLE = 0.135, 0.38, 0.06, 0.16
"""Shares of a click's ways to its item; the rest enters any aisle by popularity."""
COMPLEMENT_AFTER_CART = 0.40
"""Probability that the click after a cart goes to a complement."""
RECENT_SHARE = 0.35
"""Parameter of the geometric look-back of a repeated item."""
CART, CART_COMPLEMENT, CART_SIGMA, CART_MAX = 0.097, 0.30, 0.9, 0.5
"""Probability of a cart after a click, after a click on a complement, its spread over sessions, and its limit."""
CHECKOUT = 0.098
"""Probability, after a cart, that the whole basket is ordered; else it waits for the next cart."""


@dataclass(frozen=True, slots=True)
class Shelves:
    """Items by aisle, with their popularity; item ``i`` of aisle ``a`` lies in ``bounds[a]`` to ``bounds[a + 1]``.

    Attributes:
        bounds: int64, shape (n_aisles + 1,), first item of each aisle; an even number of aisles.
        popularity: float64, shape (n_items + 1,), cumulative popularity, starts at 0.
        campaigns: float64, shape (n_weeks * n_aisles,), week + cumulative share of the aisles in that week.
    """

    bounds: Int64s
    popularity: Floats
    campaigns: Floats

    @classmethod
    def draw(cls, n_items: int, n_weeks: int, rng: np.random.Generator) -> Shelves:
        """Draw the popularity of aisles, items and campaigns."""
        n_aisles = max(2, n_items // (2 * ITEMS_PER_AISLE) * 2)
        bounds = np.linspace(0, n_items, n_aisles + 1).astype(np.int64)
        # Sorted, so that partner aisles (2a, 2a + 1) are about equally popular and feed each other evenly.
        aisles = np.sort(rng.lognormal(0.0, AISLE_SIGMA, n_aisles)) + AISLE_FLOOR
        # In a small shop one aisle could else hold most of the traffic, and top sellers would be hard to beat.
        aisles = np.minimum(aisles, aisles.sum() * max(AISLE_LIMIT, 3 / n_aisles))
        weights = rng.lognormal(0.0, ITEM_SIGMA, n_items)
        weights *= np.repeat(aisles / np.add.reduceat(weights, bounds[:-1]), np.diff(bounds))
        popularity = np.concatenate([[0.0], np.cumsum(weights)])
        weekly = np.cumsum(aisles * rng.lognormal(0.0, CAMPAIGN_SIGMA, (n_weeks, n_aisles)), axis=1)
        return cls(bounds, popularity, (weekly / weekly[:, -1:] + np.arange(n_weeks)[:, None]).ravel())

    def aisle_of(self, items: Int64s | Int32s) -> Int64s:
        """The aisle of each item."""
        return np.searchsorted(self.bounds, items, side="right") - 1

    def in_aisle(self, aisles: Int64s, rng: np.random.Generator) -> Int32s:
        """An item of each aisle, by popularity."""
        low, high = self.bounds[aisles], self.bounds[aisles + 1]
        base = self.popularity[low]
        target = base + rng.random(len(aisles)) * (self.popularity[high] - base)
        # Rounding may put the target on the edge of the aisle, hence the clip.
        return np.clip(np.searchsorted(self.popularity, target, side="right") - 1, low, high - 1).astype(np.int32)

    def anywhere(self, weeks: Int64s, rng: np.random.Generator) -> Int32s:
        """An item of the whole shop, by popularity in the given week."""
        n_aisles = len(self.bounds) - 1
        place = np.searchsorted(self.campaigns, weeks + rng.random(len(weeks)), side="right")
        return self.in_aisle(np.minimum(place, (weeks + 1) * n_aisles - 1) - weeks * n_aisles, rng)


@dataclass(frozen=True, slots=True)
class Shop:
    """The catalogue of a synthetic shop.

    Attributes:
        shelves: the items by aisle.
        successors: int32, shape (n_items, 4), most likely first, all of the item's aisle.
        complements: int32, shape (n_items, COMPLEMENTS), all of the partner aisle.
        aids: int64, shape (n_items,), the public id of each item, which tells nothing of aisle or popularity.
    """

    shelves: Shelves
    successors: Int32s
    complements: Int32s
    aids: Int64s

    @classmethod
    def build(cls, n_items: int, n_weeks: int, rng: np.random.Generator) -> Shop:
        """Draw a catalogue of `n_items` items (at least 8) whose campaigns last `n_weeks` weeks."""
        shelves = Shelves.draw(n_items, n_weeks, rng)
        items = np.arange(n_items)
        aisle = shelves.aisle_of(items)
        successors = np.stack([shelves.in_aisle(aisle, rng) for _ in range(4)], axis=1)
        following = np.where(items + 1 < shelves.bounds[aisle + 1], items + 1, shelves.bounds[aisle]).astype(np.int32)
        successors = np.where(successors == items[:, None], following[:, None], successors)
        complements = np.stack([shelves.in_aisle(aisle ^ 1, rng) for _ in range(COMPLEMENTS)], axis=1)
        return cls(shelves, successors, complements, rng.permutation(n_items))

    def __len__(self) -> int:
        return len(self.aids)


@dataclass(frozen=True, slots=True)
class Walk:
    """What the visitors of some sessions did, session after session, without times.

    Attributes:
        offsets: int64, shape (n_sessions + 1,).
        items: int32, shape (n_events,), rows of the `Shop`.
        types: uint8, shape (n_events,), see `EventType`.
    """

    offsets: Int64s
    items: Int32s
    types: UInt8s


def walk(shop: Shop, lengths: Int64s, weeks: Int64s, rng: np.random.Generator) -> Walk:
    """Walk through the shop, one event of every session at a time.

    Args:
        shop: the catalogue.
        lengths: int64, shape (n_sessions,), events of each session, **never ascending**: the sessions that still go
            on are then always the first ones, and each step works on plain slices.
        weeks: int64, shape (n_sessions,), the week whose campaign a session sees.
        rng: the source of all chance.
    """
    steps = _Steps(shop, lengths, weeks, rng)
    steps.first()
    active = np.searchsorted(-lengths, -np.arange(1, lengths[0]), side="left")
    for step, n_active in enumerate(active, start=1):
        steps.advance(step, int(n_active))
    _drop_double_orders(steps.items, steps.types)
    return Walk(steps.offsets, steps.items, steps.types)


def _drop_double_orders(items: Int32s, types: UInt8s) -> None:
    """Make a click of every further order of an item within one checkout, whose orders would else be equal events."""
    orders = np.flatnonzero(types == EventType.ORDERS)
    checkout = np.cumsum(np.diff(orders, prepend=-1) != 1)
    _, first = np.unique(np.stack([checkout, items[orders]]), axis=1, return_index=True)
    types[np.delete(orders, first)] = EventType.CLICKS


class _Steps:
    """The state of a walk: what was seen so far, and each session's basket."""

    def __init__(self, shop: Shop, lengths: Int64s, weeks: Int64s, rng: np.random.Generator) -> None:
        n, total = len(lengths), int(lengths.sum())
        self.shop, self.weeks, self.rng = shop, weeks, rng
        self.offsets: Int64s = np.concatenate([[0], np.cumsum(lengths)])
        self.items: Int32s = np.zeros(total, np.int32)
        self.types: UInt8s = np.zeros(total, np.uint8)
        self.carted: Int32s = np.zeros(total, np.int32)
        self.n_carted: Int64s = np.zeros(n, np.int64)
        self.n_ordered: Int64s = np.zeros(n, np.int64)
        self.ordering: Bools = np.zeros(n, np.bool_)
        self.item: Int32s = np.zeros(n, np.int32)
        self.type: UInt8s = np.zeros(n, np.uint8)
        self.on_complement: Bools = np.zeros(n, np.bool_)
        # The mean of the log-normal is taken out, so that CART stays the mean probability.
        self.eagerness: Floats = rng.lognormal(-(CART_SIGMA**2) / 2, CART_SIGMA, n)

    def first(self) -> None:
        """The click that opens each session."""
        self.item = self.shop.shelves.anywhere(self.weeks, self.rng)
        self.items[self.offsets[:-1]] = self.item

    def advance(self, step: int, n: int) -> None:
        """Event number `step` of the first `n` sessions."""
        chance = self.rng.random(n)
        last = self.type[:n]
        ordering = self.ordering[:n] | ((last == EventType.CARTS) & (chance < CHECKOUT))
        cart_chance = np.where(self.on_complement[:n], CART_COMPLEMENT, CART) * self.eagerness[:n]
        carting = ~ordering & (last == EventType.CLICKS) & (chance < np.minimum(cart_chance, CART_MAX))
        clicking = np.flatnonzero(~(ordering | carting))
        ordering, carting = np.flatnonzero(ordering), np.flatnonzero(carting)
        self._click(clicking, step)
        self._cart(carting)
        self._order(ordering)
        place = self.offsets[:n] + step
        self.items[place] = self.item[:n]
        self.types[place] = self.type[:n]

    def _cart(self, sessions: Int64s) -> None:
        self.carted[self.offsets[sessions] + self.n_carted[sessions]] = self.item[sessions]
        self.n_carted[sessions] += 1
        self.type[sessions] = EventType.CARTS

    def _order(self, sessions: Int64s) -> None:
        """The next item of the basket; the checkout ends with the basket."""
        self.item[sessions] = self.carted[self.offsets[sessions] + self.n_ordered[sessions]]
        self.n_ordered[sessions] += 1
        self.ordering[sessions] = self.n_ordered[sessions] < self.n_carted[sessions]
        self.type[sessions] = EventType.ORDERS

    def _click(self, sessions: Int64s, step: int) -> None:
        """A click: on an item seen before, a successor, a complement, the same aisle, or anything."""
        rng, shop = self.rng, self.shop
        item = self.item[sessions]
        way = np.searchsorted(np.cumsum([REPEAT, SUCCESSOR, COMPLEMENT, AISLE]), rng.random(len(sessions)))
        after_cart = self.type[sessions] == EventType.CARTS
        way[after_cart & (rng.random(len(sessions)) < COMPLEMENT_AFTER_CART)] = 2
        back, along, across, near, away = (np.flatnonzero(way == number) for number in range(5))

        look_back = np.minimum(rng.geometric(RECENT_SHARE, len(back)), step)
        seen = self.items[self.offsets[sessions[back]] + step - look_back]
        chosen = np.searchsorted(SUCCESSOR_SHARES, rng.random(len(along)))
        item[along] = shop.successors[item[along], chosen]
        item[across] = shop.complements[item[across], rng.integers(0, COMPLEMENTS, len(across))]
        item[near] = shop.shelves.in_aisle(shop.shelves.aisle_of(item[near]), rng)
        item[away] = shop.shelves.anywhere(self.weeks[sessions[away]], rng)
        item[back] = seen
        self.item[sessions] = item
        self.type[sessions] = EventType.CLICKS
        self.on_complement[sessions] = after_cart & (way == 2)
