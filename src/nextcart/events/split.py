"""The store's training events into a training and a validation part, by time."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import duckdb

from nextcart.config import IngestConfig, SplitConfig
from nextcart.errors import InputError
from nextcart.events.facts import count_split, stored_file
from nextcart.events.merge import STORED_AS
from nextcart.events.progress import watched
from nextcart.events.schema import DERIVED_SPLITS, SplitFacts, SplitName, SplitRecord, StoreManifest, fingerprint
from nextcart.events.store import Store, literal
from nextcart.events.writing import Writer, writer
from nextcart.types import Progress, no_progress

DAY_MS = 86_400_000
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
        with now.connect() as connection:
            connection.execute(f"set temp_directory = {literal(held.staging / 'spill')}")
            connection.execute(f"set memory_limit = '{resources.memory_limit_mib}MiB'")
            connection.execute(f"set threads = {resources.threads}")
            record = _record(connection, config)
            made = now.manifest.split == record
            if not made:
                _write_parts(held, connection, now.manifest, record, resources, progress)
        return _summary(Store.open(store), record, already_there=made)


def _manifest(held: Writer) -> StoreManifest:
    if held.manifest is None:
        raise InputError(f"{held.root}: the store is gone; run 'nextcart ingest FILE' first")
    return held.manifest


def _record(connection: duckdb.DuckDBPyConnection, config: SplitConfig) -> SplitRecord:
    """The cut; asks the store's training events."""
    if config.method == "percentile":
        parameter = config.quantile
        query = f"select quantile_disc(end_ts, {config.quantile!r}) from sessions where split = 'train'"
        cut = connection.execute(query).fetchall()[0][0]
    else:
        parameter = config.days
        newest = connection.execute("select max(ts) from events_train").fetchall()[0][0]
        cut = newest - round(config.days * DAY_MS)
    return SplitRecord(method=config.method, parameter=parameter, cut_ts=cut)


def _write_parts(
    held: Writer,
    connection: duckdb.DuckDBPyConnection,
    manifest: StoreManifest,
    record: SplitRecord,
    resources: IngestConfig,
    progress: Progress,
) -> None:
    print_of_all = fingerprint(manifest.sources, manifest.session_type, manifest.aid_type, record)
    connection.execute(_SIDES[record.method].format(cut=record.cut_ts))
    splits = dict(manifest.splits)
    for name in DERIVED_SPLITS:
        splits[name] = _write_part(held, connection, name, record, print_of_all, resources.min_events, progress)
    held.commit(manifest.model_copy(update={"splits": splits, "split": record, "fingerprint": print_of_all}))


_SIDES = {
    "percentile": """
        create temp table sides as
        select session, if(end_ts <= {cut}, 'train_split', 'val_split') as side, {cut} + 1 as before_ts
        from sessions where split = 'train'
    """,
    "days": f"""
        create temp table sides as
        select session, if(min(ts) > {{cut}}, 'val_split', 'train_split') as side, {{cut}} as before_ts
        from events_train group by session
        having side = 'val_split' or count(*) filter (where ts < {{cut}}) >= {MIN_TRAIN_EVENTS}
    """,
}
"""The side of each session, and the time that the events of a training session lie before."""


def _write_part(
    held: Writer,
    connection: duckdb.DuckDBPyConnection,
    name: SplitName,
    record: SplitRecord,
    print_of_all: str,
    min_events: int,
    progress: Progress,
) -> SplitFacts:
    staged = held.staging / f"{name}.parquet"
    events = "select e.* from events_train as e join sides using (session)"
    keep = f"side = '{name}'" + (" and ts < before_ts" if name == "train_split" else "")
    statement = f"copy ({events} where {keep} order by e.session, ts, position) to {literal(staged)} {STORED_AS}"
    with watched(connection, progress, f"split {name}", 100):
        written = connection.execute(statement).fetchall()[0][0]
    if not written:
        raise InputError(_empty(name, record))
    path = f"events/{name}/{print_of_all[:16]}.parquet"
    held.place(staged, path)
    return count_split(connection, held.root, [stored_file(connection, held.root, path)], min_events)


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
