"""Sessions in a real Redis: the contract, what is in the keys, and all that can go wrong with it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator

import pytest
import uvloop

from nextcart.config import SessionsConfig
from nextcart.errors import SessionsUnavailable
from nextcart.serving.sessions import SessionState, open_sessions
from tests.redis_server import RedisServer, free_port, redis_server
from tests.redis_sessions import FAILURES, PATIENCE, TIMEOUT_MS, Calls, Run, configured, eventually, fails, opened
from tests.unit.serving.sessions.contract import SHOWN, TTL_SECONDS, Driven, SessionsContract, event


@pytest.fixture(scope="module")
def shared_redis() -> Iterator[RedisServer]:
    with redis_server() as server:
        yield server


@pytest.fixture
def redis(shared_redis: RedisServer) -> RedisServer:
    """A server that runs and is empty, whatever the test before did."""
    with shared_redis.client() as client:
        client.flushall()
        client.script_flush()
    return shared_redis


@pytest.fixture
def run() -> Iterator[Run]:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        yield runner.run


class TestRedisSessions(SessionsContract):
    @pytest.fixture(params=[uvloop.new_event_loop, asyncio.new_event_loop], ids=["uvloop", "asyncio"])
    def run(self, request: pytest.FixtureRequest) -> Iterator[Run]:
        with asyncio.Runner(loop_factory=request.param) as runner:
            yield runner.run

    @pytest.fixture
    def driven(self, redis: RedisServer, run: Run) -> Iterator[Driven]:
        # A busy machine must not make a test of what is right one of what is fast.
        store = open_sessions(configured(redis, timeout_ms=5000))

        def pass_time(seconds: int) -> None:
            run(store.ping())  # what was sent before is done when this is answered
            with redis.client() as client:
                for key in client.scan_iter():
                    client.pexpire(key, client.pttl(key) - seconds * 1000)

        run(store.ping())
        yield Driven(run, store, pass_time)
        run(store.close())

    def empty(self, driven: Driven) -> None:
        driven.pass_time(10 * TTL_SECONDS)


def test_every_worker_sees_the_same_session(redis: RedisServer, run: Run) -> None:
    async def both() -> SessionState:
        async with opened(redis) as one, opened(redis) as other, opened(redis, key_prefix="other-shop") as third:
            await one.append("s", [event(1)])
            await other.append("s", [event(2)])
            assert (await third.append("s", [])).events == []
            return await one.append("s", [])

    assert run(both()).events == [event(1), event(2)]


def test_keys_have_the_prefix_and_end_by_themselves(redis: RedisServer, run: Run) -> None:
    async def use() -> None:
        async with opened(redis, redis_url=redis.url.replace("/0", "/3")) as store:
            await store.append("a b", [event(1)])
            store.show("a b", SHOWN)

    run(use())
    with redis.client() as client:
        client.select(3)
        keys = sorted(client.scan_iter())
        assert keys == [b"nextcart:{sa b}:events", b"nextcart:{sa b}:shown"]
        assert all(0 < client.pttl(key) <= TTL_SECONDS * 1000 for key in keys)


def test_a_request_is_one_round_trip_and_the_script_is_sent_once(redis: RedisServer, run: Run) -> None:
    async def use() -> None:
        async with opened(redis) as store:
            for aid in range(5):
                await store.append("s", [event(aid)], with_shown=True)

    with redis.client() as client:
        client.config_resetstat()
        run(use())
        calls = {name: each["calls"] for name, each in client.info("commandstats").items()}
    assert (calls["cmdstat_evalsha"], calls["cmdstat_eval"]) == (5, 1)


def test_a_script_cache_that_was_emptied_is_no_failure(redis: RedisServer, run: Run) -> None:
    calls: Calls = []

    async def use() -> SessionState:
        async with opened(redis, calls, breaker_failures=1) as store:
            await store.append("s", [event(1)])
            with redis.client() as client:
                client.script_flush()
            return await store.append("s", [event(2)])

    assert run(use()).events == [event(1), event(2)]
    assert all(ok for _, ok in calls)


def test_a_redis_that_hangs_fails_calls_in_time_then_at_once_and_comes_back(redis: RedisServer, run: Run) -> None:
    calls: Calls = []

    async def use() -> None:
        async with opened(redis, calls, breaker_seconds=60) as store:
            await store.append("s", [event(1)])
            redis.pause()
            try:
                assert await fails(store, "did not answer within 100 ms") < PATIENCE
                for _ in range(FAILURES - 1):
                    await fails(store, "Redis at redis://127.0.0.1:")
                assert store.state == "open"
                made = len(calls)
                await fails(store, "left alone")
                store.show("s", SHOWN)
                assert len(calls) == made
            finally:
                redis.resume()

    run(use())
    assert [ok for _, ok in calls if not ok] == [False] * FAILURES

    async def use_and_return() -> SessionState:
        async with opened(redis) as store:
            redis.pause()
            try:
                for _ in range(FAILURES):
                    await fails(store, "Redis")
            finally:
                redis.resume()
            state = await eventually(store)
            assert store.state == "closed"
            return state

    assert run(use_and_return()).events == [event(1)]


def test_a_redis_that_dies_and_comes_back_empty_is_used_again(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with redis_server() as own:

        async def use() -> SessionState:
            async with opened(own) as store:
                await store.append("s", [event(0), event(9)])
                own.kill()
                for _ in range(FAILURES):
                    await fails(store, "closed the connection|Connection refused|Connect call failed|connected to")
                assert store.state in ("open", "half_open")
                own.restart()
                return await eventually(store)

        assert run(use()).events == [event(1)]
    said = [record.getMessage() for record in caplog.records]
    assert said[-1].endswith("answers again")
    assert 1 <= len(said) - 1 <= 3


def test_a_redis_that_is_not_there_at_the_start_is_used_once_it_is(run: Run) -> None:
    with redis_server() as own:
        own.kill()

        async def use() -> SessionState:
            async with opened(own) as store:
                store.show("s", SHOWN)
                await fails(store, "cannot be connected to")
                own.restart()
                return await eventually(store)

        assert run(use()).events == [event(1)]


def test_a_reply_that_comes_too_late_is_never_taken_for_another(redis: RedisServer, run: Run) -> None:
    async def use() -> None:
        async with opened(redis, breaker_failures=1000) as store:
            await store.append("early", [event(7)])
            with redis.client() as client:
                client.client_pause(3 * TIMEOUT_MS)
            await fails(store, "did not answer")
            states = await asyncio.gather(*(eventually(store, f"s{n}") for n in range(5)))
            assert [state.events for state in states] == [[event(1)]] * 5
            assert (await store.append("early", [])).events == [event(7)]

    run(use())


def test_a_loop_that_was_busy_elsewhere_still_takes_the_reply(redis: RedisServer, run: Run) -> None:
    async def use() -> SessionState:
        async with opened(redis) as store:
            await store.ping()
            call = asyncio.ensure_future(store.append("s", [event(1)]))
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            time.sleep(2.5 * TIMEOUT_MS / 1000)
            return await call

    assert run(use()).events == [event(1)]


def test_callers_that_go_away_disturb_no_other(redis: RedisServer, run: Run) -> None:
    async def use() -> None:
        async with opened(redis) as store:
            for connected in (False, True):
                calls = [asyncio.ensure_future(store.append(n, [event(n)])) for n in range(40)]
                await asyncio.sleep(0)
                for call in calls[::2]:
                    call.cancel()
                found = await asyncio.gather(*calls, return_exceptions=True)
                assert all(isinstance(each, asyncio.CancelledError) for each in found[::2])
                assert [each.events for each in found[1::2]] == [[event(n)] for n in range(1, 40, 2)], connected
            assert store.state == "closed"

    run(use())


def test_a_try_whose_caller_goes_away_leaves_the_breaker_able_to_close(redis: RedisServer, run: Run) -> None:
    async def use() -> None:
        async with opened(redis) as store:
            await store.ping()
            redis.pause()
            try:
                while store.state == "closed":
                    await fails(store, "Redis")
                while store.state == "open":
                    await asyncio.sleep(0.01)
                call = asyncio.ensure_future(store.append("s", []))
                await asyncio.sleep(0)
                call.cancel()
                await asyncio.gather(call, return_exceptions=True)
            finally:
                redis.resume()
            await eventually(store)

    run(use())


def test_closing_lets_calls_in_flight_end_and_writes_what_was_shown(redis: RedisServer, run: Run) -> None:
    async def use() -> SessionState:
        async with opened(redis) as store:
            await store.ping()
            store.show("s", SHOWN)
            call = asyncio.ensure_future(store.append("s", [event(1)]))
            await asyncio.sleep(0)
            await store.close()
            return await call

    assert run(use()).events == [event(1)]
    with redis.client() as client:
        assert client.exists("nextcart:{ss}:shown", "nextcart:{ss}:events") == 2


def test_closing_while_redis_hangs_takes_no_longer_than_a_call(redis: RedisServer, run: Run) -> None:
    async def use() -> None:
        async with opened(redis) as store:
            await store.ping()
            redis.pause()
            try:
                call = asyncio.ensure_future(store.append("s", [event(1)]))
                await asyncio.sleep(0)
                async with asyncio.timeout(PATIENCE):
                    await store.close()
                with pytest.raises(SessionsUnavailable):
                    await call
            finally:
                redis.resume()

    run(use())


def test_a_full_redis_is_unavailable_and_says_what_to_do(redis: RedisServer, run: Run) -> None:
    async def use() -> None:
        async with opened(redis) as store:
            await store.ping()
            with redis.client() as client:
                client.config_set("maxmemory", 1)
                try:
                    await fails(store, "OOM.*raise its maxmemory")
                finally:
                    client.config_set("maxmemory", 0)
            await eventually(store)

    run(use())


def test_a_replica_is_unavailable_until_it_is_the_master(redis: RedisServer, run: Run) -> None:
    async def use() -> None:
        async with opened(redis) as store:
            await store.ping()
            with redis.client() as client:
                client.replicaof("127.0.0.1", free_port())
                try:
                    await fails(store, "READONLY.*Sentinel")
                finally:
                    client.replicaof("NO", "ONE")
            await eventually(store)

    run(use())


@pytest.mark.parametrize("kind", ["another type", "other bytes"])
def test_keys_of_somebody_else_are_unavailable_and_name_the_prefix(redis: RedisServer, run: Run, kind: str) -> None:
    with redis.client() as client:
        if kind == "another type":
            client.set("nextcart:{ss}:events", "x")
        else:
            client.rpush("nextcart:{ss}:events", "x")

    async def use() -> None:
        async with opened(redis) as store:
            await fails(store, r"choose another sessions\.key_prefix")
            assert (await store.append("t", [event(1)])).events == [event(1)]

    run(use())


def test_what_is_no_redis_is_said_to_be_none(run: Run) -> None:
    async def use() -> None:
        async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            await writer.drain()
            writer.close()

        async with await asyncio.start_server(answer, "127.0.0.1", 0) as http:
            port = http.sockets[0].getsockname()[1]
            store = open_sessions(SessionsConfig(redis_url=f"redis://127.0.0.1:{port}", timeout_ms=5000))
            with pytest.raises(SessionsUnavailable, match="does not speak as Redis does"):
                await store.ping()
            await store.close()

    run(use())
