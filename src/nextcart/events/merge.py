"""Staged events into one sorted Parquet file without duplicates."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import duckdb

from nextcart.events.progress import watched
from nextcart.events.schema import SplitFacts
from nextcart.events.staging import Staged
from nextcart.events.store import literal, parquet
from nextcart.types import Progress

STORED_AS = "(format parquet, parquet_version v2, compression zstd, dictionary_size_limit 1)"
"""How the store's files are written: sorted numbers are smaller, and faster, as deltas than in dictionaries."""


def merge(
    connection: duckdb.DuckDBPyConnection,
    staged: Sequence[Staged],
    target: Path,
    root: Path,
    known: SplitFacts | None,
    progress: Progress,
) -> list[int]:
    """Write the accepted events of all staged files to ``target``, sorted by (session, ts, position).

    Of events equal in session, item, time and type the first in input order stays, and none that ``known`` has.

    Returns:
        The number of events kept of each staged file.
    """
    accepted = sum(part.accepted for part in staged)
    raw = f"(select * from {parquet(part.path for part in staged)} where reason is null)"
    unseen = _not_in(connection, raw, root, known)
    statement = f"""
        copy (
            select session, aid, ts, type, min(position) as position from {raw} as new {unseen}
            group by session, aid, ts, type
            order by session, ts, position
        ) to {literal(target)} {STORED_AS}
    """
    with watched(connection, progress, "sort events", accepted):
        connection.execute(statement)
    kept = ", ".join(f"count(*) filter (position between {p.base} and {p.base + p.positions - 1})" for p in staged)
    return list(connection.execute(f"select {kept} from {parquet([target])}").fetchall()[0])


def _not_in(connection: duckdb.DuckDBPyConnection, raw: str, root: Path, known: SplitFacts | None) -> str:
    """SQL that leaves out what the store has; looks only at the sessions that come again."""
    if known is None:
        return ""
    first, last = connection.execute(f"select min(session), max(session) from {raw}").fetchall()[0]
    files = [file for file in known.files if file.first_session <= last and first <= file.last_session]
    if not files:
        return ""
    connection.execute(f"""
        create temp table seen as
        select session, aid, ts, type from {parquet(root / file.path for file in files)}
        where session in (select distinct session from {raw})
    """)
    return "anti join seen using (session, aid, ts, type)"
