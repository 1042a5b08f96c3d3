"""Exposures are written without anybody waiting, within bounds."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from nextcart.serving.event_log import Exposure, ExposureLog
from nextcart.serving.event_log import active as active_module
from tests.event_logs import config, endings, logged


def shown(number: int = 0, session: int | str = 1) -> Exposure:
    return Exposure(session, f"r{number}", number, "v1", "clicks", [1, 2])


def with_exposures(folder: Path, use: Callable[[ExposureLog], Awaitable[None]], **changes: int) -> None:
    async def main() -> None:
        log = ExposureLog(folder, config(**changes))
        try:
            await use(log)
        finally:
            await log.close()

    asyncio.run(main())


def test_a_tick_writes_what_waits_and_so_does_closing(folder: Path) -> None:
    async def use(log: ExposureLog) -> None:
        log.expose(shown(1))
        assert log.lag == 1
        assert not folder.exists()
        await log.tick()
        assert log.lag == 0
        assert [line["request_id"] for line in logged(folder)] == ["r1"]
        log.expose(shown(2))

    with_exposures(folder, use)
    assert [line["request_id"] for line in logged(folder)] == ["r1", "r2"]


def test_many_are_written_without_a_tick(folder: Path) -> None:
    async def use(log: ExposureLog) -> None:
        for number in range(1200):
            log.expose(shown(number))
        await log.flush()

    with_exposures(folder, use)
    assert [line["ts"] for line in logged(folder)] == list(range(1200))


def test_what_is_too_much_is_dropped_and_counted(folder: Path) -> None:
    async def use(log: ExposureLog) -> None:
        for number in range(30):
            log.expose(shown(number))
        assert log.dropped == 20
        await log.close()
        log.expose(shown())
        assert log.dropped == 21

    with_exposures(folder, use, max_pending=10)
    assert len(logged(folder)) == 10


def test_a_full_disk_drops_them_and_says_so_once(
    folder: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*arguments: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    async def use(log: ExposureLog) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(active_module.os, "pwrite", full)
            for number in range(2):
                log.expose(shown(number))
                await log.tick()
        log.expose(shown(3))
        await log.tick()
        assert log.dropped == 2

    with caplog.at_level(logging.WARNING):
        with_exposures(folder, use)
    assert [line["request_id"] for line in logged(folder)] == ["r3"]
    assert len(caplog.records) == 1


def test_segments_are_closed_compressed_and_erased_from(folder: Path) -> None:
    async def use(log: ExposureLog) -> None:
        for number, session in enumerate((12, "12", 12)):
            log.expose(shown(number, session))
            await log.tick()
        log.expose(shown(3, 12))
        removed = await log.erase([12])
        assert sorted(removed.values()) == [1, 1, 1]
        assert {name.split("-")[0] for name in removed} == {"exposures"}

    with_exposures(folder, use, segment_bytes=1)
    assert endings(folder) == [".jsonl.zst"]
    assert [line["session"] for line in logged(folder)] == ["12"]
