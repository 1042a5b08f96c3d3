"""What an ingest run tells its caller."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nextcart.events.schema import SplitName, StoreManifest
from nextcart.events.sources import RawFile
from nextcart.types import IdType


@dataclass(frozen=True, slots=True)
class FileSummary:
    """What became of one raw file; ``added`` is False for one that the split already had."""

    name: str
    added: bool
    events: int
    duplicates: int
    rejects: Mapping[str, int]
    rejects_file: str | None


@dataclass(frozen=True, slots=True)
class IngestSummary:
    """What an ingest run did, and what the split holds now.

    Attributes:
        store: the store's folder.
        split: the split that the files went to.
        files: one entry a raw file, in the order given.
        added_events: events added by this run.
        duplicates: events of this run that its files or the split already had.
        rejects: records rejected in this run, by reason, most frequent first.
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
    files: tuple[FileSummary, ...]
    added_events: int
    duplicates: int
    rejects: Mapping[str, int]
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
    added: Collection[str],
    manifest: StoreManifest,
    stale: tuple[SplitName, ...],
) -> IngestSummary:
    """The summary of a run that was given ``raw`` and added the files with the digests ``added``."""
    facts = manifest.splits[split]
    sources = {source.sha256: source for source in manifest.sources if source.split == split}
    new = [sources[digest] for digest in added]
    rejects: Counter[str] = Counter()
    for source in new:
        rejects.update(source.rejects)
    return IngestSummary(
        store=str(root),
        split=split,
        files=tuple(
            FileSummary(
                name=file.path.name,
                added=file.sha256 in added,
                events=sources[file.sha256].events,
                duplicates=sources[file.sha256].duplicates,
                rejects=dict(sources[file.sha256].rejects),
                rejects_file=sources[file.sha256].rejects_file,
            )
            for file in raw
        ),
        added_events=sum(source.events for source in new),
        duplicates=sum(source.duplicates for source in new),
        rejects=dict(rejects.most_common()),
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
