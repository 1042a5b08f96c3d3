"""What every session store does, as tests to inherit; and a naive store that says what is right."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings

from nextcart.errors import SessionsUnavailable
from nextcart.serving.schemas import Event
from nextcart.serving.sessions import SessionState, SessionStore, Shown
from nextcart.types import TYPE_NAMES, Id

KEEP, TTL_SECONDS = 4, 60
TS = 1_724_000_000_000
SHOWN = Shown("r1", "v1", "carts", [3, 1, "sku-2"])


def event(aid: Id, ts: int = TS, kind: str = "clicks") -> Event:
    return Event(aid, ts, kind)


class Naive:
    """The contract in dicts and lists."""

    def __init__(self) -> None:
        self._now = 0
        self._events: dict[Id, tuple[int, list[Event]]] = {}
        self._shown: dict[Id, tuple[int, Shown]] = {}

    def append(self, session_id: Id, events: Sequence[Event], with_shown: bool) -> SessionState:
        held = list(self._of(self._events, session_id) or [])
        for each in events:
            if each not in held:
                held.append(each)
        held = held[-KEEP:]
        if held:
            self._events[session_id] = (self._now + TTL_SECONDS, held)
        shown = self._of(self._shown, session_id)
        if shown is not None:
            self.show(session_id, shown)
        return SessionState(held, shown if with_shown else None)

    def show(self, session_id: Id, shown: Shown) -> None:
        self._shown[session_id] = (self._now + TTL_SECONDS, shown)

    def erase(self, session_id: Id) -> bool:
        found = bool(self._of(self._events, session_id) or self._of(self._shown, session_id))
        self._events.pop(session_id, None)
        self._shown.pop(session_id, None)
        return found

    def pass_time(self, seconds: int) -> None:
        self._now += seconds

    def _of(self, kept: dict[Id, tuple[int, Any]], session_id: Id) -> Any:
        until, value = kept.get(session_id, (0, None))
        return value if until > self._now else None


class Driven:
    """A store, called from outside its loop, and the time that passes for it."""

    def __init__(
        self, run: Callable[[Coroutine[Any, Any, Any]], Any], store: SessionStore, pass_time: Callable[[int], None]
    ) -> None:
        self.run = run
        self.store = store
        self.pass_time = pass_time

    def append(self, session_id: Id, events: Sequence[Event] = (), with_shown: bool = False) -> SessionState:
        found = self.run(self.store.append(session_id, events, with_shown=with_shown))
        assert isinstance(found, SessionState)
        return found

    def held(self, session_id: Id) -> list[Event]:
        return self.append(session_id).events

    def show(self, session_id: Id, shown: Shown = SHOWN) -> None:
        async def show_in_loop() -> None:
            self.store.show(session_id, shown)

        self.run(show_in_loop())

    def erase(self, session_id: Id) -> bool:
        return bool(self.run(self.store.erase(session_id)))


class LikeAnEvent(Event, frozen=True):
    """What another part may hand in: an event with more to it."""

    note: str = ""


IDS = st.one_of(
    st.integers(-(2**63), 2**63 - 1),
    st.integers(0, 3),
    st.sampled_from(["0", "1", "", "{", "}", "{}", "a:b", "}:events", "x\ny\r\n", "\0", "ü", "日本", "😀", "%s"]),
    st.text(max_size=8),
)
AIDS = st.one_of(st.integers(0, 3), st.sampled_from(["0", "1", "é\n{}"]), st.integers(-(2**70), 2**70))
EVENTS = st.builds(Event, AIDS, st.sampled_from([TS, TS + 1, 2**63 - 1]), st.sampled_from(TYPE_NAMES))
LISTS = st.builds(Shown, st.text(max_size=3), st.just("v"), st.sampled_from(TYPE_NAMES), st.lists(AIDS, max_size=3))


@st.composite
def steps(draw: st.DrawFn) -> list[tuple[Any, ...]]:
    """What may happen to a few sessions."""
    ids = st.sampled_from(draw(st.lists(IDS, min_size=1, max_size=3)))
    append = st.tuples(st.just("append"), ids, st.lists(EVENTS, max_size=KEEP + 3), st.booleans())
    show = st.tuples(st.just("show"), ids, LISTS)
    rarely = st.one_of(
        st.tuples(st.just("erase"), ids), st.tuples(st.just("pass_time"), st.sampled_from([1, 35, TTL_SECONDS]))
    )
    return draw(st.lists(st.one_of(append, append, show, rarely), max_size=20))


class SessionsContract:
    """Inherited with a fixture ``driven`` (keeps `KEEP` events for `TTL_SECONDS`) and a method ``empty`` of it."""

    def test_events_come_back_in_the_order_they_arrived(self, driven: Driven) -> None:
        assert driven.append("s", [event(2, TS + 9), event(1)]).events == [event(2, TS + 9), event(1)]
        assert driven.append("s", [event(3, TS + 5)]).events == [event(2, TS + 9), event(1), event(3, TS + 5)]

    def test_an_event_is_held_once_and_differs_by_item_time_or_type(self, driven: Driven) -> None:
        driven.append("s", [event(1), event(1)])
        added = [event(1), event("1"), event(1, TS + 1), event(1, TS, "carts")]
        assert driven.append("s", added).events == added

    def test_what_is_more_than_an_event_is_held_as_one(self, driven: Driven) -> None:
        first = driven.append("s", [event(1)]).events
        assert driven.append("s", [LikeAnEvent(1, TS, "clicks", note="again")]).events == first
        assert type(driven.append("s", [LikeAnEvent(2, TS, "clicks", note="new")]).events[-1]) is Event

    def test_the_newest_by_arrival_are_kept(self, driven: Driven) -> None:
        many = [event(aid, TS - aid) for aid in range(KEEP + 3)]
        assert driven.append("s", many).events == many[-KEEP:]
        assert driven.append("s", [event("x")]).events == [*many[-KEEP + 1 :], event("x")]
        assert driven.held("s") == [*many[-KEEP + 1 :], event("x")]

    def test_an_event_that_was_trimmed_away_can_come_again(self, driven: Driven) -> None:
        driven.append("s", [event(aid) for aid in range(KEEP + 1)])
        assert driven.append("s", [event(0)]).events[-1] == event(0)

    def test_as_many_events_as_a_request_may_carry(self, driven: Driven) -> None:
        many = [event(aid) for aid in range(1000)]
        assert driven.append("s", many).events == many[-KEEP:]

    def test_a_number_and_its_digits_are_two_sessions(self, driven: Driven) -> None:
        driven.append(12, [event(1)])
        driven.append("12", [event(2)])
        assert (driven.held(12), driven.held("12")) == ([event(1)], [event(2)])

    def test_reading_makes_no_session(self, driven: Driven) -> None:
        assert driven.append("s", with_shown=True) == SessionState([], None)
        assert driven.erase("s") is False

    def test_a_session_is_forgotten_after_its_time_which_every_call_renews(self, driven: Driven) -> None:
        driven.append("s", [event(1)])
        driven.show("s")
        for _ in range(2):
            driven.pass_time(TTL_SECONDS - 10)
            assert driven.append("s", with_shown=True) == SessionState([event(1)], SHOWN)
        driven.pass_time(TTL_SECONDS)
        assert driven.append("s", with_shown=True) == SessionState([], None)
        assert driven.erase("s") is False

    def test_what_was_shown_comes_when_asked_for_and_the_last_counts(self, driven: Driven) -> None:
        driven.append("s", [event(1)])
        driven.show("s", Shown("r0", "v0", "clicks", []))
        driven.show("s")
        assert driven.append("s").shown is None
        assert driven.append("s", with_shown=True).shown == SHOWN
        assert driven.append("other", with_shown=True).shown is None

    def test_a_session_can_be_shown_something_before_its_first_event(self, driven: Driven) -> None:
        driven.show("s")
        assert driven.append("s", with_shown=True) == SessionState([], SHOWN)

    @pytest.mark.parametrize("holds", ["events", "shown", "both"])
    def test_erasing_forgets_all_and_says_whether_there_was_any(self, driven: Driven, holds: str) -> None:
        if holds != "shown":
            driven.append("s", [event(1)])
        if holds != "events":
            driven.show("s")
        driven.append("t", [event(2)])
        assert driven.erase("s") is True
        assert driven.erase("s") is False
        assert driven.append("s", with_shown=True) == SessionState([], None)
        assert driven.held("t") == [event(2)]

    def test_calls_at_one_time_lose_nothing(self, driven: Driven) -> None:
        async def many() -> list[SessionState]:
            calls = [driven.store.append(n % 10, [event(n)]) for n in range(10 * KEEP)]
            return list(await asyncio.gather(*calls))

        found = driven.run(many())
        assert all(event(n) in state.events for n, state in enumerate(found))
        assert driven.held(3) == [event(n) for n in range(3, 10 * KEEP, 10)]

    def test_it_answers_and_its_breaker_is_closed(self, driven: Driven) -> None:
        driven.run(driven.store.ping())
        assert driven.store.state == "closed"

    def test_a_closed_store_fails_and_may_be_closed_again(self, driven: Driven) -> None:
        driven.append("s", [event(1)])
        driven.run(driven.store.close())
        driven.run(driven.store.close())
        driven.show("s")
        for call in (driven.store.append("s", []), driven.store.erase("s"), driven.store.ping()):
            with pytest.raises(SessionsUnavailable, match="closed"):
                driven.run(call)

    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(steps())
    def test_it_does_what_a_naive_store_does(self, driven: Driven, happened: list[tuple[Any, ...]]) -> None:
        self.empty(driven)
        naive = Naive()
        for name, *arguments in happened:
            assert getattr(driven, name)(*arguments) == getattr(naive, name)(*arguments), name

    def empty(self, driven: Driven) -> None:
        raise NotImplementedError
