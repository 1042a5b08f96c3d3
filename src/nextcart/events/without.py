"""A file of the store without some of its sessions: read and written row group by row group, whatever its size."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from nextcart.events.split_in_order import Written
from nextcart.types import SESSION, TS, Id


@dataclass(frozen=True, slots=True)
class Removed:
    """What a file lost.

    Attributes:
        sessions: the sessions that it held.
        events: their events.
        first_ts: Unix milliseconds of the oldest of them.
        last_ts: Unix milliseconds of the newest of them.
    """

    sessions: frozenset[Id]
    events: int
    first_ts: int
    last_ts: int


def holds_any(path: Path, sessions: Sequence[Id]) -> bool:
    """Whether a file holds an event of one of the sessions; only that column is read."""
    with pq.ParquetFile(path) as file:
        values = _values(file, sessions)
        return any(
            pc.any(pc.is_in(batch.column(SESSION), value_set=values)).as_py()
            for batch in file.iter_batches(columns=[SESSION], use_threads=False)
        )


def copy_without(path: Path, target: Path, sessions: Sequence[Id]) -> Removed:
    """Write the events of all other sessions to ``target``, in their order; where there are none, no file is made.

    Args:
        path: holds an event or more of ``sessions``.
        target: Parquet to write.
        sessions: ids in the file's type.
    """
    found: list[pa.Table] = []
    with ExitStack() as stack, pq.ParquetFile(path) as file:
        values, written = _values(file, sessions), Written(target, stack)
        for number in range(file.num_row_groups):
            rows = file.read_row_group(number, use_threads=False)
            gone = pc.is_in(rows.column(SESSION), value_set=values)
            found.append(rows.filter(gone).select([SESSION, TS]))
            for batch in rows.filter(pc.invert(gone)).to_batches():
                written.add(batch)
        written.flush()
    removed = pa.concat_tables(found)
    times = pc.min_max(removed.column(TS)).as_py()
    return Removed(
        sessions=frozenset(pc.unique(removed.column(SESSION)).to_pylist()),
        events=len(removed),
        first_ts=times["min"],
        last_ts=times["max"],
    )


def _values(file: pq.ParquetFile, sessions: Sequence[Id]) -> pa.Array:
    return pa.array(sessions, file.schema_arrow.field(SESSION).type)
