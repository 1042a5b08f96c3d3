"""What one worker does with recommendations over HTTP: CPU a request, requests a second, latency at a constant rate.

    python benchmarks/serving.py [--items N] [--seconds S] [--rounds N] [--models DIR] [--output FILE]

Over a shop of 1.86 million items (random tables), bodies of 1 to 20 events, 20 items each. Beside nextcart's server: a
bare hello under the same uvicorn settings, and a plain FastAPI and pydantic handler of the same work. CPU is that of
the server's process, user and system, between the first and the last request. Wants ``wrk`` on the path, a quiet
machine and two cores: one for the server, one for what asks. README.md says how to read the table.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import httpx
import psutil
from pipeline import environment
from serving_shop import bodies, publish

ITEMS, BODIES = 1_860_000, 20_000
CONNECTIONS = 8
RATES = (1000, 5000)
HELLO_TIMES, PLAIN_TIMES = 2.5, 3.0
"""The most that nextcart may cost, as a multiple of the hello; the least that the plain handler must cost of it."""
BOUNDS_MS = {1000: {"p50": 0.5, "p90": 2.0, "p99": 10.0}, 5000: {"p90": 10.0}}
START_SECONDS = 180
HERE = Path(__file__).resolve().parent
DEFAULT_OUTPUT = HERE / "results" / "serving.json"
PACKAGES = ("nextcart", "uvicorn", "uvloop", "httptools", "fastapi", "pydantic", "msgspec", "numba", "numpy")


@dataclass(frozen=True, slots=True)
class Server:
    """A server that answers.

    Attributes:
        name: nextcart, hello or plain.
        port: where.
        path: what is asked of it.
        process: for its CPU time and memory.
    """

    name: str
    port: int
    path: str
    process: psutil.Process

    def cpu_s(self) -> float:
        """User and system seconds so far."""
        times = self.process.cpu_times()
        return times.user + times.system


@dataclass(frozen=True, slots=True)
class Closed:
    """A closed loop of `CONNECTIONS` connections; medians of the rounds."""

    cpu_us: float
    user_us: float
    per_second: float
    p50_ms: float
    p99_ms: float
    failed: int


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=ITEMS)
    parser.add_argument("--seconds", type=float, default=10.0, help="of each measurement")
    parser.add_argument("--rounds", type=int, default=3, help="of the closed loop, over all servers in turn")
    parser.add_argument("--models", type=Path, help="folder of the shop's version, made where it is missing and kept")
    parser.add_argument("--output", type=Path, default=DEFAULT_OUTPUT)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        models = options.models or folder / "models"
        if not (models / "aliases.json").is_file():
            publish(models, options.items)
        lines = folder / "bodies.jsonl"
        lines.write_text("\n".join(bodies(options.items, BODIES)) + "\n")
        result = measure(models, lines, options.seconds, options.rounds, folder)
    report = {
        "created_at": datetime.now(UTC).isoformat(),
        "environment": environment(PACKAGES),
        "items": options.items,
        "seconds": options.seconds,
        "rounds": options.rounds,
        **result,
    }
    show(report)
    options.output.write_text(json.dumps(report, indent=1) + "\n")


def measure(models: Path, lines: Path, seconds: float, rounds: int, folder: Path) -> dict[str, Any]:
    """The closed loop over the three servers in turn, then nextcart and the hello at constant rates."""
    with hello(folder) as bare, plain(models, folder) as usual, nextcart(models, folder) as ours:
        servers = (bare, usual, ours)
        for server in servers:
            closed_loop(server, lines, min(3.0, seconds))
        found = [{server.name: closed_loop(server, lines, seconds) for server in servers} for _ in range(rounds)]
        closed = {server.name: _middle([each[server.name] for each in found]) for server in servers}
        open_ = {server.name: [open_loop(server, lines, rate, seconds) for rate in RATES] for server in (bare, ours)}
        memory = round(ours.process.memory_full_info().uss / 2**20)
    costs = {name: each.cpu_us for name, each in closed.items()}
    times = {"of_hello": costs["nextcart"] / costs["hello"], "plain_of_it": costs["plain"] / costs["nextcart"]}
    return {
        "closed": {name: asdict(each) for name, each in closed.items()},
        "open": open_,
        "times": {name: round(value, 2) for name, value in times.items()},
        "own_mib": memory,
        "holds": {
            "of_hello": times["of_hello"] <= HELLO_TIMES,
            "plain_of_it": times["plain_of_it"] >= PLAIN_TIMES,
            **{f"open_{each['rate']:.0f}": _within(each) for each in open_["nextcart"]},
        },
    }


@contextmanager
def nextcart(models: Path, folder: Path) -> Iterator[Server]:
    """The product's own server: one worker, default settings."""
    port = _free_port()
    command = [sys.executable, "-m", "nextcart", "serve", "--models", str(models), "--port", str(port)]
    state = {"NEXTCART__SERVING__STATE": str(folder / "state")}
    with _started("nextcart", command, port, "/v1/recommend", "/health/ready", folder, state) as server:
        yield server


