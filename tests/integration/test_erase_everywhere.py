"""``nextcart erase``: a session out of a real Redis, the event log, the event store, and what learned of it named."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from nextcart.config import EventLogConfig, SessionsConfig, Settings
from nextcart.errors import SessionsUnavailable, StoreError
from nextcart.events.ingest import ingest
from nextcart.events.store import Store
from nextcart.events.writing import writer
from nextcart.serving.erasing import ErasureRecords, LogFound, StoreFound
from nextcart.serving.erasing.everywhere import Places, erase_everywhere
from nextcart.serving.event_log import EventLog, Exposure, ExposureLog, LoggedEvent
from nextcart.serving.schemas import Event
from nextcart.serving.sessions import open_sessions
from nextcart.types import Id
from tests.raw_files import START, many_lines, write
from tests.redis_server import RedisServer, redis_server

HELD: tuple[Id, ...] = (5, "5", 6)


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with redis_server() as server:
        yield server


@pytest.fixture
def places(tmp_path: Path) -> Places:
    """A store of ten sessions, and logs that hold three."""
    ingest([write(tmp_path / "a.jsonl", many_lines(10))], tmp_path / "store")
    asyncio.run(_log(tmp_path / "state"))
    return Places(tmp_path / "store", tmp_path / "models", tmp_path / "state")


async def _log(state: Path) -> None:
    log, exposures = EventLog(state / "event_log", EventLogConfig()), ExposureLog(state / "exposures", EventLogConfig())
    await log.append([LoggedEvent(session, 1, START, "clicks") for session in HELD])
    for session in HELD:
        exposures.expose(Exposure(session, "r", START, "v", "clicks", [1]))
    await log.close()
    await exposures.close()


async def _visit(config: SessionsConfig) -> list[int]:
    """Look at an item in each session; how many items each has looked at."""
    store = open_sessions(config)
    try:
        return [len((await store.append(session, [Event(1, START, "clicks")])).events) for session in HELD]
    finally:
        await store.close()


async def _events(config: SessionsConfig) -> list[int]:
    store = open_sessions(config)
    try:
        return [len((await store.append(session, [])).events) for session in HELD]
    finally:
        await store.close()


def settings_with(server: RedisServer) -> Settings:
    # The first connection of a busy machine may take longer than what serving allows.
    return Settings(sessions=SessionsConfig(redis_url=server.url, timeout_ms=2000))


def test_every_place_at_once(places: Places, server: RedisServer) -> None:
    settings = settings_with(server)
    assert asyncio.run(_visit(settings.sessions)) == [1, 1, 1]
    given = erase_everywhere(["5", "nobody"], places, settings)
    assert given.sessions == 2
    assert given.found.session_store == 2
    assert given.found.event_log == LogFound(1, 2)
    assert given.found.exposures == LogFound(1, 2)
    assert given.found.event_store == StoreFound(1, 10, {"train": 10}, 0)
    assert given.found.models == []
    assert (given.gone.session_store, given.gone.event_log, given.gone.event_store) == ("now", "now", "now")
    assert asyncio.run(_events(settings.sessions)) == [0, 0, 1]
    again = erase_everywhere(["5"], places, settings)
    assert again.receipt_id != given.receipt_id
    assert again.found.session_store == 0
    assert again.found.event_log == again.found.exposures == LogFound(0, 0)
    assert again.found.event_store == StoreFound(0, 0, {}, 0)


def test_sessions_in_the_server_s_memory_are_out_of_reach(places: Places) -> None:
    given = erase_everywhere(["5"], places, Settings())
    assert given.found.session_store is None
    assert given.gone.session_store == "1800 s after its last request; at once by DELETE /v1/sessions/{id}"


def test_where_there_is_nothing_at_all(tmp_path: Path) -> None:
    places = Places(tmp_path / "store", tmp_path / "models", tmp_path / "state")
    given = erase_everywhere(["5"], places, Settings())
    assert given.found.event_store is None
    assert given.found.event_log == LogFound(0, 0)
    assert [entry.name for entry in tmp_path.iterdir()] == ["state"]
    assert [entry.name for entry in (tmp_path / "state").iterdir()] == ["erasures"]


def test_what_waited_is_struck_out_and_nothing_else(places: Places) -> None:
    records = ErasureRecords(places.state)
    records.add_pending(["5", "6"])
    erase_everywhere(["5"], places, Settings())
    assert records.pending() == ["6"]
    erase_everywhere(records.pending(), places, Settings())
    assert records.pending() == []
    assert Store.open(places.store).manifest.splits["train"].sessions == 8
    receipts = (places.state / "erasures" / "receipts.jsonl").read_bytes()
    erase_everywhere([], places, Settings())
    assert (places.state / "erasures" / "receipts.jsonl").read_bytes() == receipts


def test_what_cannot_be_done_now_is_done_when_asked_again(places: Places, server: RedisServer) -> None:
    settings = settings_with(server)
    ErasureRecords(places.state).add_pending(["5"])
    with redis_server() as other:
        gone = settings_with(other)
    with pytest.raises(SessionsUnavailable):
        erase_everywhere(["5"], places, gone)
    with writer(places.store), pytest.raises(StoreError, match="another nextcart process"):
        erase_everywhere(["5"], places, settings)
    assert ErasureRecords(places.state).pending() == ["5"]
    given = erase_everywhere(["5"], places, settings)
    assert given.found.event_store == StoreFound(1, 10, {"train": 10}, 0)
    assert given.found.event_log == LogFound(1, 2)
    assert ErasureRecords(places.state).pending() == []


def test_an_ingest_of_the_event_log_brings_no_erased_session_back(places: Places, tmp_path: Path) -> None:
    shutil.copytree(places.state / "event_log", tmp_path / "kept")
    erase_everywhere(["5", "6"], places, Settings())
    (segment,) = (tmp_path / "kept").glob("events-*.open")
    summary = ingest([segment.rename(segment.with_suffix(".jsonl"))], places.store)
    # 5 and "5" are one session in a store of integers, so one of their equal events is a duplicate.
    assert (summary.added_events, summary.duplicates, summary.erased) == (0, 1, 2)
    assert summary.sessions == 8
