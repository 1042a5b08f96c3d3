from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from nextcart.config import SwapConfig
from nextcart.errors import ArtifactCorrupt
from nextcart.repository import Repository
from nextcart.repository.manifest import Aliases
from nextcart.serving import LiveModel, LiveVersion
from nextcart.serving.problems import Problem
from nextcart.serving.schemas import RecommendRequest
from nextcart.serving.versions import watch
from nextcart.serving.versions.live import RECORDED, place
from nextcart.serving.versions.watch import FollowingModel
from tests.unit.serving.fakes import MODELS, VERSION, Client, FakeRecommender, FakeVocabulary, make_app, make_version

ANSWERING = [
    ("POST", "/v1/recommend"),
    ("POST", "/v1/recommend/batch"),
    ("POST", "/recommend"),
    ("POST", "/v1/bought-together"),
    ("GET", "/v1/top-sellers"),
    ("GET", "/v1/items/1/bought-together"),
    ("GET", "/v1/items/1/similar"),
    ("GET", "/v1/model"),
    ("GET", "/health/ready"),
]


def version() -> LiveVersion:
    return make_version(FakeRecommender(FakeVocabulary("int64"), MODELS))


def test_before_the_model_is_loaded_everything_but_liveness_is_a_503() -> None:
    client = Client(make_app(LiveModel(version)))
    assert client.get("/health/live").json() == {"status": "live"}
    for method, path in ANSWERING:
        response = client.request(method, path, json={} if method == "POST" else None)
        assert response.status_code == 503, path
        assert response.headers["content-type"] == "application/problem+json"
        assert response.headers["retry-after"] == "1"
        assert response.json()["type"] == "urn:nextcart:problem:not-ready"
        assert "being loaded" in response.json()["detail"]


def test_starting_loads_in_the_background_and_readiness_follows() -> None:
    gate = threading.Event()

    def load() -> LiveVersion:
        gate.wait(10)
        return version()

    live = LiveModel(load)
    app = make_app(live)
    client = Client(app)

    async def start_and_stop() -> None:
        async with app.router.lifespan_context(app):
            statuses = [(await client.ask("GET", f"/health/{name}")).status_code for name in ("live", "ready")]
            assert statuses == [200, 503]
            gate.set()
            assert live.wait(10)
            assert (await client.ask("GET", "/health/ready")).json() == {"status": "ready", "model_version": VERSION}
            assert (await client.ask("GET", "/v1/model")).json() == {"version": VERSION}
            assert (await client.ask("POST", "/v1/recommend", json={"events": []})).status_code == 200

    asyncio.run(start_and_stop())


def test_loading_happens_once() -> None:
    loads = []
    live = LiveModel(lambda: loads.append(1) or version())  # type: ignore[func-returns-value]
    live.start()
    live.start()
    assert live.wait(5)
    assert loads == [1]


