"""A real service that is flooded: by one client, by connections, and by events on a disk that is full in truth."""

from __future__ import annotations

import os
import resource
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from nextcart.config import AccessConfig, ServingConfig, Settings
from tests.event_logs import logged
from tests.integration.test_full_disk import mounting, room
from tests.published import START, Load, Server, ended, fit, publish, start, stop
from tests.running import ROOT

SHOP, ROBOT = "shop-secret-0123456", "robot-secret-012345"
KEYS = f"shop:read+events:{SHOP},robot:read:{ROBOT}"
BURST = 20
FILES = 400
"""Half of them are for connections."""
BODY = {"events": [{"aid": 1030, "ts": START, "type": "clicks"}], "limit": 5}


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("models")
    publish(fit("int64", only=("covisitation",)), root)
    return root


@pytest.fixture
def keyed(root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("NEXTCART_API_KEYS", KEYS)
    server = start(root, Settings(access=AccessConfig(requests_per_second=0.05, burst=BURST)))
    server.wait_until(200)
    yield server
    assert "Traceback" not in stop(server)


def ask(server: Server, key: str) -> httpx.Response:
    return httpx.post(f"{server.url}/v1/recommend", json=BODY, headers={"x-api-key": key}, timeout=30)


def test_a_client_that_floods_is_told_when_to_come_again_and_others_go_on(keyed: Server) -> None:
    answers: list[httpx.Response] = []

    def flood() -> None:
        answers.extend(ask(keyed, ROBOT) for _ in range(15))

    robots = [threading.Thread(target=flood) for _ in range(4)]
    for robot in robots:
        robot.start()
    others = [ask(keyed, SHOP).status_code for _ in range(BURST // 2)]
    for robot in robots:
        robot.join()
    assert others == [200] * (BURST // 2)
    assert Counter(answer.status_code for answer in answers) == {200: BURST, 429: 60 - BURST}
    for answer in answers:
        if answer.status_code == 429:
            assert 1 <= int(answer.headers["retry-after"]) <= 20
            assert answer.headers["content-type"] == "application/problem+json"
    assert httpx.get(f"{keyed.url}/health/ready").status_code == 200


def test_more_connections_than_may_be_open_are_refused_and_those_there_are_go_on(root: Path) -> None:
    # No process may raise its hard bound again, so another one is started to lower its own.
    apart([sys.executable, "-m", __name__, "few files", str(root)])


def with_few_files(root: Path) -> None:
    resource.setrlimit(resource.RLIMIT_NOFILE, (FILES, FILES))
    server = start(root, Settings())
    server.wait_until(200)
    with httpx.Client(base_url=server.url) as client, ExitStack() as stack:
        assert client.post("/v1/recommend", json=BODY).status_code == 200
        opened = [stack.enter_context(socket.create_connection(server.address, timeout=10)) for _ in range(FILES - 100)]
        assert opened[-1].recv(4096).startswith(b"HTTP/1.1 503")
        for _ in range(5):
            assert client.post("/v1/recommend", json=BODY).status_code == 200
        opened[0].sendall(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
        assert opened[0].recv(4096).startswith(b"HTTP/1.1 200")
    # Places come free as connections are closed.
    assert server.ask(**BODY)["recommendations"]
    left = stop(server)
    assert server.process.returncode == 0, left
    assert "Traceback" not in left


def test_events_on_a_full_disk_are_refused_while_recommendations_go_on(root: Path, tmp_path: Path) -> None:
    unshare = mounting()
    if unshare is None:
        pytest.skip("no disk may be mounted here")
    apart([*unshare, sys.executable, "-m", __name__, str(tmp_path), str(root)])


def apart(command: list[str]) -> None:
    """Run the rest of a test in a process of its own."""
    variables = os.environ | {"NEXTCART_API_KEYS": KEYS}
    done = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def on_a_small_disk(disk: Path, root: Path) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(disk)], check=True)
    (disk / "versions").symlink_to(root / "versions")
    (disk / "aliases.json").write_text((root / "aliases.json").read_text())
    server = start(disk, Settings(serving=ServingConfig()))
    server.wait_until(200)
    taken: list[str] = []
    with Load(server, connections=1) as load:
        take(server, taken, 50)
        with room(disk, 16):
            refused = fill_up(server, taken)
            assert refused.json()["type"] == "urn:nextcart:problem:log-full"
            assert refused.headers["content-type"] == "application/problem+json"
            assert int(refused.headers["retry-after"]) >= 1
            answered, end = len(load.versions), time.monotonic() + 15
            while len(load.versions) < answered + 20:
                assert time.monotonic() < end, load.failures
                time.sleep(0.02)
        take(server, taken, 50)
    assert load.failures == []
    server.process.terminate()
    left = ended(server)
    assert server.process.returncode == 0, left
    assert "Traceback" not in left
    assert [line["event_id"] for line in logged(disk / "state" / "event_log")] == taken


def fill_up(server: Server, taken: list[str]) -> httpx.Response:
    """The first answer that is none of success."""
    for _ in range(200):
        response = post(server, len(taken), 30)
        if response.status_code != 202:
            assert response.status_code == 503
            return response
        taken += names(len(taken), 30)
    raise AssertionError("the disk was never full")


def take(server: Server, taken: list[str], events: int) -> None:
    response = post(server, len(taken), events)
    assert response.json() == {"accepted": events, "duplicates": 0, "rejected": []}
    taken += names(len(taken), events)


def post(server: Server, first: int, count: int) -> httpx.Response:
    one = {"session_id": 1, "aid": 1030, "ts": START, "type": "clicks"}
    body: dict[str, Any] = {"events": [{**one, "event_id": name} for name in names(first, count)]}
    return httpx.post(f"{server.url}/v1/events", json=body, headers={"x-api-key": SHOP}, timeout=30)


def names(first: int, count: int) -> list[str]:
    return [f"e{number}" for number in range(first, first + count)]


if __name__ == "__main__":
    if sys.argv[1] == "few files":
        with_few_files(Path(sys.argv[2]))
    else:
        on_a_small_disk(Path(sys.argv[1]), Path(sys.argv[2]))
