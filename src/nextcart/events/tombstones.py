"""Erased sessions are remembered as salted digests, so that no later file brings one back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from secrets import token_hex

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from nextcart.events.digests import digest, new_salt
from nextcart.events.merge import counts_of
from nextcart.events.schema import Erasures
from nextcart.events.staging import Staged
from nextcart.events.store import parquet
from nextcart.events.without import copy_without
from nextcart.events.writing import Writer
from nextcart.types import Id


def remember(held: Writer, sessions: Iterable[Id]) -> Erasures | None:
    """The store's erasures with these sessions among them; the file of digests is placed, the manifest not written.

    None where there are none, and no session to remember.
    """
    before = held.manifest.erasures if held.manifest else None
    salt = before.salt if before else new_salt()
    known = set(pq.read_table(held.root / before.file)["digest"].to_pylist()) if before else set()
    new = {digest(salt, session) for session in sessions} - known
    if not new:
        return before
    staged, path = held.staging / "digests.parquet", f"erased/{token_hex(8)}.parquet"
    pq.write_table(pa.table({"digest": pa.array(sorted(known | new), pa.string())}), staged, compression="zstd")
    held.place(staged, path)
    return Erasures(salt=salt, file=path, runs=before.runs if before else ())


def drop_erased(
    connection: duckdb.DuckDBPyConnection, held: Writer, staged: Sequence[Staged], merged: Sequence[Path]
) -> tuple[list[Path], list[int]]:
    """Take the events of erased sessions out of merged files, which lie in staging.

    Returns:
        The files that have events left, and of each staged file the events that were dropped.
    """
    erasures = held.manifest.erasures if held.manifest else None
    dropped = [0] * len(staged)
    if erasures is None:
        return list(merged), dropped
    files: list[Path] = []
    for path in merged:
        sessions = _erased_in(connection, path, held.root / erasures.file, erasures.salt)
        if not sessions:
            files.append(path)
            continue
        target = path.with_name(f"{path.stem}.known.parquet")
        copy_without(path, target, sessions)
        left = counts_of(connection, staged, target) if target.exists() else [0] * len(staged)
        for number, (before, after) in enumerate(zip(counts_of(connection, staged, path), left, strict=True)):
            dropped[number] += before - after
        files += [target] if target.exists() else []
    return files, dropped


def _erased_in(connection: duckdb.DuckDBPyConnection, path: Path, digests: Path, salt: str) -> list[Id]:
    rows = connection.execute(
        f"""
        select session from (select distinct session from {parquet([path])})
        where sha256($1 || session::varchar) in (select digest from {parquet([digests])})
        """,
        [salt],
    ).fetchall()
    return [row[0] for row in rows]