@contextmanager
def hello(folder: Path) -> Iterator[Server]:
    """The least that uvicorn does."""
    port = _free_port()
    command = [sys.executable, str(HERE / "serving_beside.py"), "hello", str(port)]
    with _started("hello", command, port, "/", "/", folder) as server:
        yield server


@contextmanager
def plain(models: Path, folder: Path) -> Iterator[Server]:
    """The same work as the FastAPI tutorial would have it."""
    port = _free_port()
    command = [sys.executable, str(HERE / "serving_beside.py"), "plain", str(port), str(models)]
    with _started("plain", command, port, "/v1/recommend", "/docs", folder) as server:
        yield server


@contextmanager
def _started(
    name: str,
    command: list[str],
    port: int,
    path: str,
    probe: str,
    folder: Path,
    environment: dict[str, str] | None = None,
) -> Iterator[Server]:
    """A server's process, once it answers 200 to the probe; it is stopped in the end."""
    log = folder / f"{name}.log"
    with log.open("wb") as file:
        process = subprocess.Popen(command, cwd=folder, env=os.environ | (environment or {}), stdout=file, stderr=file)
    try:
        until = time.monotonic() + START_SECONDS
        while not _answers(f"http://127.0.0.1:{port}{probe}"):
            if process.poll() is not None or time.monotonic() > until:
                raise SystemExit(f"{name} does not answer: {log.read_text()[-2000:]}")
            time.sleep(0.2)
        yield Server(name, port, path, psutil.Process(process.pid))
    finally:
        process.terminate()
        process.wait(timeout=30)


def closed_loop(server: Server, lines: Path, seconds: float) -> Closed:
    """What ``wrk`` makes of a server."""
    script = [] if server.name == "hello" else ["-s", str(HERE / "serving.lua")]
    url = f"http://127.0.0.1:{server.port}{server.path}"
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds:.0f}s", "--latency", *script, url]
    before = server.process.cpu_times()
    names = os.environ | {"BODIES": str(lines), "TARGET_PATH": server.path}
    said = subprocess.run(command, env=names, check=True, capture_output=True, text=True).stdout
    after = server.process.cpu_times()
    requests = int(_said(r"(\d+) requests in", said))
    user, system = after.user - before.user, after.system - before.system
    return Closed(
        cpu_us=round((user + system) / requests * 1e6, 1),
        user_us=round(user / requests * 1e6, 1),
        per_second=float(_said(r"Requests/sec:\s+([\d.]+)", said)),
        p50_ms=_milliseconds(_said(r"50%\s+([\d.]+\w+)", said)),
        p99_ms=_milliseconds(_said(r"99%\s+([\d.]+\w+)", said)),
        failed=int(_said(r"Non-2xx or 3xx responses: (\d+)", said, "0")),
    )


