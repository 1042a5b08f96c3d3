"""Old segments are removed whole, the oldest first, and only as configured."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from pathlib import Path

import pytest

from nextcart.serving.event_log import EventLog, Exposure, ExposureLog, erase
from nextcart.serving.event_log.lines import exposure_lines
from nextcart.serving.event_log.packing import changing, pack_all
from nextcart.serving.event_log.retention import DAY_SECONDS, Retention, remove_old
from nextcart.serving.event_log.segments import closed
from tests.event_logs import click, config, fill, logged, sessions, with_log


def age(folder: Path, *days: float) -> None:
    """The segments' last lines are so old, the first one's first."""
    now = time.time()
    for segment, old in zip(closed(folder), days, strict=True):
        os.utime(segment.path, (now, now - old * DAY_SECONDS))


@pytest.mark.parametrize("pack", [False, True])
def test_segments_older_than_they_may_be_are_removed(folder: Path, pack: bool) -> None:
    fill(folder, "a", "b", "c", "d", pack=pack)
    age(folder, 9, 8, 6, 0)
    assert remove_old(folder, Retention(seconds=7 * DAY_SECONDS)) == 2
    assert sessions(folder) == "cd"
    assert remove_old(folder, Retention(seconds=7 * DAY_SECONDS)) == 0


def test_of_more_bytes_than_may_be_the_oldest_go(folder: Path) -> None:
    fill(folder, "a", "bbb", "c", "d")
    age(folder, 0, 0, 0, 0)
    size = sum(segment.path.stat().st_size for segment in closed(folder))
    assert remove_old(folder, Retention(bytes=size)) == 0
    assert remove_old(folder, Retention(bytes=size - 1)) == 1
    assert sessions(folder) == "bbbcd"


def test_without_a_limit_everything_stays(folder: Path) -> None:
    fill(folder, "a", "b")
    age(folder, 10_000, 10_000)
    assert remove_old(folder, Retention()) == 0
    assert sessions(folder) == "ab"


def test_a_younger_segment_stays_and_so_does_what_was_written_after_it(folder: Path) -> None:
    fill(folder, "a", "b", "c")
    age(folder, 9, 1, 9)
    assert remove_old(folder, Retention(seconds=7 * DAY_SECONDS)) == 1
    assert sessions(folder) == "bc"


def test_the_newest_stays_since_numbers_count_on_from_it(folder: Path) -> None:
    fill(folder, "a", "b")
    age(folder, 9, 9)
    assert remove_old(folder, Retention(1, 1)) == 1
    assert sessions(folder) == "b"


def test_nothing_is_removed_while_another_process_works_on_closed_segments(folder: Path) -> None:
    fill(folder, "a", "b")
    age(folder, 9, 9)
    with changing(folder, wait=True):
        assert remove_old(folder, Retention(seconds=1)) == 0
    assert sessions(folder) == "ab"


def test_workers_that_compress_and_remove_at_once_do_not_disturb_each_other(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    fill(folder, *"abcdefgh")
    age(folder, *[9] * 4, *[1] * 4)

    async def main() -> None:
        workers = [EventLog(folder, config(keep_days=7)) for _ in range(4)]
        await asyncio.gather(*(worker.tick() for worker in workers))
        await asyncio.gather(*(worker.close() for worker in workers))

    with caplog.at_level(logging.WARNING, "nextcart"):
        asyncio.run(main())
    assert not caplog.records
    assert sessions(folder) == "efgh"


def test_a_segment_is_no_younger_for_having_been_compressed_and_erased_from(folder: Path) -> None:
    fill(folder, "ab", "c")
    age(folder, 9, 9)
    pack_all(folder)
    erase(folder, ["a"])
    assert remove_old(folder, Retention(seconds=7 * DAY_SECONDS)) == 1
    assert sessions(folder) == "c"


def test_a_folder_that_is_not_there_stays_away(folder: Path) -> None:
    assert remove_old(folder, Retention(1, 1)) == 0
    assert not folder.exists()


@pytest.mark.parametrize(("keep_days", "left"), [(0, "abc"), (7, "bc")])
def test_upkeep_removes_old_events_where_it_is_told_to(
    folder: Path, keep_days: float, left: str, caplog: pytest.LogCaptureFixture
) -> None:
    fill(folder, "a", "b", pack=True)
    age(folder, 400, 1)

    async def use(log: EventLog) -> None:
        await log.append([click("c")])
        await log.tick()

    with caplog.at_level(logging.INFO, "nextcart"):
        with_log(folder, use, keep_days=keep_days)
    assert sessions(folder) == left
    assert [record.message for record in caplog.records] == (
        [f"{folder}: 1 old segments are removed, up to events-20261124T021500Z-000001"] if keep_days else []
    )


def test_exposures_go_after_a_month_by_themselves(folder: Path) -> None:
    shown = [exposure_lines([Exposure(1, name, 1, "v1", "clicks", [1])]) for name in ("old", "new")]
    folder.mkdir()
    for number, lines in enumerate(shown, 1):
        (folder / f"exposures-20261124T021500Z-{number:06d}.jsonl").write_bytes(lines)
    age(folder, 31, 29)

    async def main() -> None:
        log = ExposureLog(folder, config())
        await log.tick()
        await log.close()

    asyncio.run(main())
    assert [line["request_id"] for line in logged(folder)] == ["new"]
