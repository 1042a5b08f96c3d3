"""The rejected records that a store keeps: the first one of each reason, and the command that shows all of them."""

from __future__ import annotations

import glob
import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import duckdb

from nextcart.events.store import parquet


@dataclass(frozen=True, slots=True)
class FirstReject:
    """The first record of a raw file that was rejected for a reason.

    Attributes:
        reason: one of `nextcart.events.rejects.REASONS`.
        records: records of the file that were rejected for it.
        line: line of the file, or row of a Parquet file, from 1.
        event: its place in the line's list of events, from 0; None where the whole line was rejected.
        raw: the start of its text.
    """

    reason: str
    records: int
    line: int
    event: int | None
    raw: str


def first_rejects(counts: Mapping[str, int], kept: Path | None) -> tuple[FirstReject, ...]:
    """The first rejected record of each reason, most frequent reason first.

    Args:
        counts: rejected records of a raw file by reason.
        kept: Parquet of them; empty-handed where it is None or is no longer there, since a shop may delete it.
    """
    if kept is None or not kept.is_file():
        return ()
    with duckdb.connect() as connection:
        rows = connection.execute(f"""
            select reason, arg_min({{line: line, event: event, raw: coalesce(raw, '')}}, (line, coalesce(event, -1)))
            from {parquet([kept])} group by reason
        """).fetchall()
    found = {reason: FirstReject(reason, counts[reason], **first) for reason, first in rows}
    return tuple(found[reason] for reason in sorted(found, key=lambda name: (-counts[name], name)))


def reading_command(root: Path) -> str:
    """A shell command that shows every rejected record of the store in ``root``."""
    files = json.dumps(f"{glob.escape(str(root))}/rejects/*.parquet", ensure_ascii=False)
    return f"python -c {shlex.quote(f'import duckdb; duckdb.read_parquet({files}).show(max_rows=10**6)')}"
