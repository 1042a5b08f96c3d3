"""Sessions in memory: the contract, and the bounds of what is kept."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator

import pytest

from nextcart.config import SessionsConfig
from nextcart.serving.schemas import Event
from nextcart.serving.sessions.memory import MemorySessions
from tests.unit.serving.sessions.contract import KEEP, SHOWN, TTL_SECONDS, Driven, SessionsContract, event

MOST = 1000


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now

    def pass_time(self, seconds: int) -> None:
        self.now += seconds


@pytest.fixture
def driven() -> Iterator[Driven]:
    clock = Clock()
    config = SessionsConfig(events=KEEP, ttl_seconds=TTL_SECONDS, max_sessions=MOST)
    with asyncio.Runner() as runner:
        yield Driven(runner.run, MemorySessions(config, clock), clock.pass_time)


class TestMemorySessions(SessionsContract):
    def empty(self, driven: Driven) -> None:
        memory(driven)._sessions.clear()


def memory(driven: Driven) -> MemorySessions:
    assert isinstance(driven.store, MemorySessions)
    return driven.store


def test_past_the_bound_the_session_that_was_quiet_longest_goes(driven: Driven) -> None:
    for session in range(MOST):
        driven.append(session, [event(1)])
    assert driven.held(0)
    driven.show(1)
    driven.append("new", [event(1)])
    driven.show("shown only")
    assert len(memory(driven)) == MOST
    assert [driven.held(session) for session in (0, 1, 2, 3, 4)] == [[event(1)], [event(1)], [], [], [event(1)]]


def test_long_ids_do_not_take_more_memory_than_so_many_usual_sessions() -> None:
    store = MemorySessions(SessionsConfig(events=KEEP, max_sessions=10))
    long = [Event("x" * 128 + str(place), 1661724000278, "clicks") for place in range(KEEP)]
    with asyncio.Runner() as runner:
        for session in range(2000 // KEEP):
            runner.run(store.append(session, long))
        before = len(store)
        held = [runner.run(store.append(session, [])).events for session in range(2000 // KEEP)]
        for session in range(2000 // KEEP):
            runner.run(store.erase(session))
        runner.run(store.append("last", long))
    kept = [events for events in held if events]
    assert kept == [long] * before
    assert sum(len(event.aid) for events in kept for event in events) < 10 * 4096
    assert len(store) == 1


def test_sessions_that_are_over_make_room_as_others_come(driven: Driven) -> None:
    for session in range(100):
        driven.append(session, [event(1)])
    driven.pass_time(TTL_SECONDS)
    for session in range(60):
        driven.append(f"new {session}", [event(1)])
    assert len(memory(driven)) == 60


def test_what_is_kept_is_nothing_to_the_garbage_collector(driven: Driven) -> None:
    driven.append("s", [event(1), event("a")])
    driven.show("s", SHOWN)
    assert not any(gc.is_tracked(held) for held in memory(driven)._sessions.values())
