"""A split of files that are in order, no session in two of them: in one pass, where nothing is sorted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from nextcart.events.schema import DERIVED_SPLITS, SplitName, StoredFile
from nextcart.types import AID, SESSION, TS, Id, Int64s, Progress

ROWS_PER_GROUP = 122_880
"""About so many events are a row group of the files written."""
MOST_MARKS = 2**27
"""Item ids within a range of so many are counted by a byte each."""

Bools = NDArray[np.bool_]
Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class Rule:
    """Which side a session goes to, and how much of it.

    Attributes:
        cut_ts: Unix milliseconds; sessions later than this are for validation, whole.
        by_end: a session is later when it ends later; else when it begins later.
        before_ts: events for training lie before it.
        least: sessions with fewer events before it are dropped.
    """

    cut_ts: int
    by_end: bool
    before_ts: int
    least: int


@dataclass(slots=True)
class Part:
    """The events of one side that one file holds, with what is counted of them as they are written."""

    path: Path
    events: int = 0
    sessions: int = 0
    short_sessions: int = 0
    first_ts: int = 2**63 - 1
    last_ts: int = 0
    first_session: Id = 0
    last_session: Id = 0

    def count(self, sessions: pa.Array, lengths: Int64s, first_ts: int, last_ts: int, min_events: int) -> None:
        """Add some sessions, later ones than those before, with the events of each."""
        if not self.sessions:
            self.first_session = sessions[0].as_py()
        self.last_session = sessions[-1].as_py()
        self.events += int(lengths.sum())
        self.sessions += len(lengths)
        self.short_sessions += int((lengths < min_events).sum())
        self.first_ts, self.last_ts = min(self.first_ts, first_ts), max(self.last_ts, last_ts)


@dataclass(frozen=True, slots=True)
class Marks:
    """Which items of a range of ids were seen on each side; one byte an id."""

    lowest: int
    seen: dict[SplitName, Bools]

    def items(self, name: SplitName) -> int:
        """How many distinct items."""
        return int(self.seen[name].sum())


def marks_for(paths: Sequence[Path]) -> Marks | None:
    """Room to mark the items of files; None where their ids are texts, or too far apart."""
    lowest, highest = [], []
    for path in paths:
        facts = pq.read_metadata(path)
        column = facts.schema.names.index(AID)
        for number in range(facts.num_row_groups):
            known = facts.row_group(number).column(column).statistics
            if known is None or not known.has_min_max or not isinstance(known.min, int):
                return None
            lowest.append(known.min)
            highest.append(known.max)
    size = max(highest) - min(lowest) + 1
    return (
        Marks(min(lowest), {name: np.zeros(size, np.bool_) for name in DERIVED_SPLITS}) if size <= MOST_MARKS else None
    )


def session_ends(files: Sequence[StoredFile], root: Path, threads: int, progress: Progress) -> Int64s:
    """When each session ends, int64, Unix milliseconds, in the order of sessions."""

    def read(file: StoredFile, told: Callable[[int], None]) -> Int64s:
        found: list[Int64s] = []
        for batch in whole_sessions(root / file.path, [SESSION, TS]):
            found.append(_ts(batch)[run_ends(batch.column(SESSION)) - 1])
            told(len(batch))
        return np.concatenate(found)

    return np.concatenate(_each(read, files, threads, "split: ends of sessions", progress))


def cut_files(
    files: Sequence[StoredFile],
    root: Path,
    folder: Path,
    rule: Rule,
    marks: Marks | None,
    min_events: int,
    threads: int,
    progress: Progress,
) -> list[dict[SplitName, Part]]:
    """Write both sides of each file into ``folder``; of each file its parts, a part without events has no file.

    Args:
        files: in the order of their sessions.
        root: the store's folder.
        folder: takes the parts.
        rule: which side a session goes to.
        marks: takes the items seen.
        min_events: sessions with fewer are counted as short.
        threads: so many files are cut at a time.
        progress: told the events read.
    """

    def cut(file: StoredFile, told: Callable[[int], None]) -> dict[SplitName, Part]:
        stem = Path(file.path).stem
        parts = {name: Part(folder / f"{name}-{stem}.parquet") for name in DERIVED_SPLITS}
        with ExitStack() as stack:
            written = {name: Written(part.path, stack) for name, part in parts.items()}
            for batch in whole_sessions(root / file.path):
                for name, (lengths, mask) in zip(DERIVED_SPLITS, _sides(batch, rule), strict=True):
                    if not lengths.any():
                        continue
                    kept = batch if mask.all() else batch.filter(pa.array(mask))
                    _count(parts[name], kept, min_events)
                    if marks is not None:
                        marks.seen[name][kept.column(AID).to_numpy() - marks.lowest] = True
                    written[name].add(kept)
                told(len(batch))
            for each in written.values():
                each.flush()
        return parts

    return _each(cut, files, threads, "split", progress)


def whole_sessions(path: Path, columns: list[str] | None = None) -> Iterator[pa.RecordBatch]:
    """A file's events in their order, in batches none of which ends within a session."""
    held: list[pa.RecordBatch] = []
    with pq.ParquetFile(path) as file:
        for number in range(file.num_row_groups):
            for batch in file.read_row_group(number, columns, use_threads=False).combine_chunks().to_batches():
                runs = pc.run_end_encode(batch.column(SESSION))
                ends = np.from_dlpack(runs.run_ends).astype(np.int64)
                goes_on = bool(held) and held[-1].column(SESSION)[-1].as_py() == runs.values[0].as_py()
                start = int(ends[0]) if goes_on else 0
                if goes_on:
                    held.append(batch.slice(0, start))
                    if start == len(batch):
                        continue
                if held:
                    yield pa.concat_batches(held)
                last = int(ends[-2]) if len(ends) > 1 else 0
                if last > start:
                    yield batch.slice(start, last - start)
                held = [batch.slice(last)]
    if held:
        yield pa.concat_batches(held)


