"""On a disk that is full in truth the log refuses, keeps what it acknowledged, and goes on once there is room."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from nextcart.errors import LogFull
from nextcart.serving.event_log import EventLog, Exposure, ExposureLog
from tests.event_logs import click, config, endings, logged
from tests.integration.test_full_disk import mounting, room
from tests.running import ROOT

SIZE_KIB = 1024


def test_a_full_disk(tmp_path: Path) -> None:
    unshare = mounting()
    if unshare is None:
        pytest.skip("no disk may be mounted here")
    done = subprocess.run(
        [*unshare, sys.executable, "-m", __name__, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


async def fills_up(disk: Path) -> None:
    folder = disk / "event_log"
    log = EventLog(folder, config(segment_bytes=20_000))
    shown = ExposureLog(disk / "exposures", config())
    taken = 0

    async def take(events: int) -> None:
        nonlocal taken
        assert await log.append([click(event_id=f"{taken + i}") for i in range(events)]) == [True] * events
        taken += events

    await take(100)
    for kib in (0, 4, 12):
        with room(disk, kib):
            refused = 0
            while refused < 3:
                try:
                    await take(30)
                except LogFull:
                    refused += 1
                await log.tick()
            shown.expose(Exposure(1, "r", 1, "v", "clicks", list(range(5000))))
            await shown.tick()
            assert len(logged(folder)) == taken
        await take(1)
    assert shown.dropped > 0
    shown.expose(Exposure(1, "last", 1, "v", "clicks", []))
    await log.close()
    await shown.close()
    assert [line["event_id"] for line in logged(folder)] == [str(number) for number in range(taken)]
    assert logged(disk / "exposures")[-1]["request_id"] == "last"
    assert ".open" in endings(folder)


def on_a_small_disk(disk: Path) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={SIZE_KIB}k", "none", str(disk)], check=True)
    asyncio.run(fills_up(disk))


if __name__ == "__main__":
    on_a_small_disk(Path(sys.argv[1]))
