"""The circuit breaker, with a clock of its own."""

from __future__ import annotations

import pytest

from nextcart.serving.sessions.breaker import Breaker

FAILURES, SECONDS = 3, 2.0


class Clock:
    now = 50.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> Breaker:
    return Breaker(FAILURES, SECONDS, clock)


def fail(breaker: Breaker, times: int = FAILURES) -> None:
    for _ in range(times):
        assert breaker.lets_through()
        breaker.failed()


def test_it_opens_after_so_many_failures_in_a_row(breaker: Breaker) -> None:
    fail(breaker, FAILURES - 1)
    breaker.succeeded()
    fail(breaker, FAILURES - 1)
    assert breaker.state == "closed"
    fail(breaker, 1)
    assert breaker.state == "open"
    assert not breaker.lets_through()


def test_after_its_time_one_call_is_tried_and_closes_it(breaker: Breaker, clock: Clock) -> None:
    fail(breaker)
    clock.now += SECONDS
    assert breaker.state == "half_open"
    assert [breaker.lets_through() for _ in range(3)] == [True, False, False]
    assert breaker.state == "half_open"
    breaker.succeeded()
    assert breaker.state == "closed"
    assert breaker.lets_through()


def test_a_try_that_fails_opens_it_for_its_whole_time_again(breaker: Breaker, clock: Clock) -> None:
    fail(breaker)
    clock.now += SECONDS
    fail(breaker, 1)
    clock.now += SECONDS * 0.9
    assert (breaker.state, breaker.lets_through()) == ("open", False)
    clock.now += SECONDS * 0.1
    assert breaker.lets_through()


def test_a_try_that_nobody_waited_for_is_made_again(breaker: Breaker, clock: Clock) -> None:
    fail(breaker)
    clock.now += SECONDS
    assert breaker.lets_through()
    breaker.abandoned()
    assert [breaker.lets_through() for _ in range(2)] == [True, False]
