"""What the running service erases at once, what it leaves to ``nextcart erase``, and what is written down of it."""

from __future__ import annotations

import asyncio
import json
import stat
import threading
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import TypeVar

import msgspec
import pytest

from nextcart.config import EventLogConfig, SessionsConfig
from nextcart.errors import SessionsUnavailable, UnreadableInput
from nextcart.serving.erasing import ErasureRecords, Erasures, Found, Gone, LogFound, Receipt, id_forms
from nextcart.serving.event_log import EventLog, Exposure, ExposureLog, LoggedEvent
from nextcart.serving.event_log import erase as erase_lines
from nextcart.serving.problems import Problem
from nextcart.serving.schemas import Event
from nextcart.serving.sessions import MemorySessions
from nextcart.types import Id

T = TypeVar("T")
TS = 1_764_000_000_000
NOTHING = Receipt("r", "now", 1, Found(None, None, None, None, None), Gone("", "", "", ""))


def test_a_text_that_reads_as_an_integer_means_both() -> None:
    texts = ["12", "a", "0", "007", "-5", "1.0", " 1", "9" * 19, "9" * 20, "١"]
    forms = ["12", 12, "a", "0", 0, "007", "-5", -5, "1.0", " 1", "9" * 19, int("9" * 19), "9" * 20, "١"]
    assert id_forms(texts) == forms


class NoSessions(MemorySessions):
    """A session store that is down."""

    async def erase(self, session_id: Id) -> bool:
        raise SessionsUnavailable("Redis does not answer")


class NoLines:
    """A log that cannot be changed."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    async def erase(self, session_ids: Iterable[Id]) -> dict[str, int]:
        raise self.error


class Service:
    """What a worker holds, with the sessions 5, "5" and 6 in all of it."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.sessions = MemorySessions(SessionsConfig())
        self.event_log = EventLog(state / "event_log", EventLogConfig())
        self.exposures = ExposureLog(state / "exposures", EventLogConfig())

    def erasures(self, others_forget_seconds: float | None = None) -> Erasures:
        return Erasures(self.state, self.sessions, self.event_log, self.exposures, others_forget_seconds)

    async def fill(self) -> None:
        ids: list[Id] = [5, "5", 6]
        for session in ids:
            await self.sessions.append(session, [Event(1, TS, "clicks")])
            self.exposures.expose(Exposure(session, "r", TS, "v", "clicks", [1]))
        await self.event_log.append([LoggedEvent(session, aid, TS, "clicks") for session in ids for aid in (1, 2)])

    async def held(self) -> list[int]:
        return [len((await self.sessions.append(session, [])).events) for session in (5, "5", 6)]

    async def close(self) -> None:
        await self.event_log.close()
        await self.exposures.close()
        await self.sessions.close()


def with_service(state: Path, run: Callable[[Service], Awaitable[T]]) -> T:
    async def whole() -> T:
        service = Service(state)
        try:
            await service.fill()
            return await run(service)
        finally:
            await service.close()

    return asyncio.run(whole())


def test_what_the_service_holds_goes_at_once(tmp_path: Path) -> None:
    async def run(service: Service) -> Receipt:
        given = await service.erasures().erase("5")
        assert await service.held() == [0, 0, 1]
        return given

    given = with_service(tmp_path, run)
    assert given.sessions == 1
    assert given.found == Found(2, LogFound(1, 4), LogFound(1, 2), None, None)
    assert given.gone.session_store == given.gone.event_log == "now"
    assert given.gone.event_store == "with the next 'nextcart erase --pending'"
    assert given.gone.models == "with the next training and promotion"
    for folder, lines in (("event_log", 2), ("exposures", 1)):
        assert erase_lines(tmp_path / folder, [5, "5"]) == {}
        assert sum(erase_lines(tmp_path / folder, [6]).values()) == lines
    assert ErasureRecords(tmp_path).pending() == ["5"]


def test_nowhere_is_no_error(tmp_path: Path) -> None:
    given = with_service(tmp_path, lambda service: service.erasures().erase("nobody"))
    assert given.found == Found(0, LogFound(0, 0), LogFound(0, 0), None, None)
    assert ErasureRecords(tmp_path).pending() == ["nobody"]


def test_workers_with_sessions_of_their_own_say_so(tmp_path: Path) -> None:
    given = with_service(tmp_path, lambda service: service.erasures(1800.0).erase("5"))
    assert given.gone.session_store.startswith("now in this worker process, in the others 1800 s after")


