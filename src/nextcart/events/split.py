"""The store's training events into a training and a validation part, by time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass
from fractions import Fraction
from math import ceil
from pathlib import Path
from typing import Any, Protocol

import duckdb
import numpy as np

from nextcart.config import IngestConfig, SplitConfig
from nextcart.errors import InputError
from nextcart.events.engine import DuckdbEngine, Engine, EngineOpener
from nextcart.events.facts import count_items, count_split, stored_file
from nextcart.events.schema import (
    DERIVED_SPLITS,
    SplitFacts,
    SplitName,
    SplitRecord,
    StoredFile,
    StoreManifest,
    fingerprint,
)
from nextcart.events.split_in_order import Marks, Part, Rule, cut_files, marks_for, session_ends
from nextcart.events.store import Store, literal, overlapping
from nextcart.events.writing import Writer, writer
from nextcart.types import DAY_MS, Id, Progress, no_progress

MIN_TRAIN_EVENTS = 2
"""By ``days``, a session that the cut leaves with fewer events is dropped, as OTTO's own split does."""


@dataclass(frozen=True, slots=True)
class PartSummary:
    """Size of one part."""

    events: int
    sessions: int
    items: int


@dataclass(frozen=True, slots=True)
class SplitSummary:
    """What `split` made.

    Attributes:
        store: the store's folder.
        method: percentile or days.
        parameter: the quantile, or the number of days.
        cut_ts: Unix milliseconds where the training part ends.
        train_split: size of the training part.
        val_split: size of the validation part.
        dropped_events: events in neither part; by ``percentile`` always 0, by ``days`` those of sessions that began
            before the cut which come after it, and those of dropped sessions.
        dropped_sessions: by ``days``, sessions that began before the cut and have fewer than two events before it.
        already_there: the store had just this split; nothing was written.
        fingerprint: of the store as it is now.
    """

    store: str
    method: str
    parameter: float
    cut_ts: int
    train_split: PartSummary
    val_split: PartSummary
    dropped_events: int
    dropped_sessions: int
    already_there: bool
    fingerprint: str

    def as_dict(self) -> dict[str, Any]:
        """The summary as plain values, for ``--json``."""
        return asdict(self)


def split(
    store: Path,
    config: SplitConfig | None = None,
    progress: Progress = no_progress,
    *,
    resources: IngestConfig | None = None,
    opener: EngineOpener | None = None,
) -> SplitSummary:
    """Write the splits ``train_split`` and ``val_split`` of the store, in place of those it has.

    ``percentile``: sessions that end up to the quantile of session end times are for training, later ones for
    validation, each whole. ``days``: the cut lies so many days before the newest event; sessions that start after it
    are for validation, whole; all others keep their events before it and are dropped when fewer than two remain
    (https://github.com/otto-de/recsys-dataset, its split script).

    Args:
        store: the store's folder.
        config: method and numbers.
        progress: told how far each part is written.
        resources: threads, memory and ``min_events`` as for an ingest.
        opener: opens the engine that cuts and sorts; None is DuckDB.

    Raises:
        StoreMissing: there is no store, or it has no training events.
        InputError: one of the parts would be empty.
        StoreError: another process is writing to the store.
        RunFailed: the disk is full.
    """
    config, resources = config or SplitConfig(), resources or IngestConfig()
    Store.open(store).require("train")
    with writer(store) as held:
        now = Store(store, _manifest(held))
        with (
            _duckdb(now, held, resources) as connection,
            _way(held, now, connection, resources, opener, progress) as way,
        ):
            record = _record(way, now.manifest, config)
            made = now.manifest.split == record
            if not made:
                _write_parts(held, way, now.manifest, record)
        return _summary(Store.open(store), record, already_there=made)


def _manifest(held: Writer) -> StoreManifest:
    if held.manifest is None:
        raise InputError(f"{held.root}: the store is gone; run 'nextcart ingest FILE' first")
    return held.manifest


@contextmanager
def _duckdb(store: Store, held: Writer, resources: IngestConfig) -> Iterator[duckdb.DuckDBPyConnection]:
    with store.connect() as connection:
        connection.execute(f"set temp_directory = {literal(held.staging / 'spill')}")
        connection.execute(f"set memory_limit = '{resources.memory_limit_mib}MiB'")
        connection.execute(f"set threads = {resources.threads}")
        yield connection