def test_a_version_that_cannot_be_loaded_leaves_the_process_up_with_the_reason(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def load() -> LiveVersion:
        raise ArtifactCorrupt("item2vec/vectors.npy differs from its manifest; run 'nextcart rollback'")

    live = LiveModel(load)
    live.start()
    assert not live.wait(5)
    client = Client(make_app(live))
    assert client.get("/health/live").status_code == 200
    response = client.get("/health/ready")
    assert response.status_code == 503
    assert response.json()["detail"] == "item2vec/vectors.npy differs from its manifest; run 'nextcart rollback'"
    assert [(record.levelno, record.exc_info) for record in caplog.records] == [(logging.ERROR, None)]
    assert "nextcart rollback" in caplog.text


@pytest.mark.parametrize("error", [PermissionError(13, "Permission denied", "/srv/models/x"), MemoryError()])
def test_the_reason_of_other_failures_stays_in_the_log(caplog: pytest.LogCaptureFixture, error: Exception) -> None:
    def load() -> LiveVersion:
        raise error

    live = LiveModel(load)
    live.start()
    live.wait(5)
    detail = Client(make_app(live)).get("/health/ready").json()["detail"]
    assert detail == "the model could not be loaded; the server's log says why"
    assert len(caplog.records) == 1
    assert caplog.records[0].getMessage().removeprefix("the version cannot be served: ")


def test_a_bug_while_loading_does_not_look_like_loading() -> None:
    def load() -> LiveVersion:
        raise RuntimeError("a bug")

    live = LiveModel(load)
    live.start()
    live.wait(5)
    detail = Client(make_app(live)).get("/health/ready").json()["detail"]
    assert detail == "the model could not be loaded; the server's log says why"


def test_a_session_has_its_place_by_its_typed_id_and_places_are_even() -> None:
    assert place(12) == place(12)
    assert place(12) != place("12")
    # A lone surrogate is text that JSON may bring.
    assert 0 <= place("\ud800") < 2**32
    for ids in (range(20_000), [f"session-{i}" for i in range(20_000)], [str(10**15 + 7 * i) for i in range(20_000)]):
        below = sum(place(each) < 0.1 * 2**32 for each in ids)
        assert 1800 < below < 2200


def named(name: str) -> LiveVersion:
    live = version()
    cast(Any, live.manifest).version = name
    return live


class Shelf:
    """A repository of names; loading one that is broken fails as told."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.broken: dict[str, Exception] = {}
        self.loads: list[str] = []

    def name(self, **aliases: str | None) -> None:
        file = self.root / "aliases.json"
        held = json.loads(file.read_text()) if file.exists() else {}
        (self.root / "beside").write_text(json.dumps({**held, **aliases}))
        (self.root / "beside").replace(file)

    def aliases(self) -> Aliases:
        return Repository(self.root).aliases()

    def load(self, _: object, wanted: str, recorded: list[RecommendRequest], pause: object) -> LiveVersion:
        self.loads.append(wanted)
        if error := self.broken.get(wanted):
            raise error
        return named(wanted)


A, B, C = (f"20261124T02150{number}Z-3fa9c1d2" for number in range(3))


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shelf:
    shelf = Shelf(tmp_path)
    monkeypatch.setattr(watch, "load_version", shelf.load)
    monkeypatch.setattr(watch, "release", lambda _: None)
    shelf.name(production=A)
    return shelf


@pytest.fixture
def following(shelf: Shelf) -> Iterator[Callable[[float], FollowingModel]]:
    begun: list[FollowingModel] = []

    def begin(share: float = 0.0) -> FollowingModel:
        # It looks when it is told to, and never else.
        live = FollowingModel(cast(Repository, shelf), SwapConfig(poll_seconds=1000, candidate_share=share))
        begun.append(live)
        live.start()
        live.wait(5)
        return live

    yield begin
    for live in begun:
        live.stop()


Begin = Callable[..., FollowingModel]


def test_what_is_promoted_answers_and_is_told(shelf: Shelf, following: Begin) -> None:
    live = following()
    told: list[tuple[str, str, str]] = []
    live.on_swap.append(lambda event: told.append((event.alias, event.version, event.outcome)))
    assert live.current.name == A
    shelf.name(production=B)
    asyncio.run(live.reload())
    assert live.current.name == B
    assert told == [("production", B, "live")]
    assert live.refused is None


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (ArtifactCorrupt("x.npy differs from its manifest"), "x.npy differs from its manifest"),
        (OSError(5, "Input/output error"), "the server's log says why"),
        (MemoryError(), "the server's log says why"),
        (IndexError("a bug"), "the server's log says why"),
    ],
)
def test_a_version_that_cannot_be_loaded_is_refused_and_the_old_one_goes_on(
    shelf: Shelf, following: Begin, error: Exception, reason: str
) -> None:
    live = following()
    shelf.broken[B] = error
    shelf.name(production=B)
    asyncio.run(live.reload())
    assert live.current.name == A
    assert live.refused is not None
    assert live.refused.version == B
    assert reason in live.refused.reason
    # Told to, it is tried again; and the alias that goes back ends the refusal.
    asyncio.run(live.reload())
    assert shelf.loads == [A, B, B]
    shelf.name(production=A)
    asyncio.run(live.reload())
    assert live.refused is None
    assert shelf.loads == [A, B, B]


def test_without_an_order_a_refused_version_is_not_tried_again(shelf: Shelf) -> None:
    live = FollowingModel(cast(Repository, shelf), SwapConfig(poll_seconds=0.001))
    shelf.broken[A] = ArtifactCorrupt("x.npy differs from its manifest")
    live.start()
    assert not live.wait(5)
    with pytest.raises(Problem, match="differs"):
        _ = live.current
    shelf.name(production=B)
    for _ in range(500):
        if live.refused is None:
            break
        threading.Event().wait(0.01)
    live.stop()
    assert shelf.loads == [A, B]
    assert live.current.name == B


def test_a_candidate_has_its_share_and_is_not_loaded_again_when_promoted(shelf: Shelf, following: Begin) -> None:
    live = following(0.5)
    assert live.candidate is None
    shelf.name(candidate=B)
    asyncio.run(live.reload())
    assert live.candidate is not None
    assert {live.pick(session).name for session in range(50)} == {A, B}
    assert live.pick(None).name == A
    shelf.name(production=B)
    asyncio.run(live.reload())
    assert live.candidate is None
    assert {live.pick(session).name for session in range(50)} == {B}
    assert shelf.loads == [A, B]
    shelf.name(candidate=C)
    asyncio.run(live.reload())
    shelf.name(candidate=None)
    asyncio.run(live.reload())
    assert {live.pick(session).name for session in range(50)} == {B}


def test_a_candidate_is_left_alone_where_it_has_no_share(shelf: Shelf, following: Begin) -> None:
    shelf.name(candidate=B)
    live = following()
    assert live.candidate is None
    assert shelf.loads == [A]


def test_one_of_many_requests_is_recorded_and_the_newest_are_kept() -> None:
    live = LiveModel(version)
    for limit in range(1, RECORDED * (RECORDED + 2) + 1):
        live.record(RecommendRequest(limit=limit))
    kept = [request.limit for request in live._recorded]
    assert len(kept) == RECORDED
    assert kept[0] == 1 + 2 * RECORDED
    assert kept[1] == 1 + 3 * RECORDED