def open_loop(server: Server, lines: Path, rate: int, seconds: float) -> dict[str, Any]:
    """What a constant rate makes of a server; the generator's own cost is in it."""
    command = [sys.executable, str(HERE / "serving_load.py"), str(server.port), server.path, str(lines)]
    before = server.cpu_s()
    said = subprocess.run([*command, str(rate), str(seconds)], check=True, capture_output=True, text=True).stdout
    found: dict[str, Any] = json.loads(said)
    return {**found, "server_cpu_us": round((server.cpu_s() - before) / found["requests"] * 1e6, 1)}


def show(report: dict[str, Any]) -> None:
    """Print both tables and what holds."""
    print(f"\n{report['items']:,} items, bodies of 1 to 20 events, 20 items each, one worker\n")
    print(f"{'closed loop':22}{'CPU µs':>9}{'of it user':>12}{'a second':>10}{'p50 ms':>9}{'p99 ms':>9}{'failed':>8}")
    for name, each in report["closed"].items():
        print(
            f"  {name:20}{each['cpu_us']:>9.1f}{each['user_us']:>12.1f}{each['per_second']:>10,.0f}"
            f"{each['p50_ms']:>9.2f}{each['p99_ms']:>9.2f}{each['failed']:>8}"
        )
    heads = "".join(f"{name:>9}" for name in ("p50 ms", "p90", "p99", "p99.9", "max"))
    print(f"\n{'open loop':22}{heads}{'failed':>8}{'late p50':>10}{'p99':>8}{'CPU µs: server':>16}{'generator':>11}")
    for name, rows in report["open"].items():
        for each in rows:
            times = "".join(f"{value:>9.2f}" for value in each["latency_ms"].values())
            late, label = each["sent_late_ms"], f"{name}, {each['rate']:,.0f} a second"
            print(
                f"  {label:20}{times}{each['failed']:>8}{late['p50']:>10.2f}"
                f"{late['p99']:>8.2f}{each['server_cpu_us']:>16.1f}{each['generator_cpu_us']:>11.1f}"
            )
    times, holds = report["times"], {name: "yes" if held else "no" for name, held in report["holds"].items()}
    print(f"\nat most {HELLO_TIMES} times the hello: {times['of_hello']:.2f}, {holds['of_hello']}")
    dear = f"the plain handler at least {PLAIN_TIMES:.0f} times as much"
    print(f"{dear}: {times['plain_of_it']:.2f}, {holds['plain_of_it']}")
    for rate, bounds in BOUNDS_MS.items():
        asked = ", ".join(f"{name} under {most:g} ms" for name, most in bounds.items())
        print(f"at {rate:,} a second none fails, {asked}: {holds[f'open_{rate}']}")
    print(f"memory of the server's own: {report['own_mib']} MiB")


def _middle(rounds: list[Closed]) -> Closed:
    """The median of each figure; failures are summed."""
    rows = [asdict(each) for each in rounds]
    middle = {name: median(row[name] for row in rows) for name in rows[0]}
    return Closed(**middle | {"failed": sum(row["failed"] for row in rows)})


def _within(found: dict[str, Any]) -> bool:
    bounds = BOUNDS_MS[int(found["rate"])]
    return not found["failed"] and all(found["latency_ms"][name] < most for name, most in bounds.items())


def _said(pattern: str, text: str, missing: str | None = None) -> str:
    found = re.search(pattern, text)
    if found is None and missing is None:
        raise SystemExit(f"wrk said nothing of {pattern!r}:\n{text}")
    return missing or "" if found is None else found[1]


def _milliseconds(text: str) -> float:
    number, unit = re.fullmatch(r"([\d.]+)(\w+)", text).groups()  # type: ignore[union-attr]
    return float(number) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[unit]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).status_code == 200
    except httpx.TransportError:
        return False


if __name__ == "__main__":
    main()
