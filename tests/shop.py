"""A small seeded shop: items in clusters, sessions that stay within one, rows by popularity."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nextcart.models.model import TrainingArrays
from nextcart.models.vocabulary import Vocabulary
from nextcart.types import UNKNOWN, ItemLists, SessionBatch
from tests.naive import CARTS, HOUR_MS, ORDERS, Event, batch_of

NEWEST_TS = 1_764_000_000_000


@dataclass(frozen=True)
class Shop:
    """A catalogue, what is learned from, what is asked, and the cluster of each row."""

    vocabulary: Vocabulary
    arrays: TrainingArrays
    asking: SessionBatch
    clusters: np.ndarray


def make_shop(seed: int = 7, *, clusters: int = 8, items: int = 200, sessions: int = 700) -> Shop:
    """Sessions of 1 to 12 events: most of one cluster, popular items more often, a tenth carts or orders."""
    random = np.random.default_rng(seed)
    draws = [_session(random, clusters, items) for _ in range(sessions)]
    counts = np.bincount([item for session in draws for item, _, _ in session], minlength=items)
    order = np.lexsort((np.arange(items), -counts))[: np.count_nonzero(counts)]
    row = np.full(items, UNKNOWN)
    row[order] = np.arange(len(order))
    learned = [[Event(int(row[item]), ts, kind) for item, ts, kind in session] for session in draws]
    vocabulary = Vocabulary("int64", 1000 + 7 * order.astype(np.int64), counts[order])
    arrays = TrainingArrays(batch_of(learned), vocabulary.counts)
    return Shop(vocabulary, arrays, _asking(random, learned, len(order)), order % clusters)


def _session(random: np.random.Generator, clusters: int, items: int) -> list[tuple[int, int, int]]:
    cluster, length = random.integers(clusters), random.integers(1, 13)
    ts = NEWEST_TS - int(random.integers(20 * 24 * HOUR_MS))
    events = []
    for _ in range(length):
        place = min(int(random.exponential(items / clusters / 4)), items // clusters - 1)
        item = place * clusters + int(cluster if random.random() < 0.95 else random.integers(clusters))
        kind = int(random.choice([0, CARTS, ORDERS], p=[0.8, 0.12, 0.08]))
        events.append((item, ts, kind))
        ts += int(random.choice([0, 30_000, HOUR_MS, 7 * HOUR_MS], p=[0.05, 0.8, 0.1, 0.05]))
    return events


def _asking(random: np.random.Generator, learned: list[list[Event]], n_items: int) -> SessionBatch:
    """Every kind of session: empty, unknown, of one event, with a cart at the end, long, of rare items, of any."""
    rare = n_items - 1
    special = [
        [],
        [Event(UNKNOWN)],
        [Event(UNKNOWN), Event(UNKNOWN, 5, ORDERS)],
        [Event(0)],
        [Event(rare)],
        [Event(rare), Event(rare, 1), Event(rare, 2)],
        [Event(3), Event(UNKNOWN, 1), Event(5, 2, CARTS)],
        [Event(1, i) for i in range(4)],
        [Event(int(item), i, i % 3) for i, item in enumerate(random.integers(-1, n_items, 300))],
        [],
    ]
    return batch_of([*special, *learned[:20]])


def lists_of(*lists: list[int]) -> ItemLists:
    """Lists of rows, one a session."""
    return ItemLists(
        np.cumsum([0, *map(len, lists)], dtype=np.int64), np.array([row for each in lists for row in each], np.int32)
    )
