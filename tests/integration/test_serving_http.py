"""A version fitted and published by the real classes, served by the real server in a process of its own."""

from __future__ import annotations

import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from nextcart.config import ServingConfig, SessionsConfig, Settings
from nextcart.errors import InputError, VersionMissing
from nextcart.events.schema import Event, Session
from nextcart.models.fitting import MODEL_NAMES
from nextcart.models.received import session_batch
from nextcart.models.recommender import FALLBACKS
from nextcart.serving import serve
from nextcart.types import ItemLists, Source
from tests.published import START, Server, ended, fit, publish, start, stop


@pytest.fixture(scope="module", params=["int64", "string"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    root = tmp_path_factory.mktemp("models")
    recommender = fit(request.param)
    version = publish(recommender, root)
    server = start(root, Settings())
    server.version, server.recommender = version, recommender
    server.wait_until(200)
    yield server
    left = stop(server)
    # Before it was ready it was asked, and told so.
    assert not [line for line in left.splitlines() if "ERROR" in line and "status=503" not in line]
    assert "Traceback" not in left


@pytest.fixture
def client(server: Server) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url) as client:
        yield client


def aid(server: Server, item: int) -> int | str:
    assert server.recommender
    return 1000 + 10 * item if server.recommender.vocabulary.id_type == "int64" else f"SKU/{item:03}"


def session(server: Server, *items: int, types: tuple[str, ...] = ("clicks", "carts")) -> list[dict[str, Any]]:
    return [
        {"aid": aid(server, item), "ts": START + 1000 * i, "type": types[i % len(types)]}
        for i, item in enumerate(items)
    ]


def scored_directly(server: Server, body: dict[str, Any]) -> tuple[list[dict[str, Any]], str | None]:
    """Recommendations and fallback from the published models, asked without the serving room."""
    recommender = server.recommender
    assert recommender
    vocabulary = recommender.vocabulary

    def one_list(ids: list[Any] | None) -> ItemLists | None:
        if ids is None:
            return None
        rows = np.sort(vocabulary.rows(ids))
        rows = rows[rows >= 0]
        return ItemLists(np.array([0, len(rows)], np.int64), rows)

    answer = recommender.recommend(
        session_batch(vocabulary, [Session(0, [Event(**event) for event in body["events"]])]),
        body["limit"],
        model=body.get("model"),
        objective=body.get("objective", "clicks"),
        mode=body.get("mode", "next"),
        exclude=one_list(body.get("exclude")),
        allow=one_list(body.get("allow")),
    )
    n = int((answer.ranked.items[0] >= 0).sum())
    ids, scores = vocabulary.ids(answer.ranked.items[0, :n]), answer.ranked.scores[0, :n].tolist()
    sources = [Source.names(bits) for bits in answer.ranked.sources[0, :n].tolist()]
    items = [{"aid": i, "score": s, "sources": b} for i, s, b in zip(ids, scores, sources, strict=True)]
    return items, FALLBACKS[int(answer.fallback[0])]


def test_the_first_line_says_what_is_served_and_where(server: Server) -> None:
    assert f"serving version {server.version} on {server.url}" in server.first_line


@pytest.mark.parametrize("mode", ["next", "discover"])
@pytest.mark.parametrize("model", [None, *MODEL_NAMES])
def test_what_is_served_is_what_the_models_score(
    server: Server, client: httpx.Client, model: str | None, mode: str
) -> None:
    for objective, items in (("clicks", (3, 4, 5, 4)), ("carts", (0,)), ("orders", (20, 999, 21))):
        body = {
            "events": session(server, *items),
            "limit": 15,
            "model": model,
            "mode": mode,
            "objective": objective,
            "exclude": [aid(server, 6)],
            "explain": True,
        }
        answer = client.post("/v1/recommend", json=body).json()
        given = [{key: item[key] for key in ("aid", "score", "sources")} for item in answer["recommendations"]]
        assert (given, answer["fallback"]) == scored_directly(server, body)
        assert len(answer["recommendations"]) == 15
        assert answer["model_version"] == server.version


def test_a_batch_is_its_requests_one_by_one(server: Server, client: httpx.Client) -> None:
    requests: list[dict[str, Any]] = []
    for place in range(40):
        items = tuple(range(place, place + place % 7))
        body: dict[str, Any] = {
            "session_id": place,
            "events": session(server, *items),
            "limit": 10 + place % 2 * 5,
            "mode": ("next", "discover")[place % 3 == 0],
            "objective": ("clicks", "carts", "orders")[place % 3],
            "exclude": [aid(server, place + 1)] * (place % 4 == 0),
            "explain": True,
        }
        if place % 5 == 0:
            body["allow"] = [aid(server, item) for item in range(place % 30, 60, 3)]
        requests.append(body)
    answers = client.post("/v1/recommend/batch", json={"requests": requests}).json()["responses"]
    for body, answer in zip(requests, answers, strict=True):
        alone = client.post("/v1/recommend", json=body).json()
        for key in ("session_id", "model_version", "recommendations", "fallback"):
            assert answer[key] == alone[key], (body, key)


def test_empty_and_unknown_sessions_get_top_sellers(server: Server, client: httpx.Client) -> None:
    top = client.get("/v1/top-sellers", params={"objective": "clicks", "limit": 5}).json()["recommendations"]
    unknown = [{"aid": value, "ts": START, "type": "clicks"} for value in (5, "x", 2**80)]
    for events, fallback in (([], "empty_session"), (unknown, "unknown_items")):
        answer = client.post("/v1/recommend", json={"events": events, "limit": 5}).json()
        assert answer["fallback"] == fallback
        assert [item["aid"] for item in answer["recommendations"]] == [item["aid"] for item in top]


def test_discover_never_returns_what_the_session_holds(server: Server, client: httpx.Client) -> None:
    events = session(server, *range(10))
    body = {"events": events, "limit": 50, "mode": "discover"}
    found = {item["aid"] for item in client.post("/v1/recommend", json=body).json()["recommendations"]}
    assert len(found) == 50
    assert not found & {event["aid"] for event in events}


def test_allow_restricts_and_plain_route_gives_ids(server: Server, client: httpx.Client) -> None:
    allowed = [aid(server, item) for item in (30, 5, 6)]
    body = {"events": session(server, 3, 4), "limit": 20, "allow": allowed, "exclude": [aid(server, 6)]}
    plain = client.post("/recommend", json=body).json()["recommendations"]
    assert sorted(plain, key=str) == sorted(allowed[:2], key=str)


def test_item_routes_on_the_real_models(server: Server, client: httpx.Client) -> None:
    name = str(aid(server, 5)).replace("/", "%2F")
    neighbours = {}
    for path in ("similar", "similar?model=covisitation", "bought-together"):
        answer = client.get(f"/v1/items/{name}/{path}").json()
        neighbours[path] = [item["aid"] for item in answer["recommendations"]]
        assert answer["fallback"] is None
        assert neighbours[path]
        assert aid(server, 5) not in neighbours[path]
    assert aid(server, 6) in neighbours["similar?model=covisitation"][:2]
    shorter = client.get(f"/v1/items/{name}/bought-together", params={"exclude": neighbours["bought-together"][0]})
    assert [item["aid"] for item in shorter.json()["recommendations"]][:1] == neighbours["bought-together"][1:2]
    basket = client.post("/v1/bought-together", json={"items": [aid(server, 5), aid(server, 6)]}).json()
    assert basket["fallback"] is None
    assert not {aid(server, 5), aid(server, 6)} & {item["aid"] for item in basket["recommendations"]}
    unknown = client.get("/v1/items/77/similar").json()
    assert unknown["fallback"] == "unknown_items"
    assert unknown["recommendations"] == client.get("/v1/top-sellers").json()["recommendations"]


def test_the_live_manifest(server: Server, client: httpx.Client) -> None:
    manifest = client.get("/v1/model").json()
    assert manifest["version"] == server.version
    assert {artifact["name"].split("/")[0] for artifact in manifest["artifacts"]} == {"vocabulary", *MODEL_NAMES}


def test_docs_are_served(client: httpx.Client) -> None:
    assert client.get("/docs").status_code == 200
    assert "/v1/recommend" in client.get("/openapi.json").json()["paths"]


def test_connections_are_kept_and_the_server_does_not_say_what_it_is(server: Server) -> None:
    host, port = server.url.removeprefix("http://").split(":")
    request = b'POST /v1/recommend HTTP/1.1\r\nHost: x\r\nContent-Length: 13\r\n\r\n{"events":[]}'
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        for _ in range(3):
            connection.sendall(request)
            answer = b""
            while b"took_ms" not in answer:
                answer += connection.recv(65536)
            assert answer.startswith(b"HTTP/1.1 200")
            assert b"\r\nserver:" not in answer.lower()


def test_a_body_announced_too_large_is_refused_before_it_is_sent(server: Server) -> None:
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=10) as connection:
        connection.sendall(b"POST /v1/recommend HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 413")


