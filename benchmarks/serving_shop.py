"""A shop of random tables at OTTO's size, published as a version, and the bodies of requests to it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from nextcart.config import CovisitationConfig, HybridConfig, Item2vecConfig, TopSellersConfig
from nextcart.models.covisitation import Covisitation
from nextcart.models.hybrid import Hybrid
from nextcart.models.item2vec import Item2vec
from nextcart.models.model import frozen
from nextcart.models.neighbour_lists import NeighbourLists
from nextcart.models.recommender import Recommender
from nextcart.models.top_sellers import TopSellers
from nextcart.models.vocabulary import Vocabulary
from nextcart.repository.manifest import DataFacts, VersionDraft
from nextcart.repository.repository import Repository
from nextcart.types import TYPE_NAMES

WIDTH, DIM = 40, 32
START_MS = 1_661_700_000_000


def publish(root: Path, n_items: int, seed: int = 1) -> str:
    """The id of a version of `random_shop` in production."""
    data = DataFacts(
        fingerprint="0" * 64,
        split="train",
        sessions=1,
        events=n_items,
        items=n_items,
        first_ts=START_MS,
        last_ts=START_MS,
        session_type="int64",
        aid_type="int64",
    )
    draft = VersionDraft(code_version="benchmark", config={}, data=data)
    repository = Repository(root)
    version = repository.publish(random_shop(n_items, seed).save, draft).version
    repository.promote()
    return version


def random_shop(n_items: int, seed: int) -> Recommender:
    """A hybrid over lists of `WIDTH` neighbours; popular items are neighbours of many, as in a real shop."""
    random = np.random.default_rng(seed)
    ids = random.permutation(2 * n_items)[:n_items].astype(np.int64)
    counts = np.sort(random.zipf(1.5, n_items).clip(1, 10**6))[::-1].astype(np.int64)
    top = {name: _top(random, n_items) for name in ("overall", *TYPE_NAMES)}
    vectors = random.standard_normal((n_items, DIM), np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    covisitation = Covisitation(CovisitationConfig(matrices={}), {"main": _lists(random, n_items)})
    item2vec = Item2vec(Item2vecConfig(), frozen(vectors), _lists(random, n_items))
    top_sellers = TopSellers(TopSellersConfig(), top)
    models = {
        "top_sellers": top_sellers,
        "covisitation": covisitation,
        "item2vec": item2vec,
        "hybrid": Hybrid(HybridConfig(), covisitation, item2vec, top_sellers),
    }
    return Recommender(Vocabulary("int64", ids, counts), models)


def bodies(n_items: int, n: int, seed: int = 2) -> Iterator[str]:
    """JSON bodies of 1 to 20 events, of `random_shop` with seed 1; popular items come more often."""
    ids = np.random.default_rng(1).permutation(2 * n_items)[:n_items].astype(np.int64)
    random = np.random.default_rng(seed)
    for _ in range(n):
        size = int(random.integers(1, 21))
        aids = ids[(n_items * random.random(size) ** 3).astype(np.int64)].tolist()
        times = (START_MS + np.cumsum(random.integers(1000, 100_000, size))).tolist()
        types = [TYPE_NAMES[kind] for kind in random.choice(3, size, p=[0.9, 0.075, 0.025])]
        events = [{"aid": aid, "ts": ts, "type": kind} for aid, ts, kind in zip(aids, times, types, strict=True)]
        yield json.dumps({"events": events, "limit": 20}, separators=(",", ":"))


def _lists(random: np.random.Generator, n_items: int) -> NeighbourLists:
    offsets = np.arange(n_items + 1, dtype=np.int64) * WIDTH
    items = (n_items * random.random(n_items * WIDTH, np.float32).astype(np.float64) ** 2).astype(np.int32)
    weights = np.sort(random.random((n_items, WIDTH), np.float32), axis=1)[:, ::-1]
    return NeighbourLists(frozen(offsets), frozen(items.clip(0, n_items - 1)), frozen(weights.ravel()))


def _top(random: np.random.Generator, n_items: int) -> tuple[np.ndarray, np.ndarray]:
    size = min(10_000, n_items)
    scores = np.sort(random.random(size, np.float32))[::-1]
    return frozen(random.permutation(size).astype(np.int32)), frozen(scores)
