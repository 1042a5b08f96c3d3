"""Raw files through Spark: it reads and checks the usual lines, drops duplicates and sorts; DuckDB checks the odd ones.

A usual line is one that Spark, having read it, writes again just as it stood, and whose ids, times and types are all
good. Every other line goes through the checks of an ingest without Spark, so that rejects are the same to the letter.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from nextcart.events.dropped import forget_dropped, keep_rejects
from nextcart.events.merge import EVENTS_PER_PART, STORED_AS
from nextcart.events.readers import EMPTY_SESSION, MAX_LINE_BYTES, json_records
from nextcart.events.rejects import SECONDS_FROM, SECONDS_TO
from nextcart.events.schema import MAX_ID_BYTES, SplitFacts, SplitName
from nextcart.events.sources import RawFile
from nextcart.events.spark_engine import SparkEngine, failures, filesystem, spark_path
from nextcart.events.staging import Checks, Staged, checked_sql, stage
from nextcart.events.store import BATCH_ROWS, literal, parquet
from nextcart.events.unpack import unpacked
from nextcart.types import AID, SESSION, TYPE_NAMES, IdType, Int64s, Progress

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame

_STRANGE = re.compile(rb"[\x00-\x08\x0a-\x1f]")
"""Bytes at which DuckDB's reader of lines may end or drop one."""
_SPARK_TYPES: Mapping[IdType, str] = {"int64": "bigint", "string": "string"}
_COLUMNS = "session, aid, ts, type, position"


class SparkIngest:
    """Stages and merges raw files by Spark; the methods are those of `staging.stage` and `merge.merge`."""

    def __init__(self, engine: SparkEngine, split: SplitName) -> None:
        """``engine`` is over the store as it is, ``split`` is where the events go."""
        self._engine = engine
        self._split = split
        self._events: list[DataFrame] = []

    def stage(
        self,
        connection: duckdb.DuckDBPyConnection,
        file: RawFile,
        checks: Checks,
        folder: Path,
        base: int,
        progress: Progress,
    ) -> Staged:
        """Read and check a whole raw file; one that is not for Spark is read by DuckDB here.

        Raises:
            As `staging.stage`, and RunFailed: Spark cannot read the file.
        """
        with failures():
            found = self._stage(connection, file, checks, folder, base, progress) if _is_for_spark(file) else None
            if found is None:
                found = stage(connection, file, checks, folder, base, progress)
            self._lend(connection, found)
        return found

    def merge(
        self,
        connection: duckdb.DuckDBPyConnection,
        staged: Sequence[Staged],
        folder: Path,
        root: Path,  # noqa: ARG002  # as `merge` takes it; the engine is over this store
        known: SplitFacts | None,  # noqa: ARG002  # as `merge` takes it; the engine has these events
        progress: Progress,
    ) -> tuple[list[Path], list[int]]:
        """Write the accepted events of all staged files into ``folder``, sorted by (session, ts, position)."""
        accepted = sum(part.accepted for part in staged)
        progress("sort events", 0, accepted)
        with failures():
            frame = self._events[0]
            for other in self._events[1:]:
                frame = frame.unionByName(other)
            frame.createOrReplaceTempView("staged")
        self._engine.keep("seen", "ingest_seen", split=self._split)
        paths: list[Path] = []
        kept = np.zeros(len(staged), np.int64)
        bases = np.array([part.base for part in staged])
        for path, part in _parts(self._engine.batches("ingest_merged"), folder):
            connection.register("part", part)
            connection.execute(
                f"copy (select session, aid, ts, type::utinyint as type, position from part) to {literal(path)} "
                f"{STORED_AS}"
            )
            connection.unregister("part")
            positions = part["position"].to_numpy()
            kept += np.bincount(np.searchsorted(bases, positions, "right") - 1, minlength=len(staged))
            paths.append(path)
        progress("sort events", accepted, accepted)
        return paths, kept.tolist()

    def _stage(
        self,
        connection: duckdb.DuckDBPyConnection,
        file: RawFile,
        checks: Checks,
        folder: Path,
        base: int,
        progress: Progress,
    ) -> Staged | None:
        """None where a line is not text, holds control characters or is too long: DuckDB has its ways with those."""
        told = f"ingest {file.path.name}"
        progress(told, 0, file.bytes)
        engine = self._engine
        engine.lend("raw_lines", _raw_lines(engine, file, checks).persist())
        blocks = engine.run("ingest_blocks")
        first_lines = _before(blocks["lines"].to_numpy(), 1)
        engine.lend_table("blocks", blocks.append_column("first_line", pa.array(first_lines)))
        odd = _texts(engine.run("ingest_odd_lines"))
        if odd is None:
            return None
        connection.register("odd_lines", odd)
        forget_dropped(connection)
        found = json_records("(select text, line from odd_lines)", checks.session_type)
        rows = connection.sql(checked_sql(found, checks, position="line")).to_arrow_table()
        lines, counts = np.unique(rows["position"].to_numpy(), return_counts=True)
        of_block = np.searchsorted(first_lines, lines, "right") - 1
        records = blocks["records"].to_numpy() + np.bincount(of_block, counts, len(first_lines)).astype(np.int64)
        engine.lend_table("odd_records", pa.table({"line": pa.array(lines, pa.int64()), "records": counts}))
        engine.lend_table(
            "blocks",
            blocks.append_column("first_line", pa.array(first_lines)).append_column(
                "first_position", pa.array(_before(records, base))
            ),
        )
        engine.keep("numbered", "ingest_numbered")
        starts = engine.run("ingest_odd_starts")["position"].to_numpy()
        path = folder / f"{base}.odd.parquet"
        within = np.arange(len(rows)) - np.repeat(np.cumsum(counts) - counts, counts)
        at = rows.schema.get_field_index("position")
        pq.write_table(rows.set_column(at, "position", pa.array(np.repeat(starts, counts) + within, pa.int64())), path)
        self._events.append(_exploded(engine, checks))
        progress(told, file.bytes, file.bytes)
        return _staged(
            connection, file, folder, path, base, int(records.sum()), int(blocks["records"].to_numpy().sum())
        )

    def _lend(self, connection: duckdb.DuckDBPyConnection, found: Staged) -> None:
        """What DuckDB accepted goes to Spark as a file among its answers."""
        place = self._engine.new_place("staged")
        system, path = filesystem(place)
        system.create_dir(path)
        casted = "select session, aid, ts, type::integer as type, position"
        reader = connection.sql(f"{casted} from ({found.accepted_sql()})").to_arrow_reader(BATCH_ROWS)
        target = f"{path}/staged.parquet"
        with system.open_output_stream(target) as stream, pq.ParquetWriter(stream, reader.schema) as writer:
            for batch in reader:
                writer.write_batch(batch)
        self._events.append(self._engine.session.read.parquet(spark_path(place)).select(*_COLUMNS.split(", ")))


