"""Files of the synthetic shop: OTTO JSONL, a session a line, or Parquet in long form, an event a row."""

from __future__ import annotations

import gzip
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol, cast

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from nextcart.errors import InputError, RunFailed
from nextcart.events.synth_walk import Walk
from nextcart.types import AID, SESSION, TS, TYPE, TYPE_NAMES, IdType, Int64s

ENDINGS = (".jsonl", ".jsonl.gz", ".jsonl.zst", ".parquet")
"""What the name of a shop's file may end in."""

# Each value is stored plainly but for the three types: there is little to be found twice beside the session's number,
# of which the compression leaves nothing.
_PARQUET = {"compression": "zstd", "use_dictionary": [TYPE], "store_schema": False}


@dataclass(frozen=True, slots=True)
class Chunk:
    """Consecutive sessions with their times; `first` is the number of the first one."""

    first: int
    walk: Walk
    ts: Int64s


class Writer(Protocol):
    """Puts sessions into a file, in their order."""

    def write(self, chunk: Chunk) -> None:
        """Append the chunk's sessions."""


@contextmanager
def writing(output: Path, ids: Ids) -> Iterator[Writer]:
    """A writer of the format that the name of `output` tells; the file appears when it is whole.

    Raises:
        InputError: `output` is a directory, ends in none of `ENDINGS`, or cannot be created.
        RunFailed: writing failed, such as on a full disk; an older file of that name is untouched.
    """
    if output.is_dir():
        raise InputError(f"--output {output}: is a directory; name a file")
    if not output.name.lower().endswith(ENDINGS):
        raise InputError(f"--output {output}: its name tells no format; let it end in one of {', '.join(ENDINGS)}")
    suffix = output.suffix.lower()
    with ExitStack() as stack:
        file = stack.enter_context(_written_whole(output))
        if suffix == ".parquet":
            yield ParquetWriter(stack.enter_context(pq.ParquetWriter(file, ids.schema, **_PARQUET)), ids)
        else:
            yield JsonlWriter(stack.enter_context(_compressed(file, suffix)), ids)


class Ids:
    """The public ids of sessions and items."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, aids: Int64s, id_type: IdType, seed: int) -> None:
        """Take `aids`, int64, shape (n_items,), as the items' ids, or as the numbers in their SKUs."""
        self.connection, self._seed, self._text = connection, seed, id_type == "string"
        # One thread keeps rows and lines in order, and costs no more CPU.
        connection.execute("SET threads = 1")
        self.aids = pa.array(aids)
        if self._text:
            connection.register("aids", pa.table({"aid": self.aids}))
            skus = connection.sql("SELECT printf('SKU-%07d', aid) AS aid FROM aids").to_arrow_table()
            self.aids = skus.column("aid").combine_chunks()

    @property
    def schema(self) -> pa.Schema:
        """Columns of an event in long form."""
        id_type = pa.string() if self._text else pa.int64()
        return pa.schema([(SESSION, id_type), (AID, id_type), (TS, pa.int64()), (TYPE, pa.string())])

    def sessions(self, first: int, number: int) -> pa.Array:
        """The ids of the sessions from `first` on."""
        numbers = pa.array(np.arange(first, first + number))
        if not self._text:
            return numbers
        self.connection.register("numbers", pa.table({"number": numbers}))
        named = self.connection.sql(
            f"SELECT CAST(CAST(md5('{self._seed}/' || number) AS UUID) AS VARCHAR) AS session FROM numbers"
        )
        return named.to_arrow_table().column("session").combine_chunks()


class JsonlWriter:
    """Writes OTTO JSONL; DuckDB makes the text."""

    def __init__(self, file: IO[bytes], ids: Ids) -> None:
        self._file, self._ids = file, ids
        self._types = pa.array(TYPE_NAMES)

    def write(self, chunk: Chunk) -> None:
        """Append the chunk's sessions, a line each."""
        walked = chunk.walk
        aids, types = self._ids.aids.take(pa.array(walked.items)), self._types.take(pa.array(walked.types))
        events = pa.StructArray.from_arrays([aids, pa.array(chunk.ts), types], [AID, TS, TYPE])
        listed = pa.ListArray.from_arrays(pa.array(walked.offsets.astype(np.int32)), events)
        sessions = self._ids.sessions(chunk.first, len(walked.offsets) - 1)
        connection = self._ids.connection.register("chunk", pa.table({SESSION: sessions, "events": listed}))
        lines = connection.sql("SELECT to_json({session: session, events: events}) || chr(10) AS line FROM chunk")
        for part in lines.to_arrow_table().column("line").chunks:
            # The values of a string array lie end to end: they are the text as it goes into the file.
            self._file.write(part.buffers()[2])


class ParquetWriter:
    """Writes Parquet in long form, a row group a chunk."""

    def __init__(self, file: pq.ParquetWriter, ids: Ids) -> None:
        self._file, self._ids = file, ids
        self._types = pa.array(TYPE_NAMES)

    def write(self, chunk: Chunk) -> None:
        """Append the chunk's sessions, a row an event."""
        walked = chunk.walk
        lengths = np.diff(walked.offsets)
        sessions = self._ids.sessions(chunk.first, len(lengths))
        rows = [
            sessions.take(pa.array(np.repeat(np.arange(len(lengths)), lengths))),
            self._ids.aids.take(pa.array(walked.items)),
            pa.array(chunk.ts),
            self._types.take(pa.array(walked.types)),
        ]
        self._file.write_table(pa.table(rows, schema=self._ids.schema), row_group_size=len(walked.items))


@contextmanager
def _written_whole(output: Path) -> Iterator[IO[bytes]]:
    """A file to write into, which takes the name of `output` when all went well."""
    partial = output.with_name(f".{output.name}.partial")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        raw = partial.open("wb")
    except OSError as error:
        raise InputError(f"--output {output}: cannot be created ({error.strerror}); name another file") from error
    try:
        with raw:
            yield raw
        with partial.open("rb") as written:
            os.fsync(written.fileno())
        partial.replace(output)
    except OSError as error:
        raise RunFailed(
            f"--output {output}: cannot be written ({error.strerror}); free some space or name another file"
        ) from error
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def _compressed(raw: IO[bytes], suffix: str) -> Iterator[IO[bytes]]:
    """A stream whose bytes depend on what is written alone: no name and no time in a header."""
    if suffix == ".gz":
        with gzip.GzipFile(filename="", mode="wb", fileobj=raw, compresslevel=3, mtime=0) as file:
            yield cast("IO[bytes]", file)
    elif suffix == ".zst":
        with pa.CompressedOutputStream(pa.PythonFile(raw, "w"), "zstd") as file:
            yield file
    else:
        yield raw
