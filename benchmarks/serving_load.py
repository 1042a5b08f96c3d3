"""Requests at a constant rate, whatever the server does; a program of its own, so that its cost can be told apart.

    python benchmarks/serving_load.py PORT LINES RATE SECONDS RUN [TIMES]

Prints one JSON object. A request's latency counts from the moment it was due, not from when a connection was free for
it. Requests are the lines of a file, METHOD PATH BODY, encoded beforehand; sixteen # in one become a number that no
other request has, begun by RUN. Sockets are waited for by ``select``, whose timeout is finer than a millisecond. TIMES
is a file for what each request took: when it was due (seconds of the monotonic clock), its latency, and how late it was
sent.
"""

from __future__ import annotations

import json
import os
import select
import socket
import sys
import time
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np

CONNECTIONS = 128
NUMBER = b"#" * 16
WARM_SECONDS = 1.0
"""Requests that were due earlier do not count."""
DRAIN_SECONDS = 10.0


class Connection:
    """A connection that has one request on its way, at most."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.due = self.sent = 0.0
        self._got = b""

    def fileno(self) -> int:
        """For ``select``."""
        return self.socket.fileno()

    def status(self) -> int | None:
        """The status of the answer, once all of it is here; 0 where the connection was closed instead."""
        piece = self.socket.recv(65536)
        if not piece:
            return 0
        self._got += piece
        head, found, body = self._got.partition(b"\r\n\r\n")
        if not found:
            return None
        length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        if len(body) < length:
            return None
        self._got = b""
        return int(head[9:12])


def run(port: int, lines: list[bytes], rate: float, seconds: float, name: bytes, times: str | None) -> dict[str, Any]:
    """Send ``rate * seconds`` requests and say how it went."""
    requests = [_encode(line) for line in lines]
    idle = deque(Connection(port) for _ in range(CONNECTIONS))
    busy: list[Connection] = []
    rows: list[tuple[float, float, float]] = []
    failed, sent = 0, 0
    total = int(rate * seconds)
    began = time.perf_counter() + 0.1
    cpu = time.process_time()
    while (sent < total or busy) and time.perf_counter() < began + seconds + DRAIN_SECONDS:
        now = time.perf_counter()
        while sent < total and idle and began + sent / rate <= now:
            connection = idle.popleft()
            connection.due = began + sent / rate
            request = requests[sent % len(requests)]
            if NUMBER in request:
                request = request.replace(NUMBER, b"%s%010d" % (name, sent))
            connection.socket.sendall(request)
            now = time.perf_counter()
            connection.sent = now
            busy.append(connection)
            sent += 1
        wait = began + sent / rate - now if sent < total and idle else 1.0
        ready, _, _ = select.select(busy, [], [], max(0.0, wait))
        for connection in ready:
            status = connection.status()
            if status is None:
                continue
            rows.append((connection.due, time.perf_counter() - connection.due, connection.sent - connection.due))
            failed += not 200 <= status < 300
            busy.remove(connection)
            idle.append(connection if status else Connection(port))
    cpu_us = (time.process_time() - cpu) / total * 1e6
    table = np.array(rows)
    if times:
        np.save(times, table)
    counted = table[table[:, 0] >= began + WARM_SECONDS]
    return {
        "rate": rate,
        "requests": total,
        "failed": failed + len(busy) + total - sent,
        "latency_ms": percentiles(counted[:, 1]),
        "sent_late_ms": percentiles(counted[:, 2]),
        "generator_cpu_us": round(cpu_us, 1),
    }


def _encode(line: bytes) -> bytes:
    method, path, *body = line.split(b" ", 2)
    key = os.environ.get("API_KEY", "")
    head = [method + b" " + path + b" HTTP/1.1", b"host: 127.0.0.1"]
    head += [b"x-api-key: " + key.encode()] if key else []
    head += [b"content-type: application/json", b"content-length: %d" % len(body[0])] if body else []
    return b"\r\n".join(head) + b"\r\n\r\n" + b"".join(body)


def percentiles(seconds: np.ndarray) -> dict[str, float]:
    """Of times, in milliseconds."""
    values = seconds * 1000
    named = {f"p{share:g}": float(np.percentile(values, share)) for share in (50, 90, 99, 99.9)}
    return {name: round(value, 3) for name, value in {**named, "max": float(values.max())}.items()}


if __name__ == "__main__":
    port, path, rate, seconds, name, *times = sys.argv[1:]
    lines = Path(path).read_bytes().splitlines()
    found = run(int(port), lines, float(rate), float(seconds), name.encode(), times[0] if times else None)
    print(json.dumps(found))
