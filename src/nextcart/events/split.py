"""The store's training events into a training and a validation part, by time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass
from fractions import Fraction
from math import ceil
from pathlib import Path
from typing import Any

import duckdb
import numpy as np

from nextcart.config import IngestConfig, SplitConfig
from nextcart.errors import InputError
from nextcart.events.engine import DuckdbEngine, Engine, EngineOpener
from nextcart.events.facts import count_split, stored_file
from nextcart.events.schema import DERIVED_SPLITS, SplitName, SplitRecord, StoredFile, StoreManifest, fingerprint
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
        with _duckdb(now, held, resources) as connection, _engine(now, connection, opener) as engine:
            record = _record(engine, now.manifest, config)
            made = now.manifest.split == record
            if not made:
                _write_parts(held, engine, connection, now.manifest, record, resources, progress)
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


def _engine(
    store: Store, connection: duckdb.DuckDBPyConnection, opener: EngineOpener | None
) -> AbstractContextManager[Engine]:
    return nullcontext(DuckdbEngine(connection)) if opener is None else opener(store)


def _record(engine: Engine, manifest: StoreManifest, config: SplitConfig) -> SplitRecord:
    """The cut; by ``percentile`` it is the nearest rank of the sessions' ends."""
    train = manifest.splits["train"]
    if config.method == "percentile":
        parameter = config.quantile
        engine.keep("session_times", "session_times")
        # Of the quantile as it is written: 0.7 is 7 / 10, and not the double a little below.
        cut = _end_of_rank(engine, ceil(Fraction(repr(config.quantile)) * train.sessions))
    else:
        parameter = config.days
        cut = train.last_ts - round(config.days * DAY_MS)
    return SplitRecord(method=config.method, parameter=parameter, cut_ts=cut)


def _end_of_rank(engine: Engine, rank: int) -> int:
    """When the session ends that has this rank by its end, from 1; first the hour, so that no engine sorts them all."""
    hours = engine.run("ends_by_hour")
    reached = np.cumsum(hours.column("sessions").to_numpy())
    at = int(np.searchsorted(reached, rank))
    rank -= int(reached[at - 1]) if at else 0
    ends = engine.run("ends_of_hour", hour=hours.column("hour")[at].as_py())
    return int(ends.column("end_ts")[int(np.searchsorted(np.cumsum(ends.column("sessions").to_numpy()), rank))].as_py())


def _write_parts(
    held: Writer,
    engine: Engine,
    connection: duckdb.DuckDBPyConnection,
    manifest: StoreManifest,
    record: SplitRecord,
    resources: IngestConfig,
    progress: Progress,
) -> None:
    print_of_all = fingerprint(manifest.sources, manifest.session_type, manifest.aid_type, record)
    if record.method == "percentile":
        engine.keep("sides", "sides_percentile", cut=record.cut_ts)
    else:
        engine.keep("sides", "sides_days", cut=record.cut_ts, least=MIN_TRAIN_EVENTS)
    splits = dict(manifest.splits)
    ranges = _ranges(manifest.splits["train"].files)
    for name in DERIVED_SPLITS:
        files = []
        for number, (first, last) in enumerate(ranges):
            staged = held.staging / f"{name}.parquet"
            told = _part_of(progress, number, len(ranges))
            if engine.write(staged, told, f"split {name}", "split_part", side=name, first=first, last=last):
                path = f"events/{name}/{print_of_all[:16]}-{number:04d}.parquet"
                held.place(staged, path)
                files.append(stored_file(connection, held.root, path))
        if not files:
            raise InputError(_empty(name, record))
        splits[name] = count_split(connection, held.root, files, resources.min_events)
    held.commit(manifest.model_copy(update={"splits": splits, "split": record, "fingerprint": print_of_all}))


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
