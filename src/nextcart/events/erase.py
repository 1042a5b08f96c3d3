"""Sessions out of the event store: out of every split and out of the rejects, in one commit."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_hex
from typing import Any

import duckdb

from nextcart.config import IngestConfig
from nextcart.errors import StoreMissing
from nextcart.events.erase_rejects import Rejects
from nextcart.events.facts import count_split, stored_file
from nextcart.events.schema import (
    DERIVED_SPLITS,
    Erasure,
    Erasures,
    Source,
    SplitFacts,
    SplitName,
    StoredFile,
    StoreManifest,
    fingerprint,
)
from nextcart.events.store import Store, connect
from nextcart.events.tombstones import remember
from nextcart.events.without import Removed, copy_without, holds_any
from nextcart.events.writing import Writer, writer
from nextcart.types import Id, IdType, Progress, no_progress


@dataclass(frozen=True, slots=True)
class ErasedFromStore:
    """What `erase_sessions` found, all of which is gone.

    Attributes:
        store: the store's folder.
        sessions: sessions that the store held, of those asked for.
        events: their events, in all splits.
        splits: events by split, where there were any.
        rejects: rejected records that named one of the sessions.
        first_ts: Unix milliseconds of the oldest event; None where there was none.
        last_ts: Unix milliseconds of the newest event; None where there was none.
        stale_splits: splits that are gone because one of them lost its last session: run 'nextcart split' again.
        fingerprint: of the store as it is now.
    """

    store: str
    sessions: int
    events: int
    splits: dict[SplitName, int]
    rejects: int
    first_ts: int | None
    last_ts: int | None
    stale_splits: tuple[SplitName, ...]
    fingerprint: str

    def as_dict(self) -> dict[str, Any]:
        """The figures as plain values, for ``--json``."""
        return asdict(self)


def erase_sessions(
    store: Path, sessions: Sequence[Id], config: IngestConfig | None = None, progress: Progress = no_progress
) -> ErasedFromStore:
    """Remove all events of some sessions, and remember a digest of each, so that no later file brings it back.

    Only files that hold one of the sessions are written anew, in one pass for all of them. A killed run leaves the
    store as it was, or as it is to be; its leavings go with the next run.

    Args:
        store: the store's folder.
        sessions: ids in the shop's own form; 12 and "12" are the same here, since a store has ids of one type.
        config: memory, threads and ``min_events`` as for an ingest.
        progress: told how many files were looked at.

    Raises:
        StoreMissing: there is no store.
        StoreError: another process is writing to it.
        RunFailed: the disk is full.
    """
    config = config or IngestConfig()
    Store.open(store)
    with writer(store) as held:
        if held.manifest is None:
            raise StoreMissing(f"{store}: the store is gone; run 'nextcart ingest FILE' first")
        ids = _as_stored(sessions, held.manifest.session_type)
        erasures = remember(held, ids)
        mark = token_hex(8)
        with connect(held.staging / "spill", config.threads, config.memory_limit_mib) as connection:
            parts = _erase_splits(connection, held, held.manifest, ids, mark, config.min_events, progress)
        sources, rejects = _erase_rejects(held, held.manifest, ids, mark)
        removed = [one for _, found in parts.values() for one in found]
        manifest, stale = _manifest(held.manifest, parts, sources, erasures, _run(removed, mark))
        if manifest != held.manifest:
            held.commit(manifest)
            held.clear()
        return _summary(store, parts, removed, rejects, stale, manifest.fingerprint)


_Part = tuple[SplitFacts | None, list[Removed]]
"""A split as it will be, None where nothing is left of it; and what its files lost."""


def _as_stored(sessions: Sequence[Id], kind: IdType) -> list[Id]:
    """The ids that can be in the store, in its type, ascending."""
    if kind == "string":
        return sorted({str(session) for session in sessions}, key=str)
    # "007" is no integer id: as one it would be another session.
    return sorted({int(session) for session in sessions if re.fullmatch(r"0|[1-9][0-9]{0,18}", str(session))})


def _erase_splits(
    connection: duckdb.DuckDBPyConnection,
    held: Writer,
    manifest: StoreManifest,
    ids: Sequence[Id],
    mark: str,
    min_events: int,
    progress: Progress,
) -> dict[SplitName, _Part]:
    total, done, parts = sum(len(facts.files) for facts in manifest.splits.values()), 0, {}
    for name, facts in manifest.splits.items():
        files: list[StoredFile] = []
        removed: list[Removed] = []
        for number, file in enumerate(facts.files):
            asked = _within(file, ids)
            if asked and holds_any(held.root / file.path, asked):
                path, staged = f"events/{name}/{mark}-{number:04d}.parquet", held.staging / f"{name}.parquet"
                removed.append(copy_without(held.root / file.path, staged, asked))
                if staged.exists():
                    held.place(staged, path)
                    files.append(stored_file(connection, held.root, path))
            else:
                files.append(file)
            done += 1
            progress("erase: files", done, total)
        now = count_split(connection, held.root, files, min_events) if removed and files else None
        parts[name] = (now if removed else facts, removed)
    return parts


def _within(file: StoredFile, ids: Sequence[Id]) -> Sequence[Id]:
    """The ids in a file's range; both ascend as the file does, texts by their code points."""
    return ids[bisect_left(ids, file.first_session) : bisect_right(ids, file.last_session)]


