"""The walk of visitors through the synthetic shop, many sessions at once: what they click, cart and order."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from nextcart.events.synth_shop import Shop
from nextcart.types import EventType, Int32s, Int64s, UInt8s

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

REPEAT, SUCCESSOR, COMPLEMENT, AISLE = 0.245, 0.36, 0.06, 0.12
"""Shares of a click's ways to its item; the rest enters any aisle by popularity."""
COMPLEMENT_AFTER_CART = 0.40
"""Probability that the click after a cart goes to a complement."""
RECENT_SHARE = 0.35
"""Parameter of the geometric look-back of a repeated item."""
CART, CART_AGAIN, CART_COMPLEMENT, CART_SIGMA, CART_MAX = 0.068, 0.150, 0.30, 1.2, 0.6
"""Probability of a cart after a click: of a session's first, of a further one, and after a click on a complement; their
spread over sessions, and their limit."""
CHECKOUT, CHECKOUT_AGAIN, CHECKOUT_ITEMS = 0.21, 0.067, 5
"""Probability, after a cart, of a session's first checkout and of a further one, and how many items it orders at most:
the newest of the basket."""


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
        lengths: int64, shape (n_sessions,), events of each session.
        weeks: int64, shape (n_sessions,), the week whose campaign a session sees.
        rng: the source of all chance.
    """
    # The longest first: the sessions that still go on are then always the first ones, and a step works on plain slices.
    order = np.argsort(-lengths, kind="stable")
    steps = _Steps(shop, lengths[order], weeks[order], rng)
    steps.first()
    active = np.searchsorted(-lengths[order], -np.arange(1, lengths.max()), side="left")
    for step, n_active in enumerate(active, start=1):
        steps.advance(step, int(n_active))
    _drop_double_orders(steps.items, steps.types)
    return _in_order(Walk(steps.offsets, steps.items, steps.types), order)


def _drop_double_orders(items: Int32s, types: UInt8s) -> None:
    """Make a click of every further order of an item within one checkout, whose orders would else be equal events."""
    orders = np.flatnonzero(types == EventType.ORDERS)
    checkout = np.cumsum(np.diff(orders, prepend=-1) != 1)
    _, first = np.unique(np.stack([checkout, items[orders]]), axis=1, return_index=True)
    types[np.delete(orders, first)] = EventType.CLICKS


def _in_order(walked: Walk, order: Int64s) -> Walk:
    """The walk with session ``i`` put at ``order[i]``."""
    lengths = np.diff(walked.offsets)
    place = np.argsort(order)
    offsets = np.concatenate([[0], np.cumsum(lengths[place])])
    take = np.repeat(walked.offsets[place] - offsets[:-1], lengths[place]) + np.arange(offsets[-1])
    return Walk(offsets, walked.items[take], walked.types[take])


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
        self.n_settled: Int64s = np.zeros(n, np.int64)
        self.ordering: Bools = np.zeros(n, np.bool_)
        self.ordered: Bools = np.zeros(n, np.bool_)
        self.item: Int32s = np.zeros(n, np.int32)
        self.type: UInt8s = np.zeros(n, np.uint8)
        self.on_complement: Bools = np.zeros(n, np.bool_)
        # The mean of the log-normal is taken out, so that CART stays the mean probability.
        self.eagerness: Floats = rng.lognormal(-(CART_SIGMA**2) / 2, CART_SIGMA, n)

    def first(self) -> None:
        """The click that opens each session."""
        self.item = self.shop.anywhere(self.weeks, self.rng)
        self.items[self.offsets[:-1]] = self.item

    def advance(self, step: int, n: int) -> None:
        """Event number `step` of the first `n` sessions."""
        chance = self.rng.random(n)
        last = self.type[:n]
        checkout = np.where(self.ordered[:n], CHECKOUT_AGAIN, CHECKOUT)
        starting = ~self.ordering[:n] & (last == EventType.CARTS) & (chance < checkout)
        cart_chance = np.where(self.n_carted[:n] > 0, CART_AGAIN, CART)
        cart_chance[self.on_complement[:n]] = CART_COMPLEMENT
        cart_chance *= self.eagerness[:n]
        ordering = self.ordering[:n] | starting
        carting = ~ordering & (last == EventType.CLICKS) & (chance < np.minimum(cart_chance, CART_MAX))
        clicking = np.flatnonzero(~(ordering | carting))
        starting, ordering, carting = np.flatnonzero(starting), np.flatnonzero(ordering), np.flatnonzero(carting)
        self._click(clicking, step)
        self._cart(carting)
        self._check_out(starting)
        self._order(ordering)
        place = self.offsets[:n] + step
        self.items[place] = self.item[:n]
        self.types[place] = self.type[:n]

    def _cart(self, sessions: Int64s) -> None:
        self.carted[self.offsets[sessions] + self.n_carted[sessions]] = self.item[sessions]
        self.n_carted[sessions] += 1
        self.type[sessions] = EventType.CARTS

    def _check_out(self, sessions: Int64s) -> None:
        """Leave out what an earlier checkout ordered, and the older items of a large basket."""
        self.n_settled[sessions] = np.maximum(self.n_settled[sessions], self.n_carted[sessions] - CHECKOUT_ITEMS)

    def _order(self, sessions: Int64s) -> None:
        """The next item of the basket; the checkout ends with the basket."""
        self.item[sessions] = self.carted[self.offsets[sessions] + self.n_settled[sessions]]
        self.n_settled[sessions] += 1
        self.ordering[sessions] = self.n_settled[sessions] < self.n_carted[sessions]
        self.ordered[sessions] = True
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
        item[back] = self.items[self.offsets[sessions[back]] + step - look_back]
        item[along] = shop.successors(item[along], rng)
        item[across] = shop.complements(item[across], rng)
        item[near] = shop.same_aisle(item[near], rng)
        item[away] = shop.anywhere(self.weeks[sessions[away]], rng)
        self.item[sessions] = item
        self.type[sessions] = EventType.CLICKS
        self.on_complement[sessions] = after_cart & (way == 2)
