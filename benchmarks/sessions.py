"""What sessions cost a worker: CPU microseconds a request, in memory, over nextcart's link, and over redis-py's client.

    python benchmarks/sessions.py [--requests N] [--output FILE]

A request appends an event to a session that holds 20, is given all of them with what was last shown, and remembers what
is shown now. Each way runs in this process, one after the other, in rounds, under uvloop, against one redis-server on
this machine; only the CPU time of this process counts, and that of Redis is shown beside it. ``alone`` is one request
at a time, which pays every system call by itself; the others are so many clients at once.
"""

from __future__ import annotations

import argparse
import asyncio
import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import psutil
import redis.asyncio
import uvloop
from pipeline import environment

from nextcart.config import SessionsConfig
from nextcart.serving.schemas import Event
from nextcart.serving.sessions import SessionStore, Shown, open_sessions
from nextcart.serving.sessions.packing import pack, pack_shown, unpack, unpack_shown
from nextcart.serving.sessions.redis_store import APPEND
from nextcart.types import TYPE_NAMES

HELD, SESSIONS, ITEMS = 20, 500, 1_855_603
AT_ONCE = (1, 4, 16, 64)
ROUNDS = 5
PACKAGES = ("nextcart", "redis", "hiredis", "uvloop", "msgspec")
TARGET_US = 30.0
TS = 1_724_000_000_000
KEPT_SESSIONS = 200_000
"""Sessions of `HELD` events whose memory is measured."""
DEFAULT_OUTPUT = Path(__file__).parent / "results" / "sessions.json"
ROOT = Path(__file__).resolve().parents[1]

Request = Callable[[int], Awaitable[None]]
"""Appends to the session of this number, and shows."""


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=10_000, help="a round and number of clients")
    parser.add_argument("--output", type=Path, default=DEFAULT_OUTPUT)
    options = parser.parse_args()
    sys.path.insert(0, str(ROOT))
    from tests.redis_server import redis_server

    with redis_server() as server:
        rows = uvloop.run(measure_all(server.url, server.pid, options.requests))
    memory = {kind: int(_in_a_process(kind)) for kind in ("packed", "objects")}
    report = {
        "created_at": datetime.now(UTC).isoformat(),
        "environment": environment(PACKAGES),
        "requests": options.requests,
        "rounds": ROUNDS,
        "events_held": HELD,
        "target_us": TARGET_US,
        "ways": rows,
        "memory_mib": {"sessions": KEPT_SESSIONS, "events_each": HELD, **memory},
    }
    show(rows, memory)
    options.output.write_text(json.dumps(report, indent=1) + "\n")


