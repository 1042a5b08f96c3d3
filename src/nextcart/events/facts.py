"""The figures of stored files and splits, counted from what lies on disk."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import duckdb

from nextcart.events.schema import SplitFacts, StoredFile
from nextcart.events.store import parquet


def stored_file(connection: duckdb.DuckDBPyConnection, root: Path, path: str) -> StoredFile:
    """The figures of one file of the store, which holds at least one event."""
    events, first, last = connection.execute(
        f"select count(*), min(session), max(session) from {parquet([root / path])}"
    ).fetchall()[0]
    size = (root / path).stat().st_size
    return StoredFile(path=path, events=events, bytes=size, first_session=first, last_session=last)


def count_split(
    connection: duckdb.DuckDBPyConnection, root: Path, files: Sequence[StoredFile], min_events: int
) -> SplitFacts:
    """The figures of a split that consists of ``files``; a session that lies in several of them counts once."""
    source = parquet(root / file.path for file in files)
    sessions, short, events, first, last = connection.execute(
        f"""
        select count(*), count(*) filter (events < $1), sum(events)::bigint, min(first_ts), max(last_ts) from (
            select count(*) as events, min(ts) as first_ts, max(ts) as last_ts from {source} group by session
        )
        """,
        [min_events],
    ).fetchall()[0]
    return SplitFacts(
        files=tuple(sorted(files, key=_first_session)),
        events=events,
        sessions=sessions,
        short_sessions=short,
        items=count_items(connection, root, files),
        first_ts=first,
        last_ts=last,
    )


def count_items(connection: duckdb.DuckDBPyConnection, root: Path, files: Sequence[StoredFile]) -> int:
    """How many distinct items the files hold."""
    source = parquet(root / file.path for file in files)
    return int(connection.execute(f"select count(distinct aid) from {source}").fetchall()[0][0])


def _first_session(file: StoredFile) -> tuple[int, str]:
    # A store's session ids are all of one type.
    return (file.first_session, "") if isinstance(file.first_session, int) else (0, file.first_session)
