"""The requests of the serving benchmark as files of lines, METHOD PATH BODY: what wrk and serving_load.py send.

Bodies are of `shop_ids`; popular items come more often. `NUMBER` in a line is a place for a number that no other
request has.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from serving_shop import START_MS, shop_ids

from nextcart.types import TYPE_NAMES

LINES, SESSIONS = 20_000, 4_000
NUMBER = "#" * 16


@dataclass(frozen=True, slots=True)
class Requests:
    """The files.

    Attributes:
        recommend: bodies of 1 to 20 events.
        sessions: the same bodies, each of one of `SESSIONS` sessions.
        mixed: of ten requests seven recommend by session, two post an event, one asks for similar items.
        events: bodies of so many events with ids of their own.
    """

    recommend: Path
    sessions: Path
    mixed: Path
    events: dict[int, Path]


def write_requests(folder: Path, n_items: int, sizes: tuple[int, ...]) -> Requests:
    """Write all files; ``sizes`` are those of the events' bodies."""
    ids = shop_ids(n_items)
    recommend = [f"POST /v1/recommend {_text(body)}" for body in _bodies(ids, LINES)]
    known = [
        f"POST /v1/recommend {_text({'session_id': number % SESSIONS, **body})}"
        for number, body in enumerate(_bodies(ids, LINES))
    ]
    posted = {size: list(_event_lines(ids, LINES, size)) for size in sizes}
    mixed = []
    for number in range(LINES):
        if number % 10 < 7:
            mixed.append(known[number])
        elif number % 10 < 9:
            mixed.append(posted[1][number])
        else:
            mixed.append(f"GET /v1/items/{ids[number % len(ids)]}/similar")
    write = partial(_write, folder)
    return Requests(
        write("recommend", recommend),
        write("sessions", known),
        write("mixed", mixed),
        {size: write(f"events-{size}", lines) for size, lines in posted.items()},
    )


def _bodies(ids: np.ndarray, n: int, seed: int = 2) -> Iterator[dict[str, Any]]:
    random = np.random.default_rng(seed)
    for _ in range(n):
        size = int(random.integers(1, 21))
        times = (START_MS + np.cumsum(random.integers(1000, 100_000, size))).tolist()
        types = [TYPE_NAMES[kind] for kind in random.choice(3, size, p=[0.9, 0.075, 0.025])]
        events = [
            {"aid": aid, "ts": ts, "type": kind}
            for aid, ts, kind in zip(_items(random, ids, size), times, types, strict=True)
        ]
        yield {"events": events, "limit": 20}


def _event_lines(ids: np.ndarray, n: int, size: int, seed: int = 3) -> Iterator[str]:
    random = np.random.default_rng(seed)
    for number in range(n):
        events = [
            {
                "session_id": (number + place) % SESSIONS,
                "aid": aid,
                "ts": START_MS + number * 1000 + place,
                "type": "clicks",
                "event_id": f"{NUMBER}-{place}",
            }
            for place, aid in enumerate(_items(random, ids, size))
        ]
        yield f"POST /v1/events {_text(events[0] if size == 1 else {'events': events})}"


def _items(random: np.random.Generator, ids: np.ndarray, size: int) -> list[int]:
    chosen: list[int] = ids[(len(ids) * random.random(size) ** 3).astype(np.int64)].tolist()
    return chosen


def _text(body: dict[str, Any]) -> str:
    return json.dumps(body, separators=(",", ":"))


def _write(folder: Path, name: str, lines: list[str]) -> Path:
    path = folder / f"{name}.txt"
    path.write_text("\n".join(lines) + "\n")
    return path