async def measure_all(url: str, redis_pid: int, requests: int) -> list[dict[str, Any]]:
    """CPU microseconds a request of every way and number of clients; medians of the rounds."""
    stores = {
        "memory": open_sessions(SessionsConfig(events=HELD)),
        "nextcart's link": open_sessions(SessionsConfig(events=HELD, redis_url=url, timeout_ms=5000)),
    }
    client = redis.asyncio.Redis.from_url(url, max_connections=max(AT_ONCE))
    ways: dict[str, Request] = {"nothing": _nothing}
    ways |= {name: _of_store(store) for name, store in stores.items()} | {"redis-py": await _of_redis_py(client)}
    figures: dict[tuple[str, int], list[tuple[float, float]]] = {}
    for round_ in range(ROUNDS + 1):
        for name, request in ways.items():
            for at_once in AT_ONCE:
                found = await _measure(request, requests // (1 if round_ else 10), at_once, redis_pid)
                if round_:  # the first fills the sessions and warms up
                    figures.setdefault((name, at_once), []).append(found)
    await client.aclose()
    for store in stores.values():
        await store.close()
    base = {at_once: median(own for own, _ in figures["nothing", at_once]) for at_once in AT_ONCE}
    return [
        {
            "way": name,
            "at_once": at_once,
            "cpu_us": round(median(own for own, _ in found) - base[at_once], 2),
            "redis_cpu_us": round(median(other for _, other in found), 2),
        }
        for (name, at_once), found in figures.items()
        if name != "nothing"
    ]


async def _measure(request: Request, requests: int, at_once: int, redis_pid: int) -> tuple[float, float]:
    """CPU microseconds a request, of this process and of Redis."""
    numbers = iter(range(requests))

    async def client() -> None:
        for number in numbers:
            await request(number)

    redis_process = psutil.Process(redis_pid)
    redis_began, began = redis_process.cpu_times(), time.process_time()
    await asyncio.gather(*(client() for _ in range(at_once)))
    own, redis_ended = time.process_time() - began, redis_process.cpu_times()
    other = redis_ended.user + redis_ended.system - redis_began.user - redis_began.system
    return own / requests * 1e6, other / requests * 1e6


def _event(number: int) -> Event:
    return Event(number * 7919 % ITEMS, TS + number, TYPE_NAMES[number % 3])


SHOWN = Shown("0190b2c4d5e6", "20261124T021500Z-3fa9c1d2", "clicks", [n * 104_729 % ITEMS for n in range(20)])


async def _nothing(number: int) -> None:
    """What the loop, the clients and the event of each request cost: taken off every way."""
    _event(number)


def _of_store(store: SessionStore) -> Request:
    async def request(number: int) -> None:
        session = number % SESSIONS
        state = await store.append(session, [_event(number)], with_shown=True)
        assert state.events
        store.show(session, SHOWN)

    return request


async def _of_redis_py(client: redis.asyncio.Redis) -> Request:
    """The same script, packing and keys, as one writes it with redis-py: two awaited commands."""
    await client.script_load(APPEND)
    sha = hashlib.sha1(APPEND.encode(), usedforsecurity=False).hexdigest()

    async def request(number: int) -> None:
        tag = f"redis-py:{{{number % SESSIONS}}}"
        command = (sha, 2, f"{tag}:events", f"{tag}:shown", HELD, 1_800_000, 1, pack(_event(number)))
        count, packed, shown = await client.evalsha(*command)  # type: ignore[misc]
        assert unpack(count, packed)
        if shown:
            unpack_shown(shown)
        await client.set(f"{tag}:shown", pack_shown(SHOWN), px=1_800_000)

    return request


_FILL = """
import asyncio, gc, psutil
import sessions
process = psutil.Process()
gc.collect()
before = process.memory_info().rss
kept = sessions.fill_KIND()
gc.collect()
print((process.memory_info().rss - before) >> 20)
"""


def _in_a_process(kind: str) -> str:
    code = _FILL.replace("KIND", kind)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parent, capture_output=True, text=True, check=True
    )
    return done.stdout


def _of_session(session: int) -> list[Event]:
    # The texts of a body are new objects, as are its numbers.
    return [_event(session * HELD + n) for n in range(HELD)]


def fill_packed() -> Any:
    """The store itself, its ids as texts of 36 characters."""
    store = open_sessions(SessionsConfig(events=HELD, max_sessions=KEPT_SESSIONS))

    async def fill() -> None:
        for session in range(KEPT_SESSIONS):
            await store.append(f"{session:036d}", _of_session(session))

    asyncio.run(fill())
    return store


def fill_objects() -> Any:
    """The same as a dict of lists of events, to compare with."""
    return {f"{session:036d}": _of_session(session) for session in range(KEPT_SESSIONS)}


def show(rows: list[dict[str, Any]], memory: dict[str, int]) -> None:
    """Print the table."""
    print(f"{'way':18}{'clients':>8}{'CPU µs':>9}{'of Redis':>10}")
    for row in rows:
        print(f"{row['way']:18}{row['at_once']:>8}{row['cpu_us']:>9.1f}{row['redis_cpu_us']:>10.1f}")
    print(f"\n{KEPT_SESSIONS:,} sessions of {HELD} events: {memory['packed']} MiB, as objects {memory['objects']} MiB")


if __name__ == "__main__":
    main()
