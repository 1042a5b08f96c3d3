"""A small shop behind the real application: every score is told in advance, and nothing is compiled."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import httpx
import numpy as np

from nextcart.config import ServingConfig, Settings
from nextcart.models.recommender import FALLBACKS, Answer, Recommender
from nextcart.serving import LiveModel, LiveVersion, Services, create_app, open_services
from nextcart.serving.app import Api
from nextcart.types import UNKNOWN, Id, IdType, ItemLists, Ranked, SessionBatch, Source

VERSION = "20261124T021500Z-3fa9c1d2"
N_ITEMS = 12


class FakeVocabulary:
    """Items 100, 101, … or "sku/0", "sku/1", …, by row."""

    def __init__(self, id_type: IdType) -> None:
        self.id_type = id_type
        self._ids: list[Id] = [100 + row if id_type == "int64" else f"sku/{row}" for row in range(N_ITEMS)]
        self._rows = {aid: row for row, aid in enumerate(self._ids)}

    def __len__(self) -> int:
        return N_ITEMS

    def rows(self, ids: Sequence[Id]) -> np.ndarray:
        return np.array([self._rows.get(aid, UNKNOWN) for aid in ids], np.int32)

    def ids(self, rows: np.ndarray) -> list[Id]:
        return [self._ids[row] for row in rows]


def listed(lists: ItemLists | None, i: int) -> set[int]:
    return set() if lists is None else set(lists.items[lists.offsets[i] : lists.offsets[i + 1]].tolist())


def ranked(lists: Sequence[Sequence[int]], k: int, source: Source, top: float) -> Ranked:
    """Rows with the scores top, top - 1, …, padded to k."""
    items = np.full((len(lists), k), UNKNOWN, np.int32)
    scores, sources = np.zeros((len(lists), k), np.float32), np.zeros((len(lists), k), np.uint8)
    for i, rows in enumerate(lists):
        n = min(k, len(rows))
        items[i, :n] = rows[:n]
        scores[i, :n] = top - np.arange(n)
        sources[i, :n] = source
    return Ranked(items, scores, sources)


class FakeRecommender:
    """A session's list is the rows after its last known item, going round; its last row has no complements."""

    default_model = "hybrid"

    def __init__(self, vocabulary: FakeVocabulary, models: Sequence[str]) -> None:
        self.vocabulary = vocabulary
        self.models = dict.fromkeys(models)
        self.calls: list[tuple[Any, ...]] = []

    def recommend(self, sessions: SessionBatch, k: int, *, model, objective, mode, exclude, allow, **wishes) -> Answer:
        self.calls.append((len(sessions), k, model, objective, mode, allow is None))
        lists, reasons = [], []
        for i in range(len(sessions)):
            events = sessions.items[sessions.offsets[i] : sessions.offsets[i + 1]]
            known = events[events != UNKNOWN].tolist()
            reasons.append("empty_session" if not len(events) else "unknown_items" if not known else None)
            start = known[-1] + 1 if known else 0
            banned = listed(exclude, i) | (set(known) if mode == "discover" else set())
            order = [(start + step) % N_ITEMS for step in range(N_ITEMS)]
            lists.append([row for row in order if row not in banned and (allow is None or row in listed(allow, i))])
        numbers = np.array([FALLBACKS.index(reason) for reason in reasons], np.uint8)
        return Answer(ranked(lists, k, Source.COVISITATION | Source.ITEM2VEC, 50.0), numbers)

    def explain(self, sessions: SessionBatch, answer: Ranked) -> np.ndarray:
        """The last event brought all."""
        return np.repeat(np.diff(sessions.offsets)[:, None] - 1, answer.items.shape[1], axis=1)

    def top_sellers(self, k: int, *, objective=None, exclude=None, rules=None) -> Ranked:
        self.calls.append(("top_sellers", objective))
        return self._all_but(exclude, k, Source.TOP_SELLERS, 1000.0)

    def similar(self, row: int, k: int, *, model, exclude=None, rules=None) -> Ranked:
        self.calls.append(("similar", row, model))
        if row == N_ITEMS - 1:
            return ranked([[]], k, Source.ITEM2VEC, 0.0)
        return self._all_but(np.append(exclude, row), k, Source.ITEM2VEC, 5.0)

    def bought_together(self, basket: np.ndarray, k: int, *, exclude=None, rules=None) -> Ranked:
        self.calls.append(("bought_together", basket.tolist()))
        if basket.tolist() == [N_ITEMS - 1]:
            return ranked([[]], k, Source.BOUGHT_TOGETHER, 0.0)
        return self._all_but(np.append(exclude, basket), k, Source.BOUGHT_TOGETHER, 3.0)

    def _all_but(self, banned: np.ndarray | None, k: int, source: Source, top: float) -> Ranked:
        out = set() if banned is None else set(banned.tolist())
        return ranked([[row for row in range(N_ITEMS) if row not in out]], k, source, top)