class _Way(Protocol):
    """Who finds the cut and writes the parts."""

    def end_of_rank(self, rank: int) -> int:
        """When the session ends that has this rank by its end, from 1."""
        ...

    def write(self, record: SplitRecord, prefix: str) -> dict[SplitName, SplitFacts | None]:
        """Write and place both parts, whose files' names begin with ``prefix``; None for a part without events."""
        ...


@contextmanager
def _way(
    held: Writer,
    store: Store,
    connection: duckdb.DuckDBPyConnection,
    resources: IngestConfig,
    opener: EngineOpener | None,
    progress: Progress,
) -> Iterator[_Way]:
    """Events that lie in order are not sorted again."""
    if opener is None and not overlapping(store.manifest.splits["train"].files):
        yield _InOrder(held, store.manifest, connection, resources, progress)
        return
    with nullcontext(DuckdbEngine(connection)) if opener is None else opener(store) as engine:
        yield _Sorting(held, store.manifest, connection, engine, resources, progress)


def _record(way: _Way, manifest: StoreManifest, config: SplitConfig) -> SplitRecord:
    """The cut; by ``percentile`` it is the nearest rank of the sessions' ends."""
    train = manifest.splits["train"]
    if config.method == "percentile":
        parameter = config.quantile
        # Of the quantile as it is written: 0.7 is 7 / 10, and not the double a little below.
        cut = way.end_of_rank(ceil(Fraction(repr(config.quantile)) * train.sessions))
    else:
        parameter = config.days
        cut = train.last_ts - round(config.days * DAY_MS)
    return SplitRecord(method=config.method, parameter=parameter, cut_ts=cut)


def _write_parts(held: Writer, way: _Way, manifest: StoreManifest, record: SplitRecord) -> None:
    print_of_all = fingerprint(manifest.sources, manifest.session_type, manifest.aid_type, record, manifest.erasures)
    splits = dict(manifest.splits)
    for name, facts in way.write(record, print_of_all[:16]).items():
        if facts is None:
            raise InputError(_empty(name, record))
        splits[name] = facts
    held.commit(manifest.model_copy(update={"splits": splits, "split": record, "fingerprint": print_of_all}))


@dataclass(frozen=True, slots=True)
class _InOrder:
    """The files are read in their order, each row group once; see `split_in_order`."""

    held: Writer
    manifest: StoreManifest
    connection: duckdb.DuckDBPyConnection
    resources: IngestConfig
    progress: Progress

    def end_of_rank(self, rank: int) -> int:
        files = self.manifest.splits["train"].files
        ends = session_ends(files, self.held.root, self.resources.threads, self.progress)
        ends.partition(rank - 1)
        return int(ends[rank - 1])

    def write(self, record: SplitRecord, prefix: str) -> dict[SplitName, SplitFacts | None]:
        whole = record.method == "percentile"
        rule = Rule(record.cut_ts, whole, record.cut_ts + whole, 0 if whole else MIN_TRAIN_EVENTS)
        held, resources, files = self.held, self.resources, self.manifest.splits["train"].files
        marks = marks_for([held.root / file.path for file in files])
        cut = cut_files(
            files, held.root, held.staging, rule, marks, resources.min_events, resources.threads, self.progress
        )
        return {name: self._placed(name, prefix, [parts[name] for parts in cut], marks) for name in DERIVED_SPLITS}

    def _placed(self, name: SplitName, prefix: str, parts: Sequence[Part], marks: Marks | None) -> SplitFacts | None:
        there = [(number, part) for number, part in enumerate(parts) if part.events]
        files = []
        for number, part in there:
            path = f"events/{name}/{prefix}-{number:04d}.parquet"
            self.held.place(part.path, path)
            files.append(
                StoredFile(
                    path=path,
                    events=part.events,
                    bytes=(self.held.root / path).stat().st_size,
                    first_session=part.first_session,
                    last_session=part.last_session,
                )
            )
        if not files:
            return None
        return SplitFacts(
            files=tuple(files),
            events=sum(part.events for _, part in there),
            sessions=sum(part.sessions for _, part in there),
            short_sessions=sum(part.short_sessions for _, part in there),
            items=marks.items(name) if marks else count_items(self.connection, self.held.root, files),
            first_ts=min(part.first_ts for _, part in there),
            last_ts=max(part.last_ts for _, part in there),
        )


