"""Requests at a constant rate, whatever the server does; a program of its own, so that its cost can be told apart.

    python benchmarks/serving_load.py PORT PATH BODIES RATE SECONDS

Prints one JSON object. A request's latency counts from the moment it was due, not from when a connection was free for
it. Requests are encoded beforehand; sockets are waited for by ``select``, whose timeout is finer than a millisecond.
"""

from __future__ import annotations

import json
import select
import socket
import sys
import time
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np

CONNECTIONS = 128
WARM_SECONDS = 1.0
"""Requests that were due earlier do not count."""
DRAIN_SECONDS = 10.0


class Connection:
    """A connection that has one request on its way, at most."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.due = 0.0
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


def run(port: int, path: str, payloads: list[bytes], rate: float, seconds: float) -> dict[str, Any]:
    """Send ``rate * seconds`` requests and say how it went."""
    requests = [_encode(path, payload) for payload in payloads]
    idle = deque(Connection(port) for _ in range(CONNECTIONS))
    busy: list[Connection] = []
    latencies, late, failed, sent = [], [], 0, 0
    total = int(rate * seconds)
    began = time.perf_counter() + 0.1
    cpu = time.process_time()
    while (sent < total or busy) and time.perf_counter() < began + seconds + DRAIN_SECONDS:
        now = time.perf_counter()
        while sent < total and idle and began + sent / rate <= now:
            connection = idle.popleft()
            connection.due = began + sent / rate
            connection.socket.sendall(requests[sent % len(requests)])
            now = time.perf_counter()
            late.append(now - connection.due)
            busy.append(connection)
            sent += 1
        wait = began + sent / rate - now if sent < total and idle else 1.0
        ready, _, _ = select.select(busy, [], [], max(0.0, wait))
        for connection in ready:
            status = connection.status()
            if status is None:
                continue
            if connection.due >= began + WARM_SECONDS:
                latencies.append(time.perf_counter() - connection.due)
            failed += status != 200
            busy.remove(connection)
            idle.append(connection if status else Connection(port))
    return {
        "rate": rate,
        "requests": total,
        "failed": failed + len(busy) + total - sent,
        "per_second": len(late) / max(seconds, time.perf_counter() - began),
        "latency_ms": _percentiles(latencies),
        "sent_late_ms": _percentiles(late),
        "generator_cpu_us": (time.process_time() - cpu) / total * 1e6,
    }


def _encode(path: str, payload: bytes) -> bytes:
    head = (
        f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: {len(payload)}"
    )
    return head.encode() + b"\r\n\r\n" + payload


def _percentiles(seconds: list[float]) -> dict[str, float]:
    values = np.array(seconds) * 1000
    named = {f"p{share:g}": float(np.percentile(values, share)) for share in (50, 90, 99, 99.9)}
    return {name: round(value, 3) for name, value in {**named, "max": float(values.max())}.items()}


if __name__ == "__main__":
    port, path, bodies, rate, seconds = sys.argv[1:]
    print(json.dumps(run(int(port), path, Path(bodies).read_bytes().splitlines(), float(rate), float(seconds))))
