"""What an acknowledged event costs, and that none is lost to ``kill -9``.

    python benchmarks/event_log.py [--events 20000] [--killed-events 100000] [--folder DIR] [--output FILE]

One worker, closed loop: 1, 10 or 100 callers at once, each with one event at a time, or one caller with as many events
in a call; beside it the plain way, one append and one fsync an event. CPU of the whole process, all threads. Then
exposures, what a start with 200,000 remembered ids takes, and `event_log_kill.py`. The folder should lie on the disk
that counts.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import psutil
import uvloop
from pipeline import environment

from nextcart.config.serving import EventLogConfig
from nextcart.serving.event_log import EventLog, Exposure, ExposureLog, LoggedEvent
from nextcart.serving.event_log.lines import event_line

GROUPS, ROUNDS = (1, 10, 100), 3
EXPOSURES, SHOWN = 50_000, 20
DEFAULT_OUTPUT = Path(__file__).parent / "results" / "event_log.json"


@dataclass(frozen=True, slots=True)
class Measured:
    """One way of writing: the median of its rounds."""

    way: str
    at_once: int
    events: int
    events_per_s: int
    cpu_us_per_event: float


def event(number: int) -> LoggedEvent:
    """An event as a shop's page sends it."""
    session, aid = number * 7919 % 1_000_003, number * 104_729 % 1_855_603
    return LoggedEvent(session, aid, 1_659_304_800_025 + number, "clicks", f"{number:032x}", f"{number:026x}")


Write = Callable[[Path, list[LoggedEvent], int], None]


def by_callers(folder: Path, events: list[LoggedEvent], at_once: int) -> None:
    """So many callers at once, each with one event at a time."""

    async def use(log: EventLog) -> None:
        waiting = iter(events)

        async def call() -> None:
            for one in waiting:
                await log.append([one])

        await asyncio.gather(*(call() for _ in range(at_once)))

    _with_log(folder, use)


def by_calls(folder: Path, events: list[LoggedEvent], at_once: int) -> None:
    """One caller, so many events in a call."""

    async def use(log: EventLog) -> None:
        for first in range(0, len(events), at_once):
            await log.append(events[first : first + at_once])

    _with_log(folder, use)


def plainly(folder: Path, events: list[LoggedEvent], at_once: int) -> None:
    """One append and one fsync an event; knows no ids and has no callers."""
    del at_once
    folder.mkdir()
    with (folder / "events.jsonl").open("ab", buffering=0) as file:
        for one in events:
            file.write(event_line(one, time.time_ns() // 1_000_000))
            os.fsync(file.fileno())


def _with_log(folder: Path, use: Callable[[EventLog], Any]) -> None:
    async def main() -> None:
        log = EventLog(folder, EventLogConfig())
        await use(log)
        await log.close()

    uvloop.run(main())


def measure(way: str, write: Write, folder: Path, at_once: int, events: int) -> Measured:
    """Write so many events in a few rounds, each into a log of its own."""
    sent = [event(number) for number in range(events)]
    walls, cpus = [], []
    for number in range(ROUNDS):
        into = folder / f"{way}-{at_once}-{number}".replace(" ", "-")
        wall, cpu = time.perf_counter(), time.process_time()
        write(into, sent, at_once)
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    return Measured(way, at_once, events, round(events / median(walls)), round(median(cpus) / events * 1e6, 2))


def exposures(folder: Path) -> dict[str, float]:
    """CPU microseconds an exposure: of the call on the event loop, and with its write in the thread."""
    items = list(range(SHOWN))
    calls = []

    async def main() -> None:
        log = ExposureLog(folder / "exposures", EventLogConfig(max_pending=EXPOSURES))
        for _ in range(EXPOSURES // 500):
            began = time.thread_time()
            for number in range(500):
                log.expose(Exposure(number, "request", 1_659_304_800_025, "20261124T021500Z", "clicks", items))
            calls.append((time.thread_time() - began) / 500)
            await log.tick()
        assert log.dropped == 0
        await log.close()

    began = time.process_time()
    uvloop.run(main())
    total = time.process_time() - began
    return {"call_cpu_us": round(median(calls) * 1e6, 2), "all_cpu_us": round(total / EXPOSURES * 1e6, 2)}


def start(folder: Path) -> dict[str, float]:
    """What the first event takes after a start, with 200,000 ids to remember from compressed segments, and memory."""
    ids, process = 200_000, psutil.Process()
    config = EventLogConfig(segment_bytes=8 * 1024 * 1024, remembered_ids=ids)

    async def fill() -> None:
        log = EventLog(folder / "start", config)
        for first in range(0, ids, 5000):
            await log.append([event(number) for number in range(first, first + 5000)])
        await log.tick()
        await log.close()

    async def first() -> dict[str, float]:
        log = EventLog(folder / "start", config)
        memory, wall, cpu = process.memory_info().rss, time.perf_counter(), time.process_time()
        assert await log.append([event(0), event(ids)]) == [False, True]
        took = {"first_event_s": time.perf_counter() - wall, "first_event_cpu_s": time.process_time() - cpu}
        grown = (process.memory_info().rss - memory) / 2**20
        await log.close()
        return {name: round(seconds, 3) for name, seconds in took.items()} | {"memory_mib": round(grown, 1)}

    uvloop.run(fill())
    return {"remembered_ids": ids} | uvloop.run(first())


def killed(events: int, folder: Path) -> dict[str, Any]:
    """The run of `event_log_kill.py`, which fails where an event is lost or there twice."""
    program = str(Path(__file__).with_name("event_log_kill.py"))
    command = [sys.executable, program, "--events", str(events), "--folder", str(folder / "killed")]
    return dict(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout))


def main() -> None:
    """Measure all of it, print the table, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=20_000, help="events a round")
    parser.add_argument("--killed-events", type=int, default=100_000)
    parser.add_argument("--folder", type=Path, help="where the log is written (default: the system's temporary folder)")
    parser.add_argument("--output", type=Path, default=DEFAULT_OUTPUT)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as temporary:
        folder = Path(temporary)
        started = start(folder)
        ways = [measure("append and fsync an event", plainly, folder, 1, arguments.events)]
        for at_once in GROUPS:
            ways.append(measure("event log, callers", by_callers, folder, at_once, arguments.events))
            ways.append(measure("event log, events a call", by_calls, folder, at_once, arguments.events))
        shown = exposures(folder)
        result = {
            "created_at": datetime.now(UTC).isoformat(),
            "environment": environment(("nextcart", "msgspec", "pyarrow", "uvloop")),
            "ways": [asdict(way) for way in ways],
            "exposures": shown,
            "start": started,
            "killed": killed(arguments.killed_events, folder),
        }
    arguments.output.write_text(json.dumps(result, indent=1) + "\n")
    print(f"{'way':28}{'at once':>8}{'events/s':>10}{'CPU µs/event':>14}")
    for way in ways:
        print(f"{way.way:28}{way.at_once:>8}{way.events_per_s:>10,}{way.cpu_us_per_event:>14}")
    for name in ("exposures", "start", "killed"):
        print(f"{name}: {result[name]}")


if __name__ == "__main__":
    main()