@dataclass(frozen=True, slots=True)
class _Sorting:
    """An engine joins the events with the sides of their sessions, and sorts."""

    held: Writer
    manifest: StoreManifest
    connection: duckdb.DuckDBPyConnection
    engine: Engine
    resources: IngestConfig
    progress: Progress

    def end_of_rank(self, rank: int) -> int:
        self.engine.keep("session_times", "session_times")
        return _end_of_rank(self.engine, rank)

    def write(self, record: SplitRecord, prefix: str) -> dict[SplitName, SplitFacts | None]:
        if record.method == "percentile":
            self.engine.keep("sides", "sides_percentile", cut=record.cut_ts)
        else:
            self.engine.keep("sides", "sides_days", cut=record.cut_ts, least=MIN_TRAIN_EVENTS)
        return {name: self._side(name, prefix) for name in DERIVED_SPLITS}

    def _side(self, name: SplitName, prefix: str) -> SplitFacts | None:
        held, files = self.held, []
        ranges = _ranges(self.manifest.splits["train"].files)
        for number, (first, last) in enumerate(ranges):
            staged = held.staging / f"{name}.parquet"
            told = _part_of(self.progress, number, len(ranges))
            if self.engine.write(staged, told, f"split {name}", "split_part", side=name, first=first, last=last):
                path = f"events/{name}/{prefix}-{number:04d}.parquet"
                held.place(staged, path)
                files.append(stored_file(self.connection, held.root, path))
        return count_split(self.connection, held.root, files, self.resources.min_events) if files else None


def _end_of_rank(engine: Engine, rank: int) -> int:
    """When the session ends that has this rank by its end, from 1; first the hour, so that no engine sorts them all."""
    hours = engine.run("ends_by_hour")
    reached = np.cumsum(hours.column("sessions").to_numpy())
    at = int(np.searchsorted(reached, rank))
    rank -= int(reached[at - 1]) if at else 0
    ends = engine.run("ends_of_hour", hour=hours.column("hour")[at].as_py())
    return int(ends.column("end_ts")[int(np.searchsorted(np.cumsum(ends.column("sessions").to_numpy()), rank))].as_py())


def _part_of(progress: Progress, number: int, parts: int) -> Progress:
    """What tells how far part ``number`` of equal ``parts`` is, as a share of all."""
    return lambda stage, done, total: progress(stage, number * total + done, parts * total)


def _ranges(files: Sequence[StoredFile]) -> list[tuple[Id, Id]]:
    """Sessions, from first to last, that are cut and sorted at a time: file by file where no session lies in two."""
    if overlapping(files):
        ids = [id_ for file in files for id_ in (file.first_session, file.last_session)]
        return [(min(ids), max(ids))]
    return [(file.first_session, file.last_session) for file in files]


def _empty(name: SplitName, record: SplitRecord) -> str:
    if record.method == "percentile":
        return f"the {name} part would be empty at quantile {record.parameter}; lower --quantile"
    if name == "val_split":
        return f"no session starts in the last {record.parameter} days, so val_split would be empty; raise --days"
    return (
        f"no session has {MIN_TRAIN_EVENTS} events before the last {record.parameter} days, so train_split would be "
        "empty; lower --days"
    )


def _summary(store: Store, record: SplitRecord, *, already_there: bool) -> SplitSummary:
    facts = store.manifest.splits
    train, val = facts["train_split"], facts["val_split"]
    return SplitSummary(
        store=str(store.root),
        method=record.method,
        parameter=record.parameter,
        cut_ts=record.cut_ts,
        train_split=PartSummary(train.events, train.sessions, train.items),
        val_split=PartSummary(val.events, val.sessions, val.items),
        dropped_events=facts["train"].events - train.events - val.events,
        dropped_sessions=facts["train"].sessions - train.sessions - val.sessions,
        already_there=already_there,
        fingerprint=store.manifest.fingerprint,
    )
