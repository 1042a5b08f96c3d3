"""Raw event files for tests, and what a store should make of them, worked out the slow and plain way."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from nextcart.events.store import Store

START = 1_659_304_800_025
"""The first millisecond of the OTTO dataset."""
DAY = 86_400_000
TYPES = ("clicks", "carts", "orders")

Row = tuple[int | str, int | str, int, int]
"""session, aid, ts, number of the type."""

DATA = Path(__file__).resolve().parents[1] / ".." / "shared" / "data"


def real(name: str) -> Path:
    """A file of real data, or a skipped test."""
    path = DATA / name
    if not path.exists():
        pytest.skip(f"{name} is not beside the checkout")
    return path


def event(aid: int | str = 1, ts: int = START, kind: str = "clicks") -> dict[str, Any]:
    """One event as it stands in OTTO JSONL."""
    return {"aid": aid, "ts": ts, "type": kind}


def line(session: int | str, *events: dict[str, Any]) -> str:
    """One session as it stands in OTTO JSONL."""
    return json.dumps({"session": session, "events": list(events)})


def many_lines(sessions: int, events: int = 10, first: int = 0) -> list[str]:
    """Good sessions, a minute between their events, an hour between their starts."""
    return [
        line(s, *(event(aid=(s + i) % 97, ts=START + s * 3_600_000 + i * 60_000) for i in range(events)))
        for s in range(first, first + sessions)
    ]


def write(path: Path, lines: Iterable[str | bytes], end: bytes = b"\n") -> Path:
    """Write lines to a file, packed as its name says."""
    data = end.join(text.encode() if isinstance(text, str) else text for text in lines) + end
    if path.suffix == ".gz":
        data = gzip.compress(data)
    elif path.suffix == ".zst":
        data = pa.compress(data, codec="zstd", asbytes=True)
    path.write_bytes(data)
    return path


def stored(root: Path, split: str = "train") -> list[Row]:
    """The events of a split in the store's order."""
    return [tuple(row.values()) for batch in Store.open(root).batches(split) for row in batch.to_pylist()]


def expected(files: Sequence[Sequence[str]]) -> list[Row]:
    """What a store should hold of good lines: no event twice, by session, time and place in the input."""
    seen: set[Row] = set()
    rows: list[Row] = []
    for text in (text for lines in files for text in lines if text.strip()):
        record = json.loads(text)
        for e in record["events"]:
            row = (record["session"], e["aid"], e["ts"], TYPES.index(e["type"]))
            if row not in seen:
                seen.add(row)
                rows.append(row)
    return sorted(rows, key=lambda row: (row[0], row[2]))
