"""Worker processes that append to one event log and are killed with ``kill -9`` again and again.

    python benchmarks/event_log_kill.py [--events 100000] [--kill-after 0.1] [--seed 1] [--folder DIR]

Two workers write events with ids, fifty callers each; what is not acknowledged when a worker dies is sent again by
whichever comes next, with some that were acknowledged. In the end every acknowledged event must be in the log, and no
event twice. Prints what happened as JSON; fails where that does not hold.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import select
import signal
import struct
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from nextcart.config.serving import EventLogConfig
from nextcart.serving.event_log import EventLog, LoggedEvent
from nextcart.serving.event_log.segments import OPEN, closed, read, segments

WORKERS, CALLERS, SHARE = 2, 50, 2000
SENT_AGAIN = 50
"""So many acknowledged events are sent once more with each share."""
CONFIG = EventLogConfig(segment_bytes=256 * 1024, segment_seconds=1)
ACK = struct.Struct("<q")


@dataclass
class Worker:
    """A process, the events that it was given, and where it tells which are written."""

    pid: int
    given: list[int]
    acks: int
    heard: bytes = b""

    def hear(self) -> bool:
        """Read acknowledgements that have come; False at their end."""
        data = os.read(self.acks, 1 << 16)
        self.heard += data
        return bool(data)

    def acknowledged(self) -> set[int]:
        """The events that it has acknowledged."""
        whole = len(self.heard) // ACK.size * ACK.size
        return {number for (number,) in ACK.iter_unpack(self.heard[:whole])}


def begin(folder: Path, given: list[int]) -> Worker:
    """Fork a worker that appends these events and ends."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        asyncio.run(append_all(folder, given, writing))
        os._exit(0)
    os.close(writing)
    return Worker(pid, given, reading)


async def append_all(folder: Path, given: list[int], acks: int) -> None:
    """Append events by many callers at once; each tells when its event is on disk."""
    log = EventLog(folder, CONFIG)
    numbers = iter(given)

    async def call() -> None:
        for number in numbers:
            event = LoggedEvent(number % 1000, number % 777, 1_659_304_800_025 + number, "clicks", f"id-{number}")
            await log.append([event])
            os.write(acks, ACK.pack(number))

    async def tick() -> None:
        while True:
            await log.tick()
            await asyncio.sleep(0.02)

    ticking = asyncio.ensure_future(tick())
    await asyncio.gather(*(call() for _ in range(CALLERS)))
    ticking.cancel()
    await asyncio.gather(ticking, return_exceptions=True)
    await log.close()


def run(folder: Path, events: int, kill_after: float, seed: int) -> dict[str, float]:
    """Write so many events while workers are killed; what happened."""
    moments = random.Random(seed)  # noqa: S311 - moments to kill at, no secrets
    pool, workers, done = list(range(events)), list[Worker](), set[int]()
    kills, began = 0, time.monotonic()
    next_kill = began + moments.expovariate(1 / kill_after)
    while pool or workers:
        while pool and len(workers) < WORKERS:
            given, pool = pool[:SHARE], pool[SHARE:]
            given += moments.sample(sorted(done), min(SENT_AGAIN, len(done))) if len(done) < 20_000 else []
            moments.shuffle(given)
            workers.append(begin(folder, given))
        if time.monotonic() >= next_kill:
            os.kill(moments.choice(workers).pid, signal.SIGKILL)
            next_kill = time.monotonic() + moments.expovariate(1 / kill_after)
        ready = select.select([worker.acks for worker in workers], [], [], max(0.0, next_kill - time.monotonic()))[0]
        for worker in [worker for worker in workers if worker.acks in ready]:
            if worker.hear():
                continue
            status = os.waitpid(worker.pid, 0)[1]
            assert os.WIFSIGNALED(status) or os.waitstatus_to_exitcode(status) == 0
            os.close(worker.acks)
            kills += os.WIFSIGNALED(status)
            done |= worker.acknowledged()
            pool += [number for number in worker.given if number not in done]
            workers.remove(worker)
    seconds = time.monotonic() - began
    found = names(folder)
    return {
        "events": events,
        "acknowledged": len(done),
        "kills": kills,
        "segments": len(segments(folder)),
        "lost": len(done - set(found)),
        "twice": len(found) - len(set(found)),
        "wall_s": round(seconds, 2),
    }


def names(folder: Path) -> list[int]:
    """The events in the log, by number."""
    parts = [chunk for segment in closed(folder) for chunk in read(segment)]
    parts += [segment.path.read_bytes() for segment in segments(folder) if segment.ending == OPEN]
    return [int(json.loads(line)["event_id"].removeprefix("id-")) for line in b"".join(parts).splitlines()]


def main() -> None:
    """Run it and print what happened."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--kill-after", type=float, default=0.1, help="mean seconds between two kills")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--folder", type=Path, help="an empty folder for the log (default: a temporary one)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary) / "event_log"
        result = run(folder, arguments.events, arguments.kill_after, arguments.seed)
    print(json.dumps(result))
    assert result["acknowledged"] == arguments.events
    assert result["lost"] == result["twice"] == 0
    assert result["kills"] > 0


if __name__ == "__main__":
    main()
