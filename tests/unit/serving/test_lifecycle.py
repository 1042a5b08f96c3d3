from __future__ import annotations

import asyncio
import logging
import threading
from types import SimpleNamespace
from typing import Any, cast

import pytest

from nextcart.config import ServingConfig
from nextcart.errors import ArtifactCorrupt
from nextcart.serving import LiveModel, LiveVersion, create_app
from tests.unit.serving.fakes import MODELS, VERSION, Client, FakeRecommender, FakeVocabulary

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
    manifest = SimpleNamespace(version=VERSION, model_dump_json=lambda: '{"version":"' + VERSION + '"}')
    return LiveVersion(cast(Any, manifest), cast(Any, FakeRecommender(FakeVocabulary("int64"), MODELS)))


def test_before_the_model_is_loaded_everything_but_liveness_is_a_503() -> None:
    client = Client(create_app(LiveModel(version), ServingConfig()))
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
    app = create_app(live, ServingConfig())
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
    client = Client(create_app(live, ServingConfig()))
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
    detail = Client(create_app(live, ServingConfig())).get("/health/ready").json()["detail"]
    assert detail == "the model could not be loaded; the server's log says why"
    assert len(caplog.records) == 1
    assert caplog.records[0].getMessage().removeprefix("no version is served: ")


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_bug_while_loading_does_not_look_like_loading() -> None:
    def load() -> LiveVersion:
        raise RuntimeError("a bug")

    live = LiveModel(load)
    live.start()
    live.wait(5)
    detail = Client(create_app(live, ServingConfig())).get("/health/ready").json()["detail"]
    assert detail == "the model could not be loaded; the server's log says why"
