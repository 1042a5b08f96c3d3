"""Group commit, ids once, limits, failures, upkeep."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from nextcart.errors import LogBusy, LogFull, LogUnavailable
from nextcart.serving.event_log import EventLog, LoggedEvent
from nextcart.serving.event_log import active as active_module
from nextcart.serving.event_log import keeper as keeper_module
from nextcart.serving.event_log import packing as packing_module
from tests.event_logs import click, config, endings, logged, names, with_log


async def tend(log: EventLog) -> None:
    """A tick, and what it has begun."""
    await log.tick()
    await log.erase([])


def fail(code: int) -> Callable[..., int]:
    def call(*arguments: object) -> int:
        raise OSError(code, os.strerror(code))

    return call


def hold(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Lets a sync wait until it is told to go on."""
    go_on, real = threading.Event(), os.fdatasync

    def call(descriptor: int) -> None:
        assert go_on.wait(5)
        real(descriptor)

    monkeypatch.setattr(active_module.os, "fdatasync", call)
    return go_on


def test_an_event_stands_on_a_line_of_its_own(folder: Path) -> None:
    event = LoggedEvent("s", "sku", 1_659_304_800_025, "carts", "e1", "r1")
    before = time.time() * 1000 - 1

    async def use(log: EventLog) -> list[bool]:
        assert not folder.exists()
        return await log.append([event])

    assert with_log(folder, use) == [True]
    (line,) = logged(folder)
    assert before <= line.pop("received_ts") <= time.time() * 1000
    assert line == {
        "session": "s",
        "events": [{"aid": "sku", "ts": 1_659_304_800_025, "type": "carts"}],
        "event_id": "e1",
        "request_id": "r1",
    }


def test_no_events_are_no_commit(folder: Path) -> None:
    assert with_log(folder, lambda log: log.append([])) == []
    assert not folder.exists()


def test_an_id_is_taken_once_and_events_without_one_always(folder: Path) -> None:
    async def use(log: EventLog) -> None:
        assert await log.append([click(event_id="a"), click(), click(event_id="a"), click()]) == [
            True,
            True,
            False,
            True,
        ]
        assert await log.append([click(event_id="a"), click(event_id="b")]) == [False, True]

    with_log(folder, use)
    assert names(folder) == ["a", None, None, "b"]


def test_ids_are_known_after_a_start_from_compressed_closed_and_active_segments(folder: Path) -> None:
    async def one_each(log: EventLog) -> None:
        for name in "abc":
            await log.append([click(event_id=name)])

    with_log(folder, one_each, segment_bytes=1)
    assert endings(folder) == [".jsonl"] * 3
    with_log(folder, tend)
    with_log(folder, lambda log: log.append([click(event_id="d")]), segment_bytes=1)
    with_log(folder, lambda log: log.append([click(event_id="e")]))
    assert endings(folder) == [".jsonl.zst"] * 3 + [".jsonl", ".open"]
    again = [click(event_id=name) for name in "abcdef"]
    assert with_log(folder, lambda log: log.append(again)) == [False] * 5 + [True]
    # Of three remembered ids the newest are d, e and f; the others are taken as new.
    assert with_log(folder, lambda log: log.append(again), remembered_ids=3) == [True] * 3 + [False] * 3