def _erase_rejects(
    held: Writer, manifest: StoreManifest, ids: Sequence[Id], mark: str
) -> tuple[tuple[Source, ...], int]:
    """The sources with what is left of their rejects, and how many rejected records are gone."""
    naming, gone = Rejects(ids), 0
    sources = list(manifest.sources)
    for number, source in enumerate(manifest.sources):
        # A shop may have deleted the file.
        if source.rejects_file is None or not (held.root / source.rejects_file).is_file():
            continue
        staged, path = held.staging / "rejects.parquet", f"rejects/{mark}-{number:04d}.parquet"
        found = naming.copy_without(held.root / source.rejects_file, staged)
        if not found:
            continue
        gone += found
        left = path if staged.exists() else None
        if left:
            held.place(staged, left)
        sources[number] = source.model_copy(update={"rejects_file": left})
    return tuple(sources), gone


def _run(removed: Sequence[Removed], mark: str) -> Erasure | None:
    """The record of this run; None where it found no event."""
    if not removed:
        return None
    return Erasure(
        on=datetime.now(UTC).date(),
        sessions=len(frozenset[Id]().union(*(one.sessions for one in removed))),
        events=sum(one.events for one in removed),
        mark=mark,
    )


def _manifest(
    before: StoreManifest,
    parts: dict[SplitName, _Part],
    sources: tuple[Source, ...],
    erasures: Erasures | None,
    run: Erasure | None,
) -> tuple[StoreManifest, tuple[SplitName, ...]]:
    """The manifest to be, and the splits that are gone because one of the two has nothing left."""
    splits = {name: facts for name, (facts, _) in parts.items() if facts is not None}
    stale: tuple[SplitName, ...] = ()
    if before.split is not None and not all(name in splits for name in DERIVED_SPLITS):
        stale = DERIVED_SPLITS
    split = None if stale else before.split
    if erasures is not None and run is not None:
        erasures = erasures.model_copy(update={"runs": (*erasures.runs, run)})
    changed = {
        "sources": sources,
        "splits": {name: facts for name, facts in splits.items() if name not in stale},
        "split": split,
        "erasures": erasures,
        "fingerprint": fingerprint(sources, before.session_type, before.aid_type, split, erasures),
    }
    return before.model_copy(update=changed), stale


def _summary(
    store: Path,
    parts: dict[SplitName, _Part],
    removed: Sequence[Removed],
    rejects: int,
    stale: tuple[SplitName, ...],
    now: str,
) -> ErasedFromStore:
    return ErasedFromStore(
        store=str(store),
        sessions=len(frozenset[Id]().union(*(one.sessions for one in removed))),
        events=sum(one.events for one in removed),
        splits={name: sum(one.events for one in found) for name, (_, found) in parts.items() if found},
        rejects=rejects,
        first_ts=min((one.first_ts for one in removed), default=None),
        last_ts=max((one.last_ts for one in removed), default=None),
        stale_splits=stale,
        fingerprint=now,
    )
