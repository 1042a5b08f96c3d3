"""OTTO JSONL by a short cut: its usual lines through a kernel, its odd lines through the reader of all others."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from nextcart.events import merge
from nextcart.events.readers import MAX_LINE_BYTES
from nextcart.events.rejects import SECONDS_FROM, SECONDS_TO
from nextcart.events.sources import RawFile
from nextcart.events.unpack import unpacked
from nextcart.types import AID, POSITION, SESSION, TS, TYPE, Int64s, Progress, UInt8s

CHUNK_BYTES = 8 * 1024 * 1024
"""Read at a time; its events are a row group of some 160,000."""

_BOM = b"\xef\xbb\xbf"
_STRANGE = re.compile(rb"[\x00-\x08\x0a-\x1f]")
"""Bytes at which DuckDB's reader of lines may end or drop one."""
_FEW_ODD = 100
"""So many odd lines, beside a half of all, a chunk may have; with more the short cut is none."""

_SCHEMA = pa.schema(
    [(SESSION, pa.int64()), (AID, pa.int64()), (TS, pa.int64()), (TYPE, pa.uint8()), (POSITION, pa.int64())]
)

OddReader = Callable[[pa.Table], pa.Table]
"""Takes odd lines (line, text); gives their checked rows in order, with the line in the place of the position."""


@dataclass(frozen=True, slots=True)
class Usual:
    """What the short cut made of a file.

    Attributes:
        good: Parquet files of the events of usual lines, as the store has them, in input order.
        odd: Parquet of the checked rows of odd lines.
        events: how many events the good files have.
        positions: how many positions the file takes up.
        ordered: first and last session of the good files, if they have all good events, ascending by (session, ts,
            position), each session on one line, no two events equal; else None.
    """

    good: tuple[Path, ...]
    odd: Path
    events: int
    positions: int
    ordered: tuple[int, int] | None


def read_usual(
    file: RawFile, numbers: UInt8s, newest_ms: int, base: int, folder: Path, read_odd: OddReader, progress: Progress
) -> Usual | None:
    """Read a JSONL file of integer ids in one pass.

    Args:
        file: the raw file.
        numbers: uint8, shape (3,): what is stored for clicks, carts and orders.
        newest_ms: Unix milliseconds; a line with a later event is an odd one.
        base: position of the first record.
        folder: where the files go; ``base`` is in their names.
        read_odd: checks odd lines.
        progress: told the bytes read.

    Returns:
        None where the file has lines that are no plain text, too long or not ended by a newline alone, or where most
        are odd: then all of it is for the reader of all others.

    Raises:
        UnreadableInput: the file cannot be read to its end.
    """
    # Numba takes half a second to import, which other files need not pay.
    from nextcart.kernels.session_lines import scan_lines

    limits = np.array([newest_ms, SECONDS_FROM, SECONDS_TO, MAX_LINE_BYTES - 64], np.int64)
    lines, events, position, first, last, ordered = 0, 0, base, -1, -1, True
    odd_path = folder / f"{base}.odd.parquet"
    no_rows = read_odd(_odd_lines(b"", np.empty((0, 4), np.int64), 0))
    with ExitStack() as stack, pq.ParquetWriter(odd_path, no_rows.schema, compression="lz4") as odd_file:
        parts = _Parts(folder, base, stack)
        for chunk in _chunks(file, progress):
            sessions, aids, ts, types, odd, count, in_order = scan_lines(np.frombuffer(chunk, np.uint8), limits, last)
            places = position + np.arange(len(sessions))
            if len(odd):
                found = _odd_lines(chunk, odd, lines + 1) if len(odd) <= _FEW_ODD + count // 2 else None
                if found is None:
                    return None
                rows = read_odd(found)
                which = np.searchsorted(odd[:, 0], rows[POSITION].to_numpy() - lines - 1)
                odd_file.write_table(_with_positions(rows, position + odd[which, 3] + np.arange(len(rows))))
                places += _rows_before(which, odd, len(sessions))
                position += len(rows)
                in_order = in_order and rows["reason"].null_count == 0
            ordered = ordered and in_order
            if len(sessions):
                first, last = int(sessions[0]) if first < 0 else first, int(sessions[-1])
                parts.write(pa.table([sessions, aids, ts, numbers[types], places], schema=_SCHEMA), ordered=ordered)
            lines, events, position = lines + count, events + len(sessions), position + len(sessions)
    return Usual(tuple(parts.paths), odd_path, events, position - base, (first, last) if ordered and events else None)


