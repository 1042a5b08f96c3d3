"""The rejected records of a raw file, kept: those that were checked, and those that DuckDB could not even split."""

from __future__ import annotations

from pathlib import Path

import duckdb

from nextcart.events.readers import EMPTY_SESSION
from nextcart.events.rejects import RAW_CHARACTERS, Reason
from nextcart.events.sources import RawFile
from nextcart.events.store import literal, parquet

_EXAMPLES = 3
_DROPPED, _SCANS = "reject_errors", "reject_scans"
"""Tables that DuckDB makes when its reader has lines to drop."""
_NONE_DROPPED = "(select null::bigint as line, '' as error_type, '' as csv_line where false)"


def forget_dropped(connection: duckdb.DuckDBPyConnection) -> None:
    """Start anew: what this connection read before had nothing to do with the next file."""
    for table in (_DROPPED, _SCANS):
        connection.execute(f"drop table if exists {table}")


def keep_rejects(
    connection: duckdb.DuckDBPyConnection,
    file: RawFile,
    bad_line: str,
    checked: Path,
    checked_rejects: int,
    target: Path,
) -> tuple[dict[Reason, int], tuple[str, ...]]:
    """Write the rejected records (source, line, event, reason, raw) to ``target``, if there are any.

    Args:
        connection: the one that read the file.
        file: the raw file.
        bad_line: reason for a line that DuckDB could not split into fields.
        checked: Parquet of the checked records.
        checked_rejects: how many of them are rejected.
        target: Parquet to write.

    Returns:
        Rejected records by reason, most frequent first, and the first few, each as "file:line reason".
    """
    if not checked_rejects and not _has_dropped(connection):
        return {}, ()
    # A line that DuckDB dropped is not counted by row_number(): later lines move down by one for each.
    connection.execute(f"""
        create or replace temp table dropped as
        select line::bigint as line, ltrim(any_value(csv_line), chr(10)) as raw,
            case any_value(error_type) when 'INVALID ENCODING' then 'invalid_encoding'
                when 'LINE SIZE OVER MAXIMUM' then 'line_too_long' else '{bad_line}' end as reason,
            line::bigint - row_number() over (order by line) + 1 as shift_from
        from {_DROPPED if _has_dropped(connection) else _NONE_DROPPED} group by line
    """)
    connection.execute(f"""
        create or replace temp table rejected as
        select line, null::bigint as event, reason, left(raw, {RAW_CHARACTERS}) as raw from dropped
        union all
        select line + (select count(*) from dropped where shift_from <= kept.line), event, reason, raw
        from {parquet([checked])} as kept where reason is not null and reason <> '{EMPTY_SESSION}'
    """)
    counted = connection.execute(
        "select reason, count(*) as n from rejected group by reason order by n desc, reason"
    ).fetchall()
    name = file.path.name
    connection.execute(f"""
        copy (select {literal(name)} as source, line, event, reason, raw from rejected order by line, event)
        to {literal(target)} (format parquet, compression zstd)
    """)
    first = connection.execute(
        f"select line, event, reason from rejected order by line, event limit {_EXAMPLES}"
    ).fetchall()
    return dict(counted), tuple(_example(name, *row) for row in first)


def _has_dropped(connection: duckdb.DuckDBPyConnection) -> bool:
    there = connection.execute(f"select count(*) from duckdb_tables() where table_name = '{_DROPPED}'").fetchall()
    return bool(there[0][0])


def _example(name: str, line: int, event: int | None, reason: str) -> str:
    return f"{name}:{line}{'' if event is None else f' event {event}'} {reason}"
