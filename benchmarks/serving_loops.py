"""What asks the servers: wrk in a closed loop, serving_load.py at a constant rate; and what it cost the server."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from secrets import token_hex
from statistics import median
from typing import Any

from serving_servers import API_KEY, HERE, Server

CONNECTIONS = 8
WARM_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Closed:
    """A closed loop of `CONNECTIONS` connections; medians of the rounds."""

    cpu_us: float
    user_us: float
    per_second: float
    p50_ms: float
    p99_ms: float
    failed: int


def rounds_of(
    asked: dict[str, tuple[Server, Path | None]], seconds: float, rounds: int, *, with_key: bool = False
) -> dict[str, Closed]:
    """The closed loop over several servers and files of lines in turn, after a first round that does not count."""
    for server, lines in asked.values():
        closed_loop(server, lines, min(WARM_SECONDS, seconds), with_key=with_key)
    found: dict[str, list[Closed]] = {name: [] for name in asked}
    for _ in range(rounds):
        for name, (server, lines) in asked.items():
            found[name].append(closed_loop(server, lines, seconds, with_key=with_key))
    return {name: _middle(each) for name, each in found.items()}


def closed_loop(
    server: Server, lines: Path | None, seconds: float, *, connections: int = CONNECTIONS, with_key: bool = False
) -> Closed:
    """What ``wrk`` makes of a server; without lines it gets ``/``."""
    script = ["-s", str(HERE / "serving.lua")] if lines else []
    url = f"http://127.0.0.1:{server.port}/"
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds:.0f}s", "--latency", *script, url]
    names = os.environ | {"LINES": str(lines), "RUN": token_hex(3)} | ({"API_KEY": API_KEY} if with_key else {})
    before = server.cpu()
    said = subprocess.run(command, env=names, check=True, capture_output=True, text=True).stdout
    user, system = (after - then for after, then in zip(server.cpu(), before, strict=True))
    requests = int(_said(r"(\d+) requests in", said))
    broken = [int(number) for number in re.findall(r"(?:connect|read|write|timeout) (\d+)", said)]
    return Closed(
        cpu_us=round((user + system) / requests * 1e6, 1),
        user_us=round(user / requests * 1e6, 1),
        per_second=float(_said(r"Requests/sec:\s+([\d.]+)", said)),
        p50_ms=_milliseconds(_said(r"50%\s+([\d.]+\w+)", said)),
        p99_ms=_milliseconds(_said(r"99%\s+([\d.]+\w+)", said)),
        failed=int(_said(r"Non-2xx or 3xx responses: (\d+)", said, "0")) + sum(broken),
    )


def open_loop(server: Server, lines: Path, rate: int, seconds: float) -> dict[str, Any]:
    """What a constant rate makes of a server; the generator's own cost is in it."""
    before = sum(server.cpu())
    with load(server, lines, rate, seconds) as generator:
        found = answer_of(generator)
    return {**found, "server_cpu_us": round((sum(server.cpu()) - before) / found["requests"] * 1e6, 1)}


def load(
    server: Server, lines: Path, rate: int, seconds: float, *, with_key: bool = False, times: Path | None = None
) -> subprocess.Popen[str]:
    """The generator, which has begun; `answer_of` waits for its end."""
    command = [sys.executable, str(HERE / "serving_load.py"), str(server.port), str(lines), str(rate), str(seconds)]
    command += [token_hex(3), *([str(times)] if times else [])]
    names = os.environ | ({"API_KEY": API_KEY} if with_key else {})
    return subprocess.Popen(command, env=names, stdout=subprocess.PIPE, text=True)


def answer_of(generator: subprocess.Popen[str]) -> dict[str, Any]:
    """What the generator says in the end."""
    said, _ = generator.communicate()
    if generator.returncode:
        raise SystemExit("the load's generator failed; its error stands above")
    found: dict[str, Any] = json.loads(said)
    return found


def _middle(rounds: list[Closed]) -> Closed:
    """The median of each figure; failures are summed."""
    rows = [asdict(each) for each in rounds]
    middle = {name: round(median(row[name] for row in rows), 3) for name in rows[0]}
    return Closed(**middle | {"failed": sum(row["failed"] for row in rows)})


def _said(pattern: str, text: str, missing: str | None = None) -> str:
    found = re.search(pattern, text)
    if found is None and missing is None:
        raise SystemExit(f"wrk said nothing of {pattern!r}:\n{text}")
    return missing or "" if found is None else found[1]


def _milliseconds(text: str) -> float:
    number, unit = re.fullmatch(r"([\d.]+)(\w+)", text).groups()  # type: ignore[union-attr]
    return float(number) * {"us": 0.001, "ms": 1.0, "s": 1000.0}[unit]