def run_ends(sessions: pa.Array) -> Int64s:
    """Behind the last event of each session, for events in session order."""
    return np.from_dlpack(pc.run_end_encode(sessions).run_ends).astype(np.int64)


def _ts(batch: pa.RecordBatch) -> Int64s:
    found: Int64s = batch.column(TS).to_numpy()
    return found


def _sides(batch: pa.RecordBatch, rule: Rule) -> tuple[tuple[Int64s, Bools], tuple[Int64s, Bools]]:
    """For training, then for validation: how many events each session gives, and which those are."""
    ts, ends = _ts(batch), run_ends(batch.column(SESSION))
    starts = np.concatenate([[0], ends[:-1]])
    lengths = ends - starts
    late = ts[ends - 1 if rule.by_end else starts] > rule.cut_ts
    before = ts < rule.before_ts
    heads = lengths if before.all() else np.add.reduceat(before, starts, dtype=np.int64)
    heads = np.where(late | (heads < rule.least), 0, heads)
    return (heads, np.repeat(heads > 0, lengths) & before), (np.where(late, lengths, 0), np.repeat(late, lengths))


def _count(part: Part, kept: pa.RecordBatch, min_events: int) -> None:
    runs = pc.run_end_encode(kept.column(SESSION))
    ts = _ts(kept)
    ends = np.from_dlpack(runs.run_ends).astype(np.int64)
    lengths = ends - np.concatenate([[0], ends[:-1]])
    part.count(runs.values, lengths, int(ts.min()), int(ts.max()), min_events)


@dataclass(slots=True)
class Written:
    """A file of the store, begun with its first events; there is none where no event comes."""

    path: Path
    stack: ExitStack
    writer: pq.ParquetWriter | None = None
    waiting: list[pa.RecordBatch] = field(default_factory=list)
    rows: int = 0

    def add(self, batch: pa.RecordBatch) -> None:
        """Append events, which come behind those before."""
        self.waiting.append(batch)
        self.rows += len(batch)
        if self.rows >= ROWS_PER_GROUP:
            self.flush()

    def flush(self) -> None:
        """Write what waits; the last call before the stack ends."""
        if not self.rows:
            return
        table = pa.Table.from_batches(self.waiting)
        if self.writer is None:
            self.writer = self.stack.enter_context(_writer(self.path, table.schema))
        self.writer.write_table(table, row_group_size=self.rows)
        self.waiting, self.rows = [], 0


def _writer(path: Path, schema: pa.Schema) -> pq.ParquetWriter:
    encodings = {
        column.name: "DELTA_BINARY_PACKED" if pa.types.is_integer(column.type) else "DELTA_LENGTH_BYTE_ARRAY"
        for column in schema
    }
    return pq.ParquetWriter(path, schema, compression="zstd", use_dictionary=False, column_encoding=encodings)


def _each(
    work: Callable[[StoredFile, Callable[[int], None]], Found],
    files: Sequence[StoredFile],
    threads: int,
    stage: str,
    progress: Progress,
) -> list[Found]:
    """What ``work`` makes of each file, in their order; so many ``threads`` at a time, told the events done."""
    total, done, lock = sum(file.events for file in files), 0, Lock()

    def told(events: int) -> None:
        nonlocal done
        with lock:
            done += events
            progress(stage, done, total)

    progress(stage, 0, total)
    pool = ThreadPoolExecutor(threads)
    try:
        return [future.result() for future in [pool.submit(work, file, told) for file in files]]
    finally:
        pool.shutdown(cancel_futures=True)
