"""A log in OTTO JSONL as arrays, and its sessions by item."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.signedinteger[Any]]
Floats = npt.NDArray[np.floating[Any]]

TYPE_NAMES = ("clicks", "carts", "orders")
DAY_MS = 86_400_000.0


@dataclass(frozen=True, slots=True)
class Session:
    """One session so far, oldest event first.

    Attributes:
        items: rows of the catalogue; -1 for an item that training does not know.
        ts: Unix milliseconds.
        types: numbers in `TYPE_NAMES`.
    """

    items: Ints
    ts: Ints
    types: Ints


@dataclass(frozen=True, slots=True)
class Log:
    """Sessions behind one another.

    Attributes:
        aids: ids of the catalogue, most events first; an item's row is its place here.
        names: what each session is called: ``id`` where the line has one, else ``session``.
        offsets: session ``s`` has the events ``offsets[s]:offsets[s + 1]``.
        events: all events of all sessions.
    """

    aids: Ints
    names: list[Any]
    offsets: Ints
    events: Session

    def __len__(self) -> int:
        """Number of sessions."""
        return len(self.names)

    def __iter__(self) -> Iterator[Session]:
        """Session after session."""
        return (self.session(number) for number in range(len(self)))

    def session(self, number: int) -> Session:
        """The session of that number."""
        part = slice(self.offsets[number], self.offsets[number + 1])
        return Session(self.events.items[part], self.events.ts[part], self.events.types[part])


def read_log(path: Path, aids: Ints | None = None) -> Log:
    """Read a log; with ``aids`` its items become rows of that catalogue, else of its own."""
    names, lengths, events = [], [], []
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            names.append(row.get("id", row["session"]))
            lengths.append(len(row["events"]))
            events += [(event["aid"], event["ts"], TYPE_NAMES.index(event["type"])) for event in row["events"]]
    table = np.array(events, np.int64).reshape(-1, 3)
    if aids is None:
        found, counts = np.unique(table[:, 0], return_counts=True)
        aids = found[np.lexsort((found, -counts))]
    offsets = np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])
    return Log(aids, names, offsets, Session(_rows(aids, table[:, 0]), table[:, 1], table[:, 2]))


def _rows(aids: Ints, wanted: Ints) -> Ints:
    order = np.argsort(aids)
    place = np.minimum(np.searchsorted(aids, wanted, sorter=order), len(aids) - 1)
    rows = order[place]
    return np.where(aids[rows] == wanted, rows, -1)


def best(scores: Floats, k: int) -> Ints:
    """The ``k`` rows of the highest scores above 0, best first; of equal ones the more frequent item first."""
    rows = np.flatnonzero(scores)
    return rows[np.argsort(-scores[rows], kind="stable")[:k]]
