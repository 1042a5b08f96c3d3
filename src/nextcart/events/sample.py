"""The first records of a raw file: of what type its ids are, and in what unit its times."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb

from nextcart.events.readers import MAX_LINE_BYTES, records
from nextcart.events.rejects import time_fault
from nextcart.events.sources import RawFile, reading
from nextcart.events.unpack import unpacked

SAMPLE_BYTES = 256 * 1024
SAMPLE_RECORDS = 10_000


@dataclass(frozen=True, slots=True)
class Sample:
    """The first records of a file; shares are of those that have the field.

    Attributes:
        odd_sessions: share of session ids that are marked as text, or are no plain integers.
        odd_aids: the same of item ids.
        not_integer_sessions: share of session ids that are no plain integers, marked as text or not.
        not_integer_aids: the same of item ids.
        seconds: share of timestamps that are dates in seconds.
        session: a session id that is no plain integer.
        aid: an item id that is none.
        ts: a timestamp in seconds.
    """

    odd_sessions: float
    odd_aids: float
    not_integer_sessions: float
    not_integer_aids: float
    seconds: float
    session: str | None
    aid: str | None
    ts: str | None


def sample(
    connection: duckdb.DuckDBPyConnection, file: RawFile, folder: Path, newest_ms: int, columns: Mapping[str, str]
) -> Sample:
    """Look at the first records of a file; ``folder`` takes a copy of its first lines.

    Raises:
        InputError: a column is missing or of an unusable type.
        UnreadableInput: the file cannot be read.
    """
    found = records(connection, _head(file, folder), "string", columns)
    is_seconds = f"{time_fault('ts', 'try_cast(ts as bigint)', newest_ms)} is not distinct from 'timestamp_in_seconds'"
    statement = f"""
        with first as (select * from ({found.sql}) limit {SAMPLE_RECORDS}),
        marked as (
            select *, case when ts is not null then {is_seconds} end as seconds,
                case when session is not null then {_not_integer("session")} end as odd_session,
                case when aid is not null then {_not_integer("aid")} end as odd_aid
            from first
        )
        select coalesce(avg((odd_session or session_is_text)::int), 0),
            coalesce(avg((odd_aid or aid_is_text)::int), 0), coalesce(avg(odd_session::int), 0),
            coalesce(avg(odd_aid::int), 0), coalesce(avg(seconds::int), 0),
            any_value(session) filter (odd_session), any_value(aid) filter (odd_aid), any_value(ts) filter (seconds)
        from marked
    """
    with reading(file.path):
        row = connection.execute(statement).fetchall()[0]
    return Sample(*row)


def _head(file: RawFile, folder: Path) -> RawFile:
    """The file's first lines as a file, which is cheaper to read than the start of a large or compressed one."""
    if file.format == "parquet":
        return file
    head = folder / "head"
    with file.path.open("rb") as raw, unpacked(file.path, raw, file.compression) as stream:
        lines = stream.read(SAMPLE_BYTES) + stream.readline(MAX_LINE_BYTES)
    head.write_bytes(lines)
    return replace(file, at=head, compression="none")


def _not_integer(column: str) -> str:
    return f"try_cast({column} as bigint)::varchar is distinct from {column}"
