"""The sections that ask what a request costs: closed and open loop, sessions, posted events."""

from __future__ import annotations

import sys
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from serving_loops import Closed, open_loop, rounds_of
from serving_requests import Requests
from serving_servers import HERE, hello, nextcart, plain

RATES = (1000, 5000)
EVENT_SIZES = (1, 10)
HELLO_TIMES, PLAIN_TIMES, REDIS_US = 2.5, 3.0, 30.0
"""The most that nextcart may cost, as a multiple of the hello; the least that the plain handler must cost of it; the
most that Redis may add to a request of a session."""
BOUNDS_MS = {1000: {"p50": 0.5, "p90": 2.0, "p99": 10.0}, 5000: {"p90": 10.0}}


@dataclass(frozen=True, slots=True)
class Run:
    """What a section is measured with.

    Attributes:
        models: the repository of two versions.
        folder: for whatever is written.
        requests: what is asked.
        seconds: of each measurement.
        rounds: of each closed loop.
        soak_seconds: of the soak.
        items: of the shop.
    """

    models: Path
    folder: Path
    requests: Requests
    seconds: float
    rounds: int
    soak_seconds: float
    items: int


def closed(run: Run) -> dict[str, Any]:
    """Bodies without a session, over the hello, the plain handler and nextcart in turn."""
    lines = run.requests.recommend
    with hello(run.folder) as bare, plain(run.models, run.folder) as usual, nextcart(run.models, run.folder) as ours:
        asked = {"hello": (bare, None), "plain": (usual, lines), "nextcart": (ours, lines)}
        found = rounds_of(asked, run.seconds, run.rounds)
    times = {
        "of_hello": round(found["nextcart"].cpu_us / found["hello"].cpu_us, 2),
        "plain_of_it": round(found["plain"].cpu_us / found["nextcart"].cpu_us, 2),
    }
    return {
        "loops": _named(found),
        "times": times,
        "checks": [
            check(
                "CPU of a request, times the hello's",
                times["of_hello"],
                f"<= {HELLO_TIMES}",
                times["of_hello"] <= HELLO_TIMES,
            ),
            check(
                "the plain handler's, times nextcart's",
                times["plain_of_it"],
                f">= {PLAIN_TIMES}",
                times["plain_of_it"] >= PLAIN_TIMES,
            ),
        ],
    }


def open_(run: Run) -> dict[str, Any]:
    """The hello and nextcart at constant rates."""
    with hello(run.folder) as bare, nextcart(run.models, run.folder) as ours:
        # The hello reads the same bodies.
        rows = {
            name: [open_loop(server, run.requests.recommend, rate, run.seconds) for rate in RATES]
            for name, server in (("hello", bare), ("nextcart", ours))
        }
    checks = []
    for each in rows["nextcart"]:
        for name, most in BOUNDS_MS[each["rate"]].items():
            value = each["latency_ms"][name]
            checks.append(check(f"{each['rate']:,.0f} a second, {name}, ms", value, f"< {most:g}", value < most))
        failed = each["failed"]
        checks.append(check(f"{each['rate']:,.0f} a second, failed", failed, "0", failed == 0))
    return {"rates": rows, "checks": checks}


def redis(run: Run) -> dict[str, Any]:
    """The same bodies without a session, and of sessions in memory and in a Redis of its own."""
    sys.path.insert(0, str(HERE.parent))
    from tests.redis_server import redis_server

    with ExitStack() as stack:
        store = stack.enter_context(redis_server())
        ours = stack.enter_context(nextcart(run.models, run.folder))
        other = stack.enter_context(nextcart(run.models, run.folder, SESSIONS__REDIS_URL=store.url))
        asked = {
            "no session": (ours, run.requests.recommend),
            "in memory": (ours, run.requests.sessions),
            "in Redis": (other, run.requests.sessions),
        }
        found = rounds_of(asked, run.seconds, run.rounds)
        missed = int(other.metric("nextcart_session_store_errors_total"))
    added = round(found["in Redis"].cpu_us - found["in memory"].cpu_us, 1)
    return {
        "loops": _named(found),
        "store_errors": missed,
        "memory_adds_us": round(found["in memory"].cpu_us - found["no session"].cpu_us, 1),
        "redis_adds_us": added,
        "checks": [
            check("CPU µs that Redis adds", added, f"<= {REDIS_US:g}", added <= REDIS_US),
            check("times Redis did not answer", missed, "0", missed == 0),
        ],
    }


def events(run: Run) -> dict[str, Any]:
    """``POST /v1/events`` with so many events a body, each with an id of its own, durable before the answer."""
    with nextcart(run.models, run.folder) as ours:
        asked: dict[str, Any] = {f"{size} a body": (ours, run.requests.events[size]) for size in EVENT_SIZES}
        found = rounds_of(asked, run.seconds, run.rounds, with_key=True)
    failed = sum(each.failed for each in found.values())
    a_second = {name: round(found[name].per_second * size) for name, size in _sizes().items()}
    return {
        "loops": _named(found),
        "events_per_second": a_second,
        "checks": [check("failed", failed, "0", failed == 0)],
    }


def _sizes() -> dict[str, int]:
    return {f"{size} a body": size for size in EVENT_SIZES}


def _named(found: dict[str, Closed]) -> dict[str, Any]:
    return {name: asdict(each) for name, each in found.items()}


def check(what: str, value: float, wanted: str, holds: bool) -> dict[str, Any]:
    """A target, what was measured, and whether it holds."""
    return {"what": what, "value": value, "wanted": wanted, "holds": holds}
