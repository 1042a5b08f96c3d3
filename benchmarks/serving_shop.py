"""A shop of random tables at OTTO's size, published as versions that differ in their tables alone."""

from __future__ import annotations

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


def shop(root: Path, n_items: int, n_versions: int) -> Repository:
    """A repository that holds so many versions of the shop, and has one in production; what is there is taken as it is.

    Raises:
        SystemExit: it holds a shop of another size.
    """
    repository = Repository(root)
    held = repository.versions() if root.is_dir() else []
    if any(manifest.data.items != n_items for manifest in held):
        raise SystemExit(f"{root}: holds a shop of another size; name another folder or give its --items")
    for seed in range(len(held), n_versions):
        _publish(repository, n_items, seed)
        if seed == 0:
            repository.promote()
    return repository


def _publish(repository: Repository, n_items: int, seed: int) -> None:
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
    repository.publish(random_shop(n_items, seed).save, draft)


def random_shop(n_items: int, seed: int) -> Recommender:
    """A hybrid over lists of `WIDTH` neighbours; popular items are neighbours of many, as in a real shop."""
    random = np.random.default_rng(seed)
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
    return Recommender(Vocabulary("int64", shop_ids(n_items), counts), models)


def shop_ids(n_items: int) -> np.ndarray:
    """The items of every shop of this size, by falling frequency."""
    return np.random.default_rng(1).permutation(2 * n_items)[:n_items].astype(np.int64)


def _lists(random: np.random.Generator, n_items: int) -> NeighbourLists:
    offsets = np.arange(n_items + 1, dtype=np.int64) * WIDTH
    items = (n_items * random.random(n_items * WIDTH, np.float32).astype(np.float64) ** 2).astype(np.int32)
    weights = np.sort(random.random((n_items, WIDTH), np.float32), axis=1)[:, ::-1]
    return NeighbourLists(frozen(offsets), frozen(items.clip(0, n_items - 1)), frozen(weights.ravel()))


def _top(random: np.random.Generator, n_items: int) -> tuple[np.ndarray, np.ndarray]:
    size = min(10_000, n_items)
    scores = np.sort(random.random(size, np.float32))[::-1]
    return frozen(random.permutation(size).astype(np.int32)), frozen(scores)
