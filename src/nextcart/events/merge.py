"""Staged events into sorted Parquet files without duplicates."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb

from nextcart.events.progress import watched
from nextcart.events.schema import SplitFacts
from nextcart.events.store import literal, parquet
from nextcart.types import Id, Progress

if TYPE_CHECKING:
    from nextcart.events.staging import Staged

STORED_AS = "(format parquet, parquet_version v2, compression zstd, dictionary_size_limit 1)"
"""How the store's files are written: sorted numbers are smaller, and faster, as deltas than in dictionaries."""

EVENTS_PER_PART = 24_000_000
"""About so many events are sorted at a time, in some 1.5 GB; a whole log at once would spill to disk."""
SAMPLED_EVENTS = 200_000
"""Of about so many events the sessions decide where a part ends."""


def merge(
    connection: duckdb.DuckDBPyConnection,
    staged: Sequence[Staged],
    folder: Path,
    root: Path,
    known: SplitFacts | None,
    progress: Progress,
) -> tuple[list[Path], list[int]]:
    """Write the accepted events of all staged files into ``folder``, sorted by (session, ts, position).

    Of events equal in session, item, time and type the first in input order stays, and none that ``known`` has.

    Returns:
        The files written, each with an event or more, in the order of their sessions, no session in two of them; and
        the number of events kept of each staged file.
    """
    accepted = sum(part.accepted for part in staged)
    if _are_merged(staged, known):
        progress("sort events", accepted, accepted)
        return [path for part in staged for path in part.good], [part.accepted for part in staged]
    raw = f"select * from ({' union all '.join(part.accepted_sql() for part in staged)}) where true"
    files: list[Path] = []
    kept = [0] * len(staged)
    done = 0
    parts = _parts(connection, raw, accepted)
    for number, limits in enumerate(parts):
        target = folder / f"merged-{number:04d}.parquet"

        def told(stage: str, so_far: int, _: int, before: int = done) -> None:
            progress(stage, before + so_far, accepted)

        with watched(connection, told, "sort events", accepted // len(parts)):
            written = _write(connection, f"({raw}{limits})", target, root, known)
        counts = counts_of(connection, staged, target) if written else [0] * len(staged)
        files += [target] if written else []
        kept = [a + b for a, b in zip(kept, counts, strict=True)]
        done += written
    progress("sort events", accepted, accepted)
    return files, kept


def _are_merged(staged: Sequence[Staged], known: SplitFacts | None) -> bool:
    """Whether the files of good events are what a sort would give: in order, no session in two files or stored."""
    ranges = [part.ordered for part in staged if part.ordered]
    if len(ranges) < len(staged) or any(before[1] >= after[0] for before, after in pairwise(ranges)):
        return False
    first, last = ranges[0][0], ranges[-1][1]
    # Only a store of integer ids comes so far.
    return all(
        int(file.last_session) < first or int(file.first_session) > last for file in (known.files if known else ())
    )


def _parts(connection: duckdb.DuckDBPyConnection, raw: str, accepted: int) -> list[str]:
    """SQL conditions on the session that cut the events into parts of about equal size, in the order of sessions."""
    n_parts = 1 + accepted // EVENTS_PER_PART
    if n_parts == 1:
        return [""]
    shares = [i / n_parts for i in range(1, n_parts)]
    every = max(1, accepted // SAMPLED_EVENTS)
    cuts: list[Id] = connection.execute(
        f"select quantile_disc(session, {shares}) from ({raw} and position % {every} = 0)"
    ).fetchall()[0][0]
    ends = [_value(cut) for cut in dict.fromkeys(cuts or ())]
    above = ["", *(f" and session > {end}" for end in ends)]
    below = [*(f" and session <= {end}" for end in ends), ""]
    return [low + high for low, high in zip(above, below, strict=True)]


def _value(session: Id) -> str:
    return literal(session) if isinstance(session, str) else str(session)


def _write(connection: duckdb.DuckDBPyConnection, raw: str, target: Path, root: Path, known: SplitFacts | None) -> int:
    """Sort one part into ``target``; the number of events written."""
    unseen = _not_in(connection, raw, root, known)
    statement = f"""
        copy (
            select session, aid, ts, type, min(position) as position from {raw} as new {unseen}
            group by session, aid, ts, type
            order by session, ts, position
        ) to {literal(target)} {STORED_AS}
    """
    written: int = connection.execute(statement).fetchall()[0][0]
    return written


def counts_of(connection: duckdb.DuckDBPyConnection, staged: Sequence[Staged], file: Path) -> list[int]:
    """How many events of each staged file a merged file has."""
    each = ", ".join(f"count(*) filter (position between {p.base} and {p.base + p.positions - 1})" for p in staged)
    return list(connection.execute(f"select {each} from {parquet([file])}").fetchall()[0])


def _not_in(connection: duckdb.DuckDBPyConnection, raw: str, root: Path, known: SplitFacts | None) -> str:
    """SQL that leaves out what the store has; looks only at the sessions that come again."""
    if known is None:
        return ""
    first, last = connection.execute(f"select min(session), max(session) from {raw}").fetchall()[0]
    if first is None:
        return ""
    files = [file for file in known.files if file.first_session <= last and first <= file.last_session]
    if not files:
        return ""
    connection.execute(f"""
        create or replace temp table seen as
        select session, aid, ts, type from {parquet(root / file.path for file in files)}
        where session in (select distinct session from {raw})
    """)
    return "anti join seen using (session, aid, ts, type)"
