"""What an ingest run tells its caller."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nextcart.events.kept_rejects import FirstReject, first_rejects, reading_command
from nextcart.events.schema import Source, SplitName, StoreManifest
from nextcart.events.sources import RawFile
from nextcart.types import IdType


@dataclass(frozen=True, slots=True)
class FileSummary:
    """What became of one raw file.

    Attributes:
        name: of the file, without its folder.
        added: False for a file that the split already had; the figures are then those of the run that added it.
        events: events that it added.
        duplicates: its events that it or the split already had.
        empty_sessions: its lines with an empty list of events; they are no rejects.
        rejects: its rejected records by reason, most frequent first.
        first_rejects: the first of them for each reason.
        rejects_file: Parquet of all of them, relative to the store; None where nothing was rejected.
    """

    name: str
    added: bool
    events: int
    duplicates: int
    empty_sessions: int
    rejects: Mapping[str, int]
    first_rejects: tuple[FirstReject, ...]
    rejects_file: str | None


@dataclass(frozen=True, slots=True)
class IngestSummary:
    """What an ingest run did, and what the split holds now.

    Attributes:
        store: the store's folder.
        split: the split that the files went to.
        already_there: the split had every one of the files; nothing was written.
        files: one entry a raw file, in the order given.
        added_events: events added by this run.
        duplicates: events of this run that its files or the split already had.
        erased: events of this run that were dropped, since their sessions were erased.
        rejects: records rejected in this run, by reason, most frequent first.
        show_rejects: shell command that shows every rejected record of the store; None where no file has any.
        empty_sessions: lines of this run with an empty list of events.
        events: events of the split now.
        sessions: sessions of the split now.
        short_sessions: those of them with fewer events than ``ingest.min_events``; they stay.
        items: distinct items of the split now.
        first_ts: Unix milliseconds of the oldest event.
        last_ts: Unix milliseconds of the newest event.
        session_type: type of the store's session ids.
        aid_type: type of the store's item ids.
        stale_splits: splits that were made of the older events and are gone: run 'nextcart split' again.
        fingerprint: of the store as it is now.
    """

    store: str
    split: SplitName
    already_there: bool
    files: tuple[FileSummary, ...]
    added_events: int
    duplicates: int
    erased: int
    rejects: Mapping[str, int]
    show_rejects: str | None
    empty_sessions: int
    events: int
    sessions: int
    short_sessions: int
    items: int
    first_ts: int
    last_ts: int
    session_type: IdType
    aid_type: IdType
    stale_splits: tuple[SplitName, ...]
    fingerprint: str

    def as_dict(self) -> dict[str, Any]:
        """The summary as plain values, for ``--json``."""
        return asdict(self)


def summarise(
    root: Path,
    split: SplitName,
    raw: Sequence[RawFile],
    added: Mapping[str, RawFile],
    manifest: StoreManifest,
    stale: tuple[SplitName, ...],
) -> IngestSummary:
    """The summary of a run that was given ``raw`` and added the files in ``added``, by digest."""
    facts = manifest.splits[split]
    sources = {source.sha256: source for source in manifest.sources if source.split == split}
    new = [sources[digest] for digest in added]
    rejects: Counter[str] = Counter()
    for source in new:
        rejects.update(source.rejects)
    files = tuple(_file(root, file.path.name, sources[file.sha256], added.get(file.sha256) is file) for file in raw)
    return IngestSummary(
        store=str(root),
        split=split,
        already_there=not new,
        files=files,
        added_events=sum(source.events for source in new),
        duplicates=sum(source.duplicates for source in new),
        erased=sum(source.erased for source in new),
        rejects=dict(rejects.most_common()),
        show_rejects=reading_command(root) if any(file.first_rejects for file in files) else None,
        empty_sessions=sum(source.empty_sessions for source in new),
        events=facts.events,
        sessions=facts.sessions,
        short_sessions=facts.short_sessions,
        items=facts.items,
        first_ts=facts.first_ts,
        last_ts=facts.last_ts,
        session_type=manifest.session_type,
        aid_type=manifest.aid_type,
        stale_splits=stale,
        fingerprint=manifest.fingerprint,
    )


def _file(root: Path, name: str, source: Source, added: bool) -> FileSummary:
    return FileSummary(
        name=name,
        added=added,
        events=source.events,
        duplicates=source.duplicates,
        empty_sessions=source.empty_sessions,
        rejects=dict(source.rejects),
        first_rejects=first_rejects(source.rejects, root / source.rejects_file if source.rejects_file else None),
        rejects_file=source.rejects_file,
    )