def _chunks(file: RawFile, progress: Progress) -> Iterator[bytes]:
    """The file's plain bytes, each time some whole lines; without a byte order mark, and with a newline at the end."""
    stage = f"ingest {file.path.name}"
    progress(stage, 0, file.bytes)
    with file.path.open("rb") as raw, unpacked(file.path, raw, file.compression) as stream:
        mark = _BOM
        # Of a longer line the rest comes as another, and both as odd ones; the first is too long for any reader.
        while chunk := stream.read(CHUNK_BYTES) + stream.readline(MAX_LINE_BYTES):
            chunk = chunk.removeprefix(mark)
            yield chunk if chunk.endswith(b"\n") else chunk + b"\n"
            progress(stage, raw.tell(), file.bytes)
            mark = b""
    progress(stage, file.bytes, file.bytes)


def _odd_lines(chunk: bytes, odd: Int64s, first_line: int) -> pa.Table | None:
    """The odd lines as a table (line, text); None where one cannot stand alone as it stands in its file."""
    texts = [chunk[start:end] for start, end in odd[:, 1:3].tolist()]
    if any(len(text) > MAX_LINE_BYTES - 64 or _STRANGE.search(text) for text in texts):
        return None
    try:
        return pa.table({"line": odd[:, 0] + first_line, "text": pa.array(texts, pa.binary()).cast(pa.string())})
    except pa.ArrowInvalid:
        return None


def _with_positions(rows: pa.Table, positions: Int64s) -> pa.Table:
    return rows.set_column(rows.schema.get_field_index(POSITION), POSITION, pa.array(positions, pa.int64()))


def _rows_before(which: Int64s, odd: Int64s, n_events: int) -> Int64s:
    """How many rows of odd lines stand before each event of usual lines; ``which`` has the odd line of each row."""
    rows = np.concatenate([[0], np.cumsum(np.bincount(which, minlength=len(odd)))])
    return np.repeat(rows, np.diff(odd[:, 3], prepend=0, append=n_events))


class _Parts:
    """Files of events; where they are in order, the next is begun at the end of a session when a part is full."""

    def __init__(self, folder: Path, base: int, stack: ExitStack) -> None:
        self.paths: list[Path] = []
        self._folder, self._base, self._stack = folder, base, stack
        self._room = 0

    def write(self, table: pa.Table, *, ordered: bool) -> None:
        """Append a row group, or one to each of several files."""
        while len(table):
            if not self.paths or (ordered and self._room <= 0):
                self._begin()
            stop = _session_end(table, self._room) if ordered else len(table)
            self._writer.write_table(table[:stop], row_group_size=stop)
            self._room -= stop
            table = table[stop:]

    def _begin(self) -> None:
        self._stack.close()
        self.paths.append(self._folder / f"{self._base}.good-{len(self.paths):04d}.parquet")
        self._writer = self._stack.enter_context(
            pq.ParquetWriter(
                self.paths[-1], _SCHEMA, compression="zstd", use_dictionary=False, column_encoding="DELTA_BINARY_PACKED"
            )
        )
        self._room = merge.EVENTS_PER_PART


def _session_end(table: pa.Table, room: int) -> int:
    """Where the session of the last event that there is room for ends; the table's sessions ascend."""
    if len(table) <= room:
        return len(table)
    sessions = table[SESSION].to_numpy()
    return int(np.searchsorted(sessions, sessions[room - 1], "right"))