def test_a_body_too_large_is_refused_and_the_client_hears_it(client: httpx.Client) -> None:
    for content in (b" " * 5_000_000, iter([b" " * 100_000] * 50)):
        response = client.post("/v1/recommend", content=content)
        assert response.status_code == 413
        assert response.headers["content-type"] == "application/problem+json"
    assert client.get("/health/ready").status_code == 200


def test_a_file_that_differs_leaves_the_process_up_and_not_ready(tmp_path: Path) -> None:
    version = publish(fit("int64"), tmp_path)
    file = tmp_path / "versions" / version / "top_sellers" / "model.json"
    file.parent.chmod(0o755)
    file.chmod(0o644)
    file.write_bytes(file.read_bytes().replace(b"{", b" ", 1))
    server = start(tmp_path, Settings())
    try:
        problem = server.wait_until(503).json()
        assert "top_sellers/model.json" in problem["detail"]
        assert httpx.get(f"{server.url}/health/live").status_code == 200
        assert httpx.post(f"{server.url}/v1/recommend", json={"events": []}).status_code == 503
    finally:
        left = stop(server)
    lines = [line for line in left.splitlines() if "cannot be served" in line]
    assert len(lines) == 1
    assert "top_sellers/model.json" in lines[0]
    assert "Traceback" not in left


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_told_to_stop_it_ends_what_is_in_flight_and_leaves_with_0(tmp_path: Path, sign: signal.Signals) -> None:
    publish(fit("int64"), tmp_path)
    server = start(tmp_path, Settings())
    server.wait_until(200)
    address = ("127.0.0.1", int(server.url.rsplit(":", 1)[1]))
    with socket.create_connection(address, timeout=10) as idle, socket.create_connection(address, timeout=10) as asking:
        idle.sendall(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
        assert idle.recv(65536).startswith(b"HTTP/1.1 200")
        asking.sendall(b'POST /v1/recommend HTTP/1.1\r\nHost: x\r\nContent-Length: 13\r\n\r\n{"eve')
        httpx.get(f"{server.url}/health/live")
        server.process.send_signal(sign)
        # The listener is closed at the very start of the shutdown.
        until_refused(address)
        assert server.process.poll() is None
        asking.sendall(b'nts":[]}')
        assert asking.recv(65536).startswith(b"HTTP/1.1 200")
        left = ended(server)
    assert server.process.returncode == 0
    assert "Traceback" not in left


def until_refused(address: tuple[str, int]) -> None:
    for _ in range(200):
        try:
            socket.create_connection(address, timeout=10).close()
        except ConnectionRefusedError:
            return
        time.sleep(0.02)
    raise AssertionError("new connections are still taken")


def test_told_to_stop_at_once_it_leaves_with_0(tmp_path: Path) -> None:
    publish(fit("int64"), tmp_path)
    server = start(tmp_path, Settings())
    assert "serving version" in server.first_line
    left = stop(server)
    assert server.process.returncode == 0
    assert "Traceback" not in left


def test_a_state_folder_that_cannot_be_written_is_said_before_the_service_is(tmp_path: Path) -> None:
    publish(fit("int64"), tmp_path)
    (tmp_path / "state").touch()
    server = start(tmp_path, Settings())
    try:
        server.wait_until(200)
    finally:
        left = stop(server)
    assert "Traceback" not in left
    assert f"{tmp_path}/state: cannot be written" in left


def test_settings_that_cannot_be_end_it_before_it_says_that_it_serves(tmp_path: Path) -> None:
    publish(fit("int64"), tmp_path)
    with pytest.raises(AssertionError, match="set it too") as failed:
        start(tmp_path, Settings(sessions=SessionsConfig(redis_cluster=True)))
    assert "serving version" not in str(failed.value)


def test_serving_what_is_not_there_fails_at_once(tmp_path: Path) -> None:
    with pytest.raises(VersionMissing, match="nextcart train"):
        serve(Settings(), tmp_path)


def test_a_port_in_use_is_said_with_the_way_out(tmp_path: Path) -> None:
    publish(fit("int64"), tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = Settings(serving=ServingConfig(port=taken.getsockname()[1]))
        with pytest.raises(InputError, match=r"cannot listen on 127\.0\.0\.1:\d+ .*--port"):
            serve(settings, tmp_path)