def test_what_cannot_be_reached_is_left_to_the_command(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def run(service: Service) -> Receipt:
        down = NoSessions(SessionsConfig())
        broken = NoLines(UnreadableInput("events-1.jsonl.zst: is damaged"))
        return await Erasures(service.state, down, broken, service.exposures).erase("5")

    given = with_service(tmp_path, run)
    assert given.found == Found(None, None, LogFound(1, 2), None, None)
    later = "with the next 'nextcart erase --pending'"
    assert (given.gone.session_store, given.gone.event_log) == (later, later)
    assert "events-1.jsonl.zst: is damaged" in caplog.text
    full = NoLines(OSError(28, "No space left on device"))
    given = with_service(tmp_path, lambda s: Erasures(s.state, s.sessions, full, full).erase("5"))
    assert (given.found.event_log, given.found.exposures) == (None, None)


def test_a_wish_that_cannot_be_written_down_is_refused(tmp_path: Path) -> None:
    (tmp_path / "erasures").write_text("a file where the folder should be")

    async def run(service: Service) -> list[int]:
        with pytest.raises(Problem, match="nothing was erased; free space") as raised:
            await service.erasures().erase("5")
        assert (raised.value.status, raised.value.kind) == (503, "erasure-not-kept")
        return await service.held()

    assert with_service(tmp_path, run) == [1, 1, 1]


def test_a_receipt_that_cannot_be_kept_is_given_all_the_same(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "erasures" / "receipts.jsonl").mkdir(parents=True)
    given = with_service(tmp_path, lambda service: service.erasures().erase("5"))
    assert given.found.session_store == 2
    assert f"receipt {given.receipt_id} cannot be kept" in caplog.text


def test_no_log_names_the_session(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    with_service(tmp_path, lambda s: Erasures(s.state, s.sessions, NoLines(OSError()), s.exposures).erase("a-visitor"))
    assert "a-visitor" not in caplog.text


def test_pending_ids_are_kept_once_and_struck_out(tmp_path: Path) -> None:
    records = ErasureRecords(tmp_path)
    assert records.pending() == []
    records.clear({"a"})
    assert not (tmp_path / "erasures").exists()
    records.add_pending(["a", "line\nbreak", "ü"])
    records.add_pending(["a", "5"])
    assert records.pending() == ["a", "line\nbreak", "ü", "5"]
    records.clear({"a", "5", "other"})
    assert records.pending() == ["line\nbreak", "ü"]
    records.clear({"line\nbreak", "ü"})
    assert records.pending() == []


def test_a_line_cut_short_by_a_crash_is_no_obstacle(tmp_path: Path) -> None:
    records = ErasureRecords(tmp_path)
    records.add_pending(["a"])
    with (tmp_path / "erasures" / "pending.jsonl").open("ab") as file:
        file.write(b'"half \xc3')
    assert records.pending() == ["a"]
    records.add_pending(["b"])
    assert records.pending() == ["a", "b"]
    records.clear({"a"})
    assert (tmp_path / "erasures" / "pending.jsonl").read_text() == '"b"\n'


def test_what_comes_while_others_are_struck_out_stays(tmp_path: Path) -> None:
    def ask(number: int) -> None:
        for place in range(20):
            ErasureRecords(tmp_path).add_pending([f"{number}-{place}"])

    ErasureRecords(tmp_path).add_pending(["done"])
    threads = [threading.Thread(target=ask, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        ErasureRecords(tmp_path).clear({"done"})
    ErasureRecords(tmp_path).clear({"done"})
    assert sorted(ErasureRecords(tmp_path).pending()) == sorted(f"{n}-{place}" for n in range(3) for place in range(20))


def test_receipts_name_nobody_but_can_be_checked_with_an_id(tmp_path: Path) -> None:
    ErasureRecords(tmp_path).keep(NOTHING, ["a-visitor", "another"])
    ErasureRecords(tmp_path).keep(NOTHING, ["a-visitor"])
    folder = tmp_path / "erasures"
    assert b"visitor" not in b"".join(file.read_bytes() for file in folder.iterdir())
    first, second = [json.loads(line) for line in (folder / "receipts.jsonl").read_text().splitlines()]
    assert first["receipt"] == msgspec.to_builtins(NOTHING)
    assert (len(first["digests"]), second["digests"]) == (2, first["digests"][:1])


def test_only_the_owner_reads_what_is_written_down(tmp_path: Path) -> None:
    records = ErasureRecords(tmp_path)
    records.add_pending(["a", "b"])
    records.keep(NOTHING, ["a"])
    records.clear({"a"})
    for name in ("pending.jsonl", "receipts.jsonl", "salt"):
        assert stat.S_IMODE((tmp_path / "erasures" / name).stat().st_mode) == 0o600