def test_a_segment_that_cannot_be_read_costs_its_ids_alone(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def two(log: EventLog) -> None:
        await log.append([click(event_id="a")])
        await log.append([click(event_id="b")])
        await tend(log)

    with_log(folder, two, segment_bytes=1)
    next(iter(sorted(folder.glob("*.zst")))).write_bytes(b"damaged")
    again = [click(event_id="a"), click(event_id="b")]
    assert with_log(folder, lambda log: log.append(again)) == [True, False]
    assert "event ids are not remembered" in caplog.text


def test_two_workers_share_a_segment_and_its_ids(folder: Path) -> None:
    async def main() -> None:
        one, two = (EventLog(folder, config()) for _ in range(2))
        for _ in range(3):
            both = await asyncio.gather(
                *(log.append([click(event_id=f"{i}")]) for i in range(50) for log in (one, two))
            )
            assert sum(is_new for (is_new,) in both) in (0, 50)
        await one.close()
        await two.close()

    asyncio.run(main())
    assert sorted(names(folder), key=str) == sorted(map(str, range(50)))
    assert endings(folder) == [".open"]


def test_callers_gather_while_a_commit_is_on_its_way(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go_on = hold(monkeypatch)
    commits: list[int] = []

    async def main() -> None:
        log = EventLog(folder, config(), lambda events, seconds: commits.append(events))
        callers = [asyncio.ensure_future(log.append([click(event_id=f"{i % 4}")])) for i in range(6)]
        await asyncio.sleep(0.01)
        assert log.lag == 6
        assert not any(caller.done() for caller in callers)
        go_on.set()
        assert [(await caller)[0] for caller in callers] == [True] * 4 + [False] * 2
        assert log.lag == 0
        assert log.last_commit_seconds > 0
        await log.close()

    asyncio.run(main())
    assert commits == [1, 5]


def test_a_caller_that_is_cancelled_takes_nothing_back(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go_on = hold(monkeypatch)

    async def use(log: EventLog) -> None:
        callers = [asyncio.ensure_future(log.append([click(event_id=name)])) for name in "ab"]
        await asyncio.sleep(0)
        for caller in callers:
            caller.cancel()
        go_on.set()
        assert await asyncio.gather(*callers, return_exceptions=True)
        assert await log.append([click(event_id="a"), click(event_id="b")]) == [False, False]

    with_log(folder, use)
    assert names(folder) == ["a", "b"]


def test_too_many_waiting_events_are_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go_on = hold(monkeypatch)

    async def use(log: EventLog) -> None:
        # With none waiting any number is taken: a caller could never send so many otherwise.
        first = asyncio.ensure_future(log.append([click()] * 11))
        await asyncio.sleep(0)
        with pytest.raises(LogBusy, match="11 events wait"):
            await log.append([click()])
        go_on.set()
        await first
        second = asyncio.ensure_future(log.append([click()] * 6))
        third = asyncio.ensure_future(log.append([click()] * 4))
        await asyncio.gather(second, third)

    with_log(folder, use, max_pending=10)
    assert len(logged(folder)) == 21


@pytest.mark.parametrize("name", ["pwrite", "fdatasync"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EROFS])
def test_a_disk_that_takes_nothing_fails_the_commit_and_no_other(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, code: int
) -> None:
    async def use(log: EventLog) -> None:
        await log.append([click(event_id="before")])
        with monkeypatch.context() as patch:
            patch.setattr(active_module.os, name, fail(code))
            callers = [log.append([click(event_id=name)]) for name in "ab"]
            for failed in await asyncio.gather(*callers, return_exceptions=True):
                assert isinstance(failed, LogFull)
                assert str(folder) in str(failed)
                assert os.strerror(code) in str(failed)
        assert log.lag == 0
        assert await log.append([click(event_id=name) for name in ("a", "b", "before")]) == [True, True, False]

    with_log(folder, use)
    assert names(folder) == ["before", "a", "b"]


def test_a_folder_that_cannot_be_made_is_a_full_log(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    async def use(log: EventLog) -> None:
        with pytest.raises(LogFull, match="make the folder writable"):
            await log.append([click()])
        await tend(log)

    with_log(tmp_path / "file" / "event_log", use)


def test_an_event_that_is_no_text_fails_its_caller_alone(folder: Path) -> None:
    async def use(log: EventLog) -> None:
        callers = [log.append([click("\ud800")]), log.append([click()])]
        bad, good = await asyncio.gather(*callers, return_exceptions=True)
        assert isinstance(bad, UnicodeEncodeError)
        assert good == [True]
        assert log.lag == 0

    with_log(folder, use)


def test_closing_waits_for_what_waits_and_takes_no_more(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    go_on = hold(monkeypatch)

    async def main() -> None:
        log = EventLog(folder, config())
        callers = [asyncio.ensure_future(log.append([click()])) for _ in range(3)]
        await asyncio.sleep(0)
        closing = asyncio.ensure_future(log.close())
        await asyncio.sleep(0)
        with pytest.raises(LogUnavailable, match="is closed"):
            await log.append([click()])
        go_on.set()
        await closing
        assert [await caller for caller in callers] == [[True]] * 3

    asyncio.run(main())
    assert len(logged(folder)) == 3


def test_a_quiet_log_closes_its_segment_and_compresses_it(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def use(log: EventLog) -> None:
        await tend(log)
        assert not folder.exists()
        await log.append([click(event_id="a")])
        await tend(log)
        assert endings(folder) == [".open"]
        later = time.time() + 61
        monkeypatch.setattr(active_module.time, "time", lambda: later)
        await tend(log)
        assert endings(folder) == [".jsonl.zst"]
        await tend(log)
        assert await log.append([click(event_id="a"), click(event_id="b")]) == [False, True]

    with_log(folder, use, segment_seconds=60)
    assert names(folder) == ["a", "b"]


def test_a_tick_learns_what_other_workers_wrote(folder: Path) -> None:
    async def main() -> None:
        one, two = (EventLog(folder, config()) for _ in range(2))
        await one.append([click(event_id="a")])
        await two.tick()
        for path in folder.glob("*.open"):
            path.unlink()
        assert await two.append([click(event_id="a")]) == [False]
        await one.close()
        await two.close()

    asyncio.run(main())


def test_upkeep_that_fails_costs_no_event_and_is_said_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    clock = [time.monotonic()]
    monkeypatch.setattr(keeper_module.time, "monotonic", lambda: clock[0])

    async def use(log: EventLog) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(packing_module, "sync", fail(errno.ENOSPC))
            for name in "abc":
                assert await log.append([click(event_id=name)]) == [True]
                await tend(log)
        assert endings(folder) == [".jsonl"] * 3
        assert not list(folder.glob("*.part"))
        clock[0] += keeper_module.PATIENCE_SECONDS
        await tend(log)

    with caplog.at_level(logging.WARNING):
        with_log(folder, use, segment_bytes=1)
    assert [record.message for record in caplog.records] == [
        f"{folder}: a segment could not be compressed now ([Errno 28] No space left on device)"
    ]
    assert endings(folder) == [".jsonl.zst"] * 3
    assert names(folder) == ["a", "b", "c"]
