"""The ways to a real Redis: with a password, encrypted, by Sentinel, and to a Cluster."""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvloop

from nextcart.errors import SessionsUnavailable
from nextcart.serving.sessions import SessionState
from nextcart.serving.sessions.address import PASSWORD, USERNAME
from tests.redis_server import RedisServer, free_port, redis_server
from tests.redis_sessions import FAILURES, PATIENCE, Calls, Run, eventually, fails, opened
from tests.unit.serving.sessions.contract import SHOWN, event

SECRET = "correct-horse-battery-staple"  # noqa: S105 -- of a Redis that lives as long as the test


@pytest.fixture
def run() -> Iterator[Run]:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        yield runner.run


@pytest.fixture(scope="module")
def locked() -> Iterator[RedisServer]:
    with redis_server(password=SECRET) as server:
        with server.client() as client:
            client.acl_setuser("shopkeeper", enabled=True, passwords=[f"+{SECRET}"], keys=["*"], commands=["+@all"])
        yield server


class TestCredentials:
    @pytest.mark.parametrize("user", [None, "shopkeeper"])
    def test_they_come_from_the_environment(
        self, locked: RedisServer, run: Run, monkeypatch: pytest.MonkeyPatch, user: str | None
    ) -> None:
        monkeypatch.setenv(PASSWORD, SECRET)
        if user:
            monkeypatch.setenv(USERNAME, user)

        async def use() -> SessionState:
            async with opened(locked, timeout_ms=5000, key_prefix=f"for-{user}") as store:
                return await store.append("s", [event(1)])

        assert run(use()).events == [event(1)]

    @pytest.mark.parametrize("password", [None, "wrong-" + SECRET])
    def test_a_wrong_or_missing_one_is_named_but_never_shown(
        self,
        locked: RedisServer,
        run: Run,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
        password: str | None,
    ) -> None:
        caplog.set_level(logging.DEBUG)
        if password:
            monkeypatch.setenv(PASSWORD, password)

        async def use() -> None:
            async with opened(locked, timeout_ms=5000) as store:
                with pytest.raises(
                    SessionsUnavailable, match=r"(NOAUTH|WRONGPASS).*check NEXTCART_REDIS_PASSWORD"
                ) as said:
                    await store.append("s", [])
                assert SECRET not in str(said.value) + repr(vars(store))

        run(use())
        assert "NEXTCART_REDIS_PASSWORD" in caplog.text
        assert SECRET not in caplog.text


def test_a_password_that_redis_does_not_want_says_so(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PASSWORD, SECRET)

    async def use(open_to_all: RedisServer) -> None:
        async with opened(open_to_all, timeout_ms=5000) as store:
            await fails(store, "refused.*check NEXTCART_REDIS_PASSWORD")

    with redis_server() as server:
        run(use(server))


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
            *("-keyout", "key.pem", "-out", "cert.pem", "-days", "2", "-subj", "/CN=127.0.0.1"),
            *("-addext", "subjectAltName=IP:127.0.0.1"),
        ],
        cwd=folder,
        check=True,
        capture_output=True,
    )
    return folder / "cert.pem"


@pytest.fixture(scope="module")
def encrypted(certificate: Path) -> Iterator[tuple[RedisServer, str]]:
    port, key = free_port(), certificate.with_name("key.pem")
    files = ("--tls-cert-file", certificate, "--tls-key-file", key, "--tls-ca-cert-file", certificate)
    with redis_server("--tls-port", port, "--tls-auth-clients", "no", *files) as server:
        yield server, f"rediss://127.0.0.1:{port}"


