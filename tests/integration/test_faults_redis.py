"""A real service with two workers and a real Redis that hangs, dies, comes back, or goes on while a worker dies."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import psutil
import pytest

from tests.redis_server import RedisServer, redis_server
from tests.serving_process import START, Service, service_of

WRITER = "writer-secret-0123"
PATIENCE = 60.0


@pytest.fixture(scope="module")
def redis() -> Iterator[RedisServer]:
    with redis_server() as server:
        yield server


@pytest.fixture(scope="module")
def service(redis: RedisServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    variables = {
        "NEXTCART__SERVING__WORKERS": "2",
        "NEXTCART__SESSIONS__REDIS_URL": redis.url,
        "NEXTCART__SESSIONS__BREAKER_FAILURES": "2",
        "NEXTCART__SESSIONS__BREAKER_SECONDS": "0.3",
        "NEXTCART__SESSIONS__TIMEOUT_MS": "100",
        "NEXTCART_API_KEYS": f"writer:read+events:{WRITER}",
    }
    with service_of(tmp_path_factory.mktemp("service"), **variables) as service:
        until(lambda: service.log.read_text().count("is ready as production") == 2)
        yield service
        assert "Traceback" not in service.log.read_text()


def until(good: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not good():
        assert time.monotonic() < end, "it never came to that"
        time.sleep(0.05)


def value(service: Service, name: str) -> float:
    """A metric without labels; ``count(workers)``: how many processes tell of themselves."""
    text = httpx.get(f"{service.url}/metrics").text
    if name == "count(workers)":
        return len(re.findall(r"^nextcart_process_resident_memory_bytes\{", text, re.MULTILINE))
    found = re.findall(rf"^{name} (\S+)$", text, re.MULTILINE)
    return float(found[0]) if found else 0.0


def events(*items: int) -> list[dict[str, Any]]:
    return [{"aid": 1000 + 10 * item, "ts": START + 1000 * i, "type": "clicks"} for i, item in enumerate(items)]


def recommend(service: Service, session: Any, *items: int) -> dict[str, Any]:
    """An answer, over a connection of its own: any worker may give it."""
    body = {"session_id": session, "events": events(*items), "limit": 10}
    response = httpx.post(f"{service.url}/v1/recommend", json=body, timeout=30)
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


def alone(service: Service, *items: int) -> Any:
    """What events without a session get."""
    return recommend(service, None, *items)["recommendations"]


def post(service: Service, session: Any, *items: int) -> httpx.Response:
    body = {"events": [{"session_id": session, **event} for event in events(*items)]}
    headers = {"authorization": f"Bearer {WRITER}"}
    return httpx.post(f"{service.url}/v1/events", json=body, headers=headers, timeout=30)


ERRORS, OPEN = "nextcart_session_store_errors_total", "nextcart_session_store_breaker_open"


def goes_on_without_redis(service: Service) -> None:
    """Every request is answered from what it brings, and the metrics say what is wrong."""
    before = value(service, ERRORS)
    expected = alone(service, 3, 4)
    for number in range(30):
        answer = recommend(service, f"during-{number}", 3, 4)
        assert (answer["recommendations"], answer["fallback"]) == (expected, None)
    assert recommend(service, "known")["fallback"] == "empty_session"
    assert post(service, 12, 5).json()["accepted"] == 1
    assert value(service, ERRORS) > before
    until(lambda: bool(recommend(service, "during", 3)) and value(service, OPEN) >= 1)


def comes_back(service: Service) -> None:
    """Both workers use Redis again: the breaker is closed, and what one is told the other knows."""
    until(lambda: bool(recommend(service, "after", 7)) and value(service, OPEN) == 0)
    errors = value(service, ERRORS)
    recommend(service, "shared", 9, 11)
    expected = alone(service, 9, 11)
    assert [recommend(service, "shared")["recommendations"] for _ in range(12)] == [expected] * 12
    assert value(service, ERRORS) == errors


def test_a_redis_that_hangs_delays_no_answer_for_long_and_is_used_again(service: Service, redis: RedisServer) -> None:
    recommend(service, "known", 1, 2)
    redis.pause()
    try:
        goes_on_without_redis(service)
    finally:
        redis.resume()
    comes_back(service)
    assert recommend(service, "known")["fallback"] is None


def test_a_redis_that_dies_and_comes_back_empty_is_used_again(service: Service, redis: RedisServer) -> None:
    recommend(service, "known", 1, 2)
    redis.kill()
    try:
        goes_on_without_redis(service)
    finally:
        redis.start()
    comes_back(service)
    assert recommend(service, "known")["fallback"] == "empty_session"


def test_a_session_outlives_the_worker_that_took_its_events(service: Service) -> None:
    for session in range(8):
        assert post(service, session, session, session + 1).json()["accepted"] == 2
    expected = [alone(service, session, session + 1) for session in range(8)]
    workers = psutil.Process(service.process.pid).children()
    assert len(workers) == 2
    for worker in workers:
        known = {each.pid for each in psutil.Process(service.process.pid).children()}
        os.kill(worker.pid, signal.SIGKILL)
        worker.wait(PATIENCE)
        # The other one answers at once, and the one that takes its place later.
        assert [recommend(service, session)["recommendations"] for session in range(8)] == expected
        until(lambda: not {each.pid for each in psutil.Process(service.process.pid).children()} <= known)  # noqa: B023
        until(lambda: value(service, "count(workers)") == 2)
    assert [recommend(service, session)["recommendations"] for session in range(8)] == expected