@dataclass
class Client:
    """Asks an application without a socket."""

    app: Api

    async def ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        transport = httpx.ASGITransport(self.app, raise_app_exceptions=False)
        async with httpx.AsyncClient(transport=transport, base_url="http://shop.test") as client:
            return await client.request(method, path, **options)

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        return asyncio.run(self.ask(method, path, **options))

    def as_shop(self, method: str, path: str, **options: Any) -> httpx.Response:
        return self.request(method, path, headers={"authorization": "Bearer " + "s" * 16}, **options)

    def as_operator(self, method: str, path: str, **options: Any) -> httpx.Response:
        return self.request(method, path, headers={"x-api-key": "o" * 16}, **options)

    def get(self, path: str, **params: Any) -> httpx.Response:
        return self.request("GET", path, params=params)

    def post(self, path: str, body: Any) -> httpx.Response:
        return self.request("POST", path, json=body)


@dataclass
class Shop:
    """An application that is ready, and the fake behind it."""

    recommender: FakeRecommender
    client: Client
    services: Services


MODELS = ("top_sellers", "covisitation", "bought_together", "item2vec", "hybrid")
NOWHERE = ServingConfig(state=Path("/nonexistent/nextcart"))
CONFIG = NOWHERE.model_copy(
    update={"max_limit": 50, "max_events": 10, "max_batch": 4, "max_listed_items": 6, "max_body_bytes": 4000}
)


OPEN = f"shop:read+events:{'s' * 16},operator:admin:{'o' * 16}"
"""NEXTCART_API_KEYS for `Client.as_shop` and `Client.as_operator`."""


def make_shop(
    id_type: IdType = "int64", models: Sequence[str] = MODELS, state: Path = Path("/nonexistent/nextcart")
) -> Shop:
    """A shop whose version is loaded."""
    recommender = FakeRecommender(FakeVocabulary(id_type), models)
    version = make_version(recommender)
    live = LiveModel(lambda: version)
    live.start()
    assert live.wait(5)
    services = make_services(live, CONFIG.model_copy(update={"state": state}))
    return Shop(recommender, Client(create_app(services)), services)


def make_version(recommender: FakeRecommender) -> LiveVersion:
    """A version with as much of a manifest as the service reads."""
    manifest = SimpleNamespace(
        version=VERSION,
        data=SimpleNamespace(session_type="int64", aid_type=recommender.vocabulary.id_type),
        model_dump_json=lambda: '{"version":"' + VERSION + '"}',
    )
    return LiveVersion(cast(Any, manifest), cast(Recommender, recommender))


def make_services(live: LiveModel, config: ServingConfig = NOWHERE) -> Services:
    """Services that have no state before the first event."""
    return open_services(Settings(serving=config), live)


def make_app(live: LiveModel) -> Api:
    """The application on such services."""
    return create_app(make_services(live))


def clicks(*aids: Id) -> list[dict[str, Any]]:
    """Events a second apart."""
    return [{"aid": aid, "ts": 1_661_724_000_000 + 1000 * i, "type": "clicks"} for i, aid in enumerate(aids)]