class TestEncrypted:
    def test_the_connection_is_encrypted_and_the_authority_is_checked(
        self, encrypted: tuple[RedisServer, str], certificate: Path, run: Run, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        server, url = encrypted

        async def refused() -> None:
            async with opened(server, redis_url=url, timeout_ms=5000) as store:
                await fails(store, "CERTIFICATE_VERIFY_FAILED|certificate")

        async def trusted() -> None:
            async with opened(server, redis_url=url, timeout_ms=5000) as store:
                states = await asyncio.gather(*(store.append(n, [event(n)]) for n in range(50)))
                assert [state.events for state in states] == [[event(n)] for n in range(50)]

        run(refused())
        monkeypatch.setenv("SSL_CERT_FILE", os.fspath(certificate))
        run(trusted())
        with server.client() as client:
            client.flushall()


class TestSentinel:
    @pytest.fixture
    def masters(self) -> Iterator[tuple[RedisServer, RedisServer]]:
        with redis_server() as one, redis_server() as other:
            yield one, other

    @pytest.fixture
    def sentinel(self, masters: tuple[RedisServer, RedisServer], tmp_path: Path) -> Iterator[RedisServer]:
        (tmp_path / "sentinel.conf").write_text(f"sentinel monitor shop 127.0.0.1 {masters[0].port} 1\n")
        server = RedisServer(tmp_path, "sentinel.conf", program="sentinel")
        server.start()
        yield server
        server.stop()

    def test_the_master_is_asked_for_and_followed_when_it_changes(
        self, masters: tuple[RedisServer, RedisServer], sentinel: RedisServer, run: Run
    ) -> None:
        async def use() -> None:
            async with opened(sentinel, redis_sentinel="shop", timeout_ms=1000) as store:
                assert (await eventually(store)).events == [event(1)]
                with masters[0].client() as client:
                    assert client.exists("nextcart:{ss}:events")
                    client.replicaof("127.0.0.1", free_port())
                with sentinel.client() as client:
                    client.execute_command("SENTINEL", "REMOVE", "shop")
                    client.execute_command("SENTINEL", "MONITOR", "shop", "127.0.0.1", masters[1].port, 1)
                await fails(store, "READONLY")
                await eventually(store)
                with masters[1].client() as client:
                    assert client.exists("nextcart:{ss}:events")

        run(use())

    def test_a_name_that_no_sentinel_knows_says_what_to_check(self, sentinel: RedisServer, run: Run) -> None:
        async def use() -> None:
            async with opened(sentinel, redis_sentinel="other", timeout_ms=5000) as store:
                await fails(store, r"no Sentinel.*'other'.*check sessions\.redis_sentinel")

        run(use())


@pytest.fixture(scope="module")
def node() -> Iterator[RedisServer]:
    with redis_server("--cluster-enabled", "yes") as server:
        with server.client() as client:
            client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
            end = time.monotonic() + PATIENCE
            while client.execute_command("CLUSTER INFO")["cluster_state"] != "ok":
                assert time.monotonic() < end, "the cluster was never ready"
                time.sleep(0.01)
        yield server


class TestCluster:
    @pytest.mark.parametrize("session", ["s", 12, "{", "}", "{}", "}{", "a{b}c", "", "ü\n:"])
    def test_both_keys_of_any_session_are_in_one_slot(self, node: RedisServer, run: Run, session: str | int) -> None:
        async def use() -> None:
            async with opened(node, redis_cluster=True, timeout_ms=5000) as store:
                await store.append(session, [event(1)])
                store.show(session, SHOWN)
            async with opened(node, redis_cluster=True, timeout_ms=5000) as store:
                assert await store.append(session, [], with_shown=True) == SessionState([event(1)], SHOWN)
                assert await store.erase(session)

        run(use())

    def test_a_cluster_that_hangs_fails_calls_and_comes_back(self, node: RedisServer, run: Run) -> None:
        calls: Calls = []

        async def use() -> None:
            async with opened(node, calls, redis_cluster=True, breaker_seconds=0.2) as store:
                await eventually(store)
                node.pause()
                try:
                    for _ in range(FAILURES):
                        await fails(store, "did not answer|does not answer")
                    assert store.state == "open"
                    await fails(store, "left alone")
                finally:
                    node.resume()
                assert (await eventually(store)).events == [event(1)]

        run(use())