def _is_for_spark(file: RawFile) -> bool:
    """JSONL under a name in which Spark sees no pattern, no hidden file, and the compression that it has."""
    path = str(file.path.resolve())
    return (
        file.format == "jsonl"
        and not file.path.name.startswith(("_", "."))
        and not re.search(r"[*?\[\]{}\\,]", path)
        and (file.compression == "none" or file.path.suffix in (".gz", ".zst"))
    )


def _raw_lines(engine: SparkEngine, file: RawFile, checks: Checks) -> DataFrame:
    """Lines (block, place, text, session, events, records); of a usual one text is null, of an odd one all else."""
    from pyspark.sql import functions as f

    session, aid = _file_types(file)
    shape = f"session {session}, events array<struct<aid:{aid}, ts:bigint, type:string>>"
    lines = engine.session.read.text(spark_path(str(file.path.resolve())), lineSep="\n").select(
        f.col("_metadata.file_block_start").alias("block"),
        f.monotonically_increasing_id().alias("place"),
        f.col("value").alias("text"),
        f.expr("if(endswith(value, '\r'), left(value, length(value) - 1), value)").alias("line"),
    )
    read = lines.withColumn("j", f.from_json("line", shape))
    same = _compact(f.col("line")) == _compact(f.to_json("j"))
    plain = ~f.col("line").rlike("\\p{Cc}") & (f.instr("line", "\\") == 0)
    good = f.expr(f"{_good_id('j.session', session, checks.session_type)} and size(j.events) > 0") & f.expr(
        f"forall(j.events, e -> {_good_id('e.aid', aid, checks.aid_type)} and e.ts > 0 "
        f"and e.ts <= {checks.newest_ms} and e.ts not between {SECONDS_FROM} and {SECONDS_TO})"
    )
    known = f.forall("j.events", lambda e: e["type"].isin(*checks.types))
    usual = f.coalesce(same & plain & good & known, f.lit(False))
    blank = f.trim("line") == ""
    return read.select(
        "block",
        "place",
        f.when(~usual & ~blank, f.col("text").cast("binary")).alias("text"),
        f.when(usual, f.col("j.session")).alias("session"),
        f.when(usual, f.col("j.events")).alias("events"),
        f.when(usual, f.size("j.events")).when(blank, 0).cast("bigint").alias("records"),
    )


