from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextcart.config import AccessConfig, SessionsConfig
from nextcart.errors import SessionsUnavailable
from nextcart.serving.access import Access, Keys
from nextcart.serving.access.rate_limits import MemoryLimits, RedisLimits
from nextcart.serving.problems import Problem
from nextcart.serving.sessions.commands import Commands


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Bucket:
    """A bucket of tokens as the textbook has it."""

    def __init__(self, rate: float, burst: int) -> None:
        self.rate, self.burst, self.tokens, self.at = rate, burst, float(burst), 0.0

    def take(self, now: float) -> bool:
        self.tokens = min(self.burst, self.tokens + (now - self.at) * self.rate)
        self.at = now
        if self.tokens < 1 - 1e-6:
            return False
        self.tokens -= 1
        return True


def test_a_burst_goes_through_then_the_rate_counts():
    clock = Clock()
    limits = MemoryLimits(rate=2.0, burst=3, clock=clock)
    assert [limits.take("a") for _ in range(3)] == [0, 0, 0]
    assert limits.take("a") == pytest.approx(0.5)
    assert limits.take("a") == pytest.approx(0.5), "a request that was refused costs nothing"
    assert limits.take("b") == 0
    clock.now += 0.5
    assert limits.take("a") == 0
    assert limits.take("a") == pytest.approx(0.5)
    clock.now += 100
    assert [limits.take("a") > 0 for _ in range(4)] == [False, False, False, True]


@given(
    rate=st.sampled_from([0.5, 1.0, 3.0, 10.0]),
    burst=st.integers(1, 5),
    gaps=st.lists(st.floats(0, 2, allow_nan=False), max_size=60),
)
def test_it_is_a_bucket_of_tokens(rate, burst, gaps):
    clock = Clock()
    limits, bucket = MemoryLimits(rate, burst, clock), Bucket(rate, burst)
    bucket.at = clock.now
    for gap in gaps:
        # Milliseconds, so that no request falls within rounding of the limit.
        clock.now = round(clock.now + gap, 3)
        wait = limits.take("a")
        assert (wait == 0) == bucket.take(clock.now)
        assert wait <= burst / rate + 1e-9


def test_who_waits_as_long_as_told_is_let_through():
    clock = Clock()
    limits = MemoryLimits(rate=7.0, burst=4, clock=clock)
    for _ in range(50):
        clock.now += limits.take("a")
        assert limits.take("a") in (0, pytest.approx(1 / 7, abs=1 / 7))


def test_buckets_are_bounded_and_the_busiest_client_stays_limited():
    limits = MemoryLimits(rate=1.0, burst=1, clock=Clock(), max_buckets=10)
    assert limits.take("busy") == 0
    for i in range(100):
        assert limits.take(f"address-{i}") == 0
        limits.take("busy")
    assert len(limits._full_at) == 10


class FakeRedis:
    """Gives the same reply to every command."""

    def __init__(self, reply: int | Exception) -> None:
        self.reply = reply
        self.commands: list[tuple[Any, ...]] = []

    async def ask(self, *command: Any) -> Any:
        self.commands.append(command)
        if isinstance(self.reply, Exception):
            raise self.reply
        return self.reply


CONFIG = SessionsConfig(key_prefix="shop", breaker_failures=2, breaker_seconds=60.0)


def test_redis_is_asked_once_and_its_microseconds_become_seconds():
    redis = FakeRedis(1_500_000)
    limits = RedisLimits(10.0, 5, cast(Commands, redis), CONFIG)
    assert asyncio.run(limits.take("key")) == 1.5
    ((eval_, _, *rest),) = redis.commands
    assert (eval_, *rest) == ("EVAL", 1, "shop:rate:key", 100_000, 500_000)


def test_a_redis_that_fails_is_left_alone():
    redis = FakeRedis(SessionsUnavailable("down"))
    limits = RedisLimits(1.0, 2, cast(Commands, redis), CONFIG)

    async def take_often() -> None:
        for _ in range(5):
            with pytest.raises(SessionsUnavailable):
                await limits.take("key")

    asyncio.run(take_often())
    assert len(redis.commands) == 2


def test_without_redis_each_process_limits_by_itself():
    redis = cast(Commands, FakeRedis(SessionsUnavailable("down")))
    access = Access(AccessConfig(requests_per_second=0.1, burst=2), Keys({}), redis, CONFIG)

    async def ask() -> list[bool]:
        limited = []
        for _ in range(3):
            try:
                await access.admit({}, "read", "10.0.0.1")
                limited.append(False)
            except Problem as problem:
                limited.append(problem.status == 429)
        return limited

    assert asyncio.run(ask()) == [False, False, True]
