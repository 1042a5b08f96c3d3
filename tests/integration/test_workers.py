"""Several worker processes on one socket: shared out, killed, drained, and slow clients beside fast ones."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from http.client import HTTPResponse
from pathlib import Path

import httpx
import pytest

from nextcart.config import AccessConfig, ServingConfig, SessionsConfig, Settings, SwapConfig
from nextcart.models.recommender import Recommender
from nextcart.repository import Repository
from nextcart.serving.processes.protocol import MAX_HEAD_BYTES
from tests.published import Load, Server, ended, fit, publish, set_aliases, start

SETTINGS = Settings(
    serving=ServingConfig(workers=2),
    swap=SwapConfig(poll_seconds=0.1),
    access=AccessConfig(header_seconds=2.0, body_seconds=2.0),
)
LIVE = b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture(scope="module")
def recommender() -> Recommender:
    return fit("int64", only=("covisitation",))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory, recommender: Recommender) -> Path:
    root = tmp_path_factory.mktemp("models")
    publish(recommender, root)
    return root


@pytest.fixture(scope="module")
def server(root: Path) -> Iterator[Server]:
    server = start(root, SETTINGS)
    server.wait_for(lambda line: "is ready as production" in line, 2)
    yield server
    server.process.terminate()
    left = ended(server)
    assert server.process.returncode == 0
    assert "Traceback" not in left
    assert "it is killed" not in left


def test_each_worker_gets_its_share_of_connections(server: Server) -> None:
    with ExitStack() as stack:
        held = [stack.enter_context(socket.create_connection(server.address, timeout=10)) for _ in range(40)]
        for connection in held:
            connection.sendall(LIVE)
        assert all(read_answer(connection) for connection in held)
        counts = sorted(len(list(connections_of(pid))) for pid in server.workers())
    assert sum(counts) == 40
    assert counts[0] >= 15


def connections_of(pid: int) -> Iterator[str]:
    """The sockets of a process that are connections over TCP."""
    established = set()
    for line in Path(f"/proc/{pid}/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if fields[3] == "01":
            established.add(f"socket:[{fields[9]}]")
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        try:
            target = str(entry.readlink())
        except FileNotFoundError:
            continue
        if target in established:
            yield target


def test_what_is_promoted_answers_in_every_worker_and_no_request_fails(
    server: Server, root: Path, recommender: Recommender
) -> None:
    with Load(server) as load:
        after = publish(recommender, root)
        server.wait_for(lambda line: f"{after} is ready as production" in line, 2)
        load.wait_for(after)
    assert load.failures == []
    assert load.refused == 0
    assert {server.ask()["model_version"] for _ in range(10)} == {after}


def test_a_hangup_has_every_worker_try_again_what_was_refused(
    server: Server, root: Path, recommender: Recommender
) -> None:
    good = Repository(root).resolve()
    set_aliases(root, production="20200101T000000Z-00000000")
    server.wait_for(lambda line: "20200101T000000Z-00000000 cannot be served" in line, 2)
    server.process.send_signal(signal.SIGHUP)
    server.wait_for(lambda line: "20200101T000000Z-00000000 cannot be served" in line, 4)
    assert {server.ask()["model_version"] for _ in range(10)} == {good}
    set_aliases(root, production=good)


def test_a_worker_that_is_killed_is_replaced_and_the_others_answer(server: Server) -> None:
    before = server.workers()
    with Load(server) as load:
        time.sleep(0.3)
        os.kill(before[0], signal.SIGKILL)
        server.wait_for(lambda line: f"process {before[0]}) was killed by SIGKILL" in line)
        until_ready(server, before)
        answered = len(load.versions)
        time.sleep(0.3)
    # What the killed one was answering is lost with it, at most one request a connection.
    assert len(load.failures) <= 4
    assert load.refused == 0
    assert len(load.versions) > answered
    after = server.workers()
    assert len(after) == 2
    assert before[1] in after
    assert before[0] not in after


def until_ready(server: Server, before: list[int]) -> None:
    """Wait until a worker that was not there before takes connections."""
    for _ in range(600):
        new = [pid for pid in server.workers() if pid not in before]
        with socket.create_connection(server.address, timeout=10) as connection:
            connection.sendall(LIVE)
            read_answer(connection)
            if any(list(connections_of(pid)) for pid in new):
                return
        time.sleep(0.05)
    raise AssertionError("".join(server.lines))


def read_answer(connection: socket.socket) -> bytes:
    """The body of a good answer, of which nothing is left on its way."""
    answer = HTTPResponse(connection)
    answer.begin()
    assert answer.status == 200
    return answer.read()


def test_slow_clients_are_cut_off_and_hold_up_nobody(server: Server) -> None:
    with ExitStack() as stack:
        slow = [stack.enter_context(socket.create_connection(server.address, timeout=20)) for _ in range(200)]
        for connection in slow:
            connection.sendall(b"POST /v1/recommend HTTP/1.1\r\nHost: x\r\nX-Slow: ")
        for _ in range(10):
            assert server.ask()["recommendations"]
        for connection in slow:
            connection.sendall(b"a")
        assert [connection.recv(4096) for connection in slow] == [b""] * 200


def test_a_body_that_does_not_come_is_answered_408(server: Server) -> None:
    with socket.create_connection(server.address, timeout=20) as connection:
        connection.sendall(b"POST /v1/recommend HTTP/1.1\r\nHost: x\r\nContent-Length: 90\r\n\r\n{")
        assert httpx.get(f"{server.url}/health/live").status_code == 200
        assert connection.recv(4096).startswith(b"HTTP/1.1 408 ")
        assert connection.recv(4096) == b""


def test_a_body_in_two_pieces_is_answered(server: Server) -> None:
    with socket.create_connection(server.address, timeout=20) as connection:
        connection.sendall(b"POST /v1/recommend HTTP/1.1\r\nHost: x\r\nContent-Length: 13\r\n\r\n{")
        time.sleep(0.1)
        connection.sendall(b'"events":[]}')
        assert read_answer(connection).startswith(b'{"request_id"')
        time.sleep(2.2)
        connection.sendall(LIVE)
        read_answer(connection)


def test_a_connection_that_was_answered_is_cut_off_for_the_next_slow_head(server: Server) -> None:
    with socket.create_connection(server.address, timeout=20) as connection:
        connection.sendall(LIVE)
        read_answer(connection)
        connection.sendall(b"\r\n")
        assert connection.recv(4096) == b""


@pytest.mark.parametrize("pieces", [1, 8])
def test_a_head_that_is_too_large_is_refused(server: Server, pieces: int) -> None:
    head = b"GET /health/live HTTP/1.1\r\nHost: x\r\n" + b"X-Large: %s\r\n" % (b"a" * 1000) * 70 + b"\r\n"
    assert len(head) > MAX_HEAD_BYTES
    step = -(-len(head) // pieces)
    with socket.create_connection(server.address, timeout=20) as connection:
        for start_at in range(0, len(head), step):
            connection.sendall(head[start_at : start_at + step])
            time.sleep(0.02)
        answer = connection.recv(4096)
    assert answer.startswith(b"HTTP/1.1 431")
    assert b"application/problem+json" in answer
    assert httpx.get(f"{server.url}/health/live", headers={"X-Large": "a" * 60_000}).status_code == 200


def test_what_is_no_http_is_a_problem_document(server: Server) -> None:
    with socket.create_connection(server.address, timeout=20) as connection:
        connection.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
        answer = connection.recv(4096)
    assert answer.startswith(b"HTTP/1.1 400")
    assert b"application/problem+json" in answer


@pytest.mark.parametrize("workers", [1, 2])
def test_told_to_stop_under_load_it_loses_no_request_and_leaves_with_0(root: Path, workers: int) -> None:
    settings = SETTINGS.model_copy(update={"serving": ServingConfig(workers=workers)})
    server = start(root, settings)
    server.wait_for(lambda line: "is ready as production" in line, workers)
    with Load(server, connections=8) as load:
        load.wait_for(Repository(root).resolve())
        server.process.terminate()
        left = ended(server)
    assert server.process.returncode == 0
    assert load.failures == []
    assert load.refused > 0
    assert "Traceback" not in left


def test_workers_end_when_their_supervisor_is_killed(root: Path) -> None:
    server = start(root, SETTINGS)
    server.wait_for(lambda line: "is ready as production" in line, 2)
    workers = server.workers()
    server.process.kill()
    ended(server)
    for _ in range(200):
        if not any(Path(f"/proc/{pid}").exists() for pid in workers):
            break
        time.sleep(0.05)
    assert not any(Path(f"/proc/{pid}").exists() for pid in workers)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(server.address, timeout=10)


def test_workers_that_cannot_start_end_the_service_with_the_reason(root: Path) -> None:
    settings = SETTINGS.model_copy(update={"sessions": SessionsConfig(redis_sentinel="shop")})
    left = ended(start(root, settings))
    assert "a worker cannot start: sessions has redis_sentinel" in left
    assert "RunFailed" in left
