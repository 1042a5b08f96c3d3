"""The sections that ask what lasts: a swap under load, the memory of a second worker, a soak."""

from __future__ import annotations

import subprocess
import time
from typing import Any

import numpy as np
from serving_load import percentiles
from serving_loops import answer_of, closed_loop, load
from serving_servers import Server, memory_mib, nextcart
from serving_speed import Run, check

from nextcart.repository.repository import Repository

SWAP_RATE, SWAP_P99_MS, AROUND_SECONDS = 1000, 20.0, 2.0
WORKER_MIB = 200.0
SOAK_RATE, GROWTH_MIB = 2000, 16.0
REMEMBERED_IDS = 20_000
"""So few that they are full within the first minute of a soak: what is bounded must not look like a leak."""
LIVE_SECONDS = 60.0


def swap(run: Run) -> dict[str, Any]:
    """Another version promoted while requests come at a constant rate; latency around the moment when it goes live."""
    repository = Repository(run.models)
    production = repository.resolve()
    other = next(each.version for each in repository.versions() if each.version != production)
    times = run.folder / "swap.npy"
    seconds = max(3 * run.seconds, 12.0)
    with nextcart(run.models, run.folder) as ours:
        with load(ours, run.requests.recommend, SWAP_RATE, seconds, times=times) as generator:
            time.sleep(seconds / 3)
            promoted = time.perf_counter()
            repository.promote(other)
            live = _live(ours, other, generator)
            found = answer_of(generator)
        after = memory_mib(ours.process)
    table = np.load(times)
    due, latency, late = table.T
    parts = {
        "before": due < promoted,
        "promoting and loading": (due >= promoted) & (due < live),
        "2 s around": np.abs(due - live) < AROUND_SECONDS,
        "after": due > live + AROUND_SECONDS,
    }
    shown = {name: percentiles(latency[part]) for name, part in parts.items() if part.any()}
    p99 = shown["2 s around"]["p99"]
    return {
        "requests": found["requests"],
        "failed": found["failed"],
        "seconds_to_live": round(live - promoted, 2),
        "latency_ms": shown,
        "sent_late_p99_ms": percentiles(late[parts["2 s around"]])["p99"],
        "memory_mib": after,
        "checks": [
            check("failed", found["failed"], "0", found["failed"] == 0),
            check("p99 within 2 s of it, ms", p99, f"< {SWAP_P99_MS:g}", p99 < SWAP_P99_MS),
        ],
    }


def _live(server: Server, version: str, generator: subprocess.Popen[str]) -> float:
    """When the server says in its log that this version answers; to look there costs the server nothing."""
    until = time.monotonic() + LIVE_SECONDS
    while f"version {version} is ready as production" not in server.log.read_text():
        if time.monotonic() > until or generator.poll() is not None:
            raise SystemExit(f"the promoted version does not go live: {server.log.read_text()[-2000:]}")
        time.sleep(0.02)
    return time.perf_counter()


def workers(run: Run) -> dict[str, Any]:
    """Memory of each of two workers after both have answered sessions."""
    with nextcart(run.models, run.folder, SERVING__WORKERS=2) as ours:
        loop = closed_loop(ours, run.requests.sessions, run.seconds, connections=32)
        rows = [memory_mib(each) for each in ours.workers()]
    most = max(each["unique"] for each in rows)
    return {
        "workers": rows,
        "per_second": loop.per_second,
        "failed": loop.failed,
        "checks": [
            check("MiB that no other process maps", most, f"< {WORKER_MIB:g}", most < WORKER_MIB),
            check("workers, failed", loop.failed, "0", loop.failed == 0),
        ],
    }


def soak(run: Run) -> dict[str, Any]:
    """Sessions, events and similar items at a constant rate; memory at the start, each minute and at the end."""
    rows: list[dict[str, float]] = []
    every = min(60.0, run.soak_seconds / 10)
    with nextcart(run.models, run.folder, EVENT_LOG__REMEMBERED_IDS=REMEMBERED_IDS) as ours:
        began, before = time.monotonic(), sum(ours.cpu())
        rows.append({"second": 0, **memory_mib(ours.process)})
        with load(ours, run.requests.mixed, SOAK_RATE, run.soak_seconds, with_key=True) as generator:
            while generator.poll() is None and time.monotonic() < began + run.soak_seconds:
                _sleep_until(began + len(rows) * every, generator)
                rows.append({"second": round(time.monotonic() - began), **memory_mib(ours.process)})
            found = answer_of(generator)
        cpu_us = (sum(ours.cpu()) - before) / found["requests"] * 1e6
    warm = rows[min(2, len(rows) - 1)]
    growth = round(rows[-1]["anonymous"] - warm["anonymous"], 1)
    return {
        **found,
        "soak_seconds": run.soak_seconds,
        "server_cpu_us": round(cpu_us, 1),
        "memory_mib": rows,
        "growth_mib": growth,
        "checks": [
            check("failed", found["failed"], "0", found["failed"] == 0),
            check(f"MiB grown since second {warm['second']:.0f}", growth, f"<= {GROWTH_MIB:g}", growth <= GROWTH_MIB),
        ],
    }


def _sleep_until(moment: float, generator: subprocess.Popen[str]) -> None:
    while generator.poll() is None and time.monotonic() < moment:
        time.sleep(0.2)