def _file_types(file: RawFile) -> tuple[str, str]:
    """Whether the first line's ids are texts or numbers; with the wrong guess lines are odd ones, and no worse."""
    with file.path.open("rb") as raw, unpacked(file.path, raw, file.compression) as stream:
        line = stream.readline(MAX_LINE_BYTES)
    try:
        first: Any = json.loads(line)
        ids = (first["session"], first["events"][0]["aid"])
    except (ValueError, KeyError, IndexError, TypeError):
        return "bigint", "bigint"
    session, aid = ("string" if isinstance(each, str) else "bigint" for each in ids)
    return session, aid


def _good_id(name: str, of_file: str, of_store: IdType) -> str:
    """Spark's SQL: whether an id is good; a number that was written again as it stood is plain."""
    if of_file == "bigint":
        return f"{name} >= 0" if of_store == "int64" else f"{name} is not null"
    if of_store == "int64":
        return f"try_cast({name} as bigint) >= 0 and cast(try_cast({name} as bigint) as string) = {name}"
    return f"{name} <> '' and octet_length({name}) <= {MAX_ID_BYTES}"


def _compact(text: Column) -> Column:
    from pyspark.sql import functions as f

    return f.replace(f.replace(text, f.lit(", "), f.lit(",")), f.lit(": "), f.lit(":"))


def _exploded(engine: SparkEngine, checks: Checks) -> DataFrame:
    """The events of usual lines: session, aid, ts, type, position."""
    from pyspark.sql import functions as f

    numbers = f.create_map(*(f.lit(each) for t in checks.types.items() for each in (t[0], TYPE_NAMES.index(t[1]))))
    lines = engine.session.table("numbered").where("events is not null")
    return lines.select("session", "position", f.posexplode("events").alias("at", "e")).select(
        f.col(SESSION).cast(_SPARK_TYPES[checks.session_type]).alias(SESSION),
        f.col("e.aid").cast(_SPARK_TYPES[checks.aid_type]).alias(AID),
        f.col("e.ts").alias("ts"),
        numbers[f.col("e.type")].alias("type"),
        (f.col("position") + f.col("at")).alias("position"),
    )


def _texts(odd: pa.Table) -> pa.Table | None:
    """Odd lines with their bytes as text; None where one cannot stand alone as it stands in its file."""
    texts = [text.removesuffix(b"\r") for text in odd["text"].to_pylist()]
    if any(len(text) > MAX_LINE_BYTES - 64 or _STRANGE.search(text) for text in texts):
        return None
    try:
        return pa.table({"line": odd["line"], "text": pa.array(texts, pa.binary()).cast(pa.string())})
    except pa.ArrowInvalid:
        return None


def _before(counts: Int64s, start: int) -> Int64s:
    """Where each of consecutive runs begins, the first at ``start``."""
    found: Int64s = start + np.cumsum(counts) - counts
    return found


def _staged(
    connection: duckdb.DuckDBPyConnection, file: RawFile, folder: Path, path: Path, base: int, records: int, events: int
) -> Staged:
    counts = dict(connection.execute(f"select reason, count(*) from {parquet([path])} group by reason").fetchall())
    accepted, empty_sessions = counts.pop(None, 0), counts.pop(EMPTY_SESSION, 0)
    rejects_path = folder / f"{base}.rejects.parquet"
    rejects, examples = keep_rejects(connection, file, "invalid_json", path, sum(counts.values()), rejects_path)
    return Staged(
        file=file,
        path=path,
        good=(),
        ordered=None,
        rejects_path=rejects_path if rejects else None,
        base=base,
        positions=records,
        accepted=accepted + events,
        rejects=rejects,
        examples=examples,
        empty_sessions=empty_sessions,
    )


def _parts(batches: Iterator[pa.RecordBatch], folder: Path) -> Iterator[tuple[Path, pa.Table]]:
    """Sorted events in parts of about equal size, no session in two of them."""
    held: list[pa.RecordBatch] = []
    rows = number = 0
    for batch in batches:
        held.append(batch)
        rows += len(batch)
        if rows < EVENTS_PER_PART:
            continue
        table = pa.Table.from_batches(held)
        sessions = table[SESSION].combine_chunks()
        last = int(pc.index(sessions, sessions[-1]).as_py())
        if last:
            yield folder / f"merged-{number:04d}.parquet", table[:last]
            held, rows, number = table[last:].to_batches(), rows - last, number + 1
    if rows:
        yield folder / f"merged-{number:04d}.parquet", pa.Table.from_batches(held)
