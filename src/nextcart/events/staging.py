"""One raw file into the staging folder: each record checked, and either accepted or kept with the reason why not."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from nextcart.events.dropped import forget_dropped, keep_rejects
from nextcart.events.progress import watched
from nextcart.events.readers import EMPTY_SESSION, Records, json_records, plain, records
from nextcart.events.rejects import RAW_CHARACTERS, Reason, id_fault, time_fault, type_fault
from nextcart.events.sources import RawFile, reading
from nextcart.events.store import SQL_TYPES, literal, parquet
from nextcart.events.usual_lines import Usual, read_usual
from nextcart.types import TYPE_NAMES, IdType, Progress

STAGED_AS = "(format parquet, parquet_version v2, compression lz4_raw, dictionary_size_limit 1)"
"""How checked files are written: the delta encoding of version 2 takes a third of the time of dictionaries."""


@dataclass(frozen=True, slots=True)
class Checks:
    """What a record must satisfy.

    Attributes:
        session_type: type of the store's session ids.
        aid_type: type of its item ids.
        newest_ms: Unix milliseconds; a later event is rejected.
        columns: field -> the file's column, for CSV and Parquet.
        types: the file's value -> clicks, carts or orders.
    """

    session_type: IdType
    aid_type: IdType
    newest_ms: int
    columns: Mapping[str, str]
    types: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Staged:
    """A checked raw file.

    Attributes:
        file: the raw file.
        path: Parquet with position, session, aid, ts, type; accepted events only where reason is null.
        rejects_path: Parquet with source, line, event, reason, raw; None where nothing was rejected.
        base: position of its first record.
        positions: positions that the file takes up, from ``base`` on.
        accepted: good events, duplicates among them.
        rejects: rejected records by reason, most frequent first.
        examples: the first of them, each as "file:line reason".
        empty_sessions: lines with an empty list of events.
        good: Parquet files of more accepted events, with the same columns.
        ordered: first and last session, where ``good`` has all accepted events as a sort leaves them; else None.
    """

    file: RawFile
    path: Path
    rejects_path: Path | None
    base: int
    positions: int
    accepted: int
    rejects: Mapping[Reason, int]
    examples: tuple[str, ...]
    empty_sessions: int
    good: tuple[Path, ...] = ()
    ordered: tuple[int, int] | None = None

    @property
    def rejected(self) -> int:
        """Number of rejected records."""
        return sum(self.rejects.values())

    def accepted_sql(self) -> str:
        """SQL for the accepted events: position, session, aid, ts, type."""
        columns = "select position, session, aid, ts, type from"
        checked = f"{columns} {parquet([self.path])} where reason is null"
        return f"{checked} union all {columns} {parquet(self.good)}" if self.good else checked


def stage(
    connection: duckdb.DuckDBPyConnection, file: RawFile, checks: Checks, folder: Path, base: int, progress: Progress
) -> Staged:
    """Read and check a whole raw file in one pass; ``folder`` takes the result, ``base`` is its first position.

    Raises:
        InputError: a column is missing or of an unusable type.
        UnreadableInput: the file cannot be read to its end.
    """
    found = records(connection, file, checks.session_type, checks.columns)
    forget_dropped(connection)
    usual = _usual(connection, file, checks, folder, base, progress)
    path = usual.odd if usual else folder / f"{base}.parquet"
    if usual is None:
        rows = checked_sql(found, checks, f"{base} + row_number() over () - 1")
        statement = f"copy ({rows}) to {literal(path)} {STAGED_AS}"
        with reading(file.path), watched(connection, progress, f"ingest {file.path.name}", file.bytes):
            connection.execute(statement)
    counts = dict(_rows(connection, f"select reason, count(*) from {parquet([path])} group by reason"))
    positions, accepted = sum(counts.values()), counts.pop(None, 0)
    empty_sessions = counts.pop(EMPTY_SESSION, 0)
    rejects_path = folder / f"{base}.rejects.parquet"
    rejects, examples = keep_rejects(connection, file, found.bad_line, path, sum(counts.values()), rejects_path)
    return Staged(
        file=file,
        path=path,
        rejects_path=rejects_path if rejects else None,
        base=base,
        positions=usual.positions if usual else positions,
        accepted=accepted + (usual.events if usual else 0),
        rejects=rejects,
        examples=examples,
        empty_sessions=empty_sessions,
        good=usual.good if usual else (),
        ordered=usual.ordered if usual else None,
    )


def _usual(
    connection: duckdb.DuckDBPyConnection, file: RawFile, checks: Checks, folder: Path, base: int, progress: Progress
) -> Usual | None:
    """Read the file by the short cut, where there is one for it."""
    if file.format != "jsonl" or (checks.session_type, checks.aid_type) != ("int64", "int64"):
        return None
    found = json_records("(select text, line from odd_lines)", checks.session_type)
    statement = checked_sql(found, checks, position="line")

    def read_odd(lines: pa.Table) -> pa.Table:
        connection.register("odd_lines", lines)
        return connection.sql(statement).to_arrow_table()

    numbers = np.array([TYPE_NAMES.index(checks.types[name]) for name in TYPE_NAMES], np.uint8)
    return read_usual(file, numbers, checks.newest_ms, base, folder, read_odd, progress)


def checked_sql(found: Records, checks: Checks, position: str) -> str:
    """SQL for all records in input order, each with its reason to be rejected (null for a good one)."""
    faults = [
        "fault",
        id_fault("aid", "aid_value", checks.aid_type, absent=found.null_id),
        time_fault("ts", "ts_value", checks.newest_ms),
        type_fault("type", "type_value"),
    ]
    if not found.sessions_checked:
        faults.insert(1, id_fault("session", "session_value", checks.session_type))
    number = _type_number(checks.types, found.type_is_json)
    return f"""
        with typed as (
            select *, try_cast(session as {SQL_TYPES[checks.session_type]}) as session_value,
                try_cast(aid as {SQL_TYPES[checks.aid_type]}) as aid_value, try_cast(ts as bigint) as ts_value,
                {number} as type_value
            from ({found.sql})
        ), checked as (
            select *, coalesce({", ".join(faults)}) as reason from typed
        )
        select {position} as position, session_value as session, aid_value as aid,
            ts_value as ts, type_value as type, reason,
            case when reason is not null then line end as line,
            case when reason is not null then event end as event,
            case when reason is not null then left({found.raw}, {RAW_CHARACTERS}) end as raw
        from checked
    """


def _type_number(types: Mapping[str, str], is_json: bool) -> str:
    def cases(form: Callable[[str], str]) -> str:
        return " ".join(f"when {literal(form(theirs))} then {TYPE_NAMES.index(ours)}" for theirs, ours in types.items())

    if not is_json:
        return f"(case type {cases(str)} end)::utinyint"
    # First as the text stands in its quotes, which costs nothing; only else with its escapes resolved.
    return f"coalesce(case type {cases(_json_text)} end, case {plain('type')} {cases(str)} end)::utinyint"


def _json_text(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _rows(connection: duckdb.DuckDBPyConnection, statement: str) -> list[tuple[Any, ...]]:
    return connection.execute(statement).fetchall()
