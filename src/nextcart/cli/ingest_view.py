"""How the summary of an ingest is shown on a terminal."""

from __future__ import annotations

from nextcart.cli.output import counted, day, out, table
from nextcart.events.summary import FileSummary, IngestSummary

RAW_SHOWN = 80
"""Characters of a rejected record on a terminal."""


def print_summary(summary: IngestSummary) -> None:
    """The files, the first rejected record of each reason with the command that shows all, and the split as it is."""
    heads = ("file", "events added", "duplicates", "empty sessions", "rejects")
    out.print(table(None, heads, [_row(file) for file in summary.files]))
    rejected = [row for file in summary.files for row in _first_rejects(file)]
    if rejected:
        heads = ("file", "line", "reason", "starts with", "records")
        out.print(table("the first reject of each reason", heads, rejected, left=4))
    if summary.show_rejects:
        out.print(f"show every reject: {summary.show_rejects}", markup=False, soft_wrap=True)
    if summary.already_there:
        out.print(f"nothing added: every file was already ingested into '{summary.split}'")
    if summary.erased:
        out.print(f"{counted(summary.erased, 'event')} of erased sessions dropped")
    out.print(
        f"{summary.split}: {counted(summary.events, 'event')}, {counted(summary.sessions, 'session')} "
        f"({summary.short_sessions:,} short), {counted(summary.items, 'item')}, "
        f"{day(summary.first_ts)} to {day(summary.last_ts)}"
    )
    if summary.stale_splits:
        out.print("train_split and val_split were made of the older events and are gone: run 'nextcart split' again")


def _row(file: FileSummary) -> tuple[str, ...]:
    return (
        file.name,
        f"{file.events:,}" if file.added else "already there",
        f"{file.duplicates:,}",
        f"{file.empty_sessions:,}",
        ", ".join(f"{count:,} {reason}" for reason, count in file.rejects.items()) or "none",
    )


def _first_rejects(file: FileSummary) -> list[tuple[str, ...]]:
    return [
        (
            file.name,
            f"{first.line:,}" if first.event is None else f"{first.line:,} event {first.event}",
            first.reason,
            shown_raw(first.raw),
            f"{first.records:,}",
        )
        for first in file.first_rejects
    ]


def shown_raw(raw: str) -> str:
    """The start of a rejected record, without what could move the cursor of a terminal."""
    start = "".join(letter if letter.isprintable() else "�" for letter in raw[:RAW_SHOWN])
    return f"{start}…" if len(raw) > RAW_SHOWN else start
