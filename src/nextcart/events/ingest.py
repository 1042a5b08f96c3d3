"""Raw files into the event store: checked, sorted once, and committed together or not at all."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import duckdb

from nextcart.config import IngestConfig, SparkConfig
from nextcart.errors import InputError, TooManyRejects
from nextcart.events.facts import count_split, stored_file
from nextcart.events.id_types import IdChoice, IdTypes, choose_types, require_choice, require_fit
from nextcart.events.merge import merge
from nextcart.events.rejects import REMEDIES, Reason
from nextcart.events.sample import Sample, sample
from nextcart.events.schema import DERIVED_SPLITS, Source, SplitFacts, SplitName, StoreManifest, fingerprint
from nextcart.events.sources import RawFile, open_raw
from nextcart.events.staging import Checks, Staged, stage
from nextcart.events.store import Store, connect
from nextcart.events.summary import IngestSummary, summarise
from nextcart.events.tombstones import drop_erased
from nextcart.events.writing import Writer, writer
from nextcart.types import DAY_MS, TYPE_NAMES, Progress, no_progress

IngestSplit = Literal["train", "test"]


def ingest(
    files: Sequence[Path],
    store: Path,
    *,
    split: IngestSplit = "train",
    columns: Mapping[str, str] | None = None,
    types: Mapping[str, str] | None = None,
    ids: IdChoice = "auto",
    config: IngestConfig | None = None,
    progress: Progress = no_progress,
    spark: SparkConfig | None = None,
) -> IngestSummary:
    """Add raw files to a split of the store, which is made where there is none.

    All files are committed together; a file whose bytes the split already has is passed over.

    Args:
        files: OTTO JSONL, CSV or Parquet, as their names tell.
        store: the store's folder.
        split: where the events go.
        columns: our name of a field (session, aid, ts, type) -> the file's column; for CSV and Parquet.
        types: the file's name of an event type -> clicks, carts or orders; those three are always known.
        ids: type of the ids of a new store; ``auto``: integers if the first file's ids are plain integers.
        config: limits and resources.
        progress: told how far each file is read, then how far the sort is.
        spark: where Spark reads, checks and sorts; None is DuckDB here. The store is the same.

    Raises:
        UnreadableInput: a file is missing, not readable, cut short, or not what its name says.
        TooManyRejects: of a file more records were rejected than ``config.max_reject_share`` allows.
        InputError: a file has no events, its times are in seconds, its ids do not fit the store, or a mapping is wrong.
        StoreError: another process is writing to the store.
        RunFailed: the disk is full, or Spark could not do its part.
    """
    order = _Order(split, dict(columns or {}), _types(types or {}), ids, config or IngestConfig(), progress, spark)
    raw = [open_raw(path, progress) for path in files]
    if not raw:
        raise InputError("no files to ingest; name at least one")
    with writer(store) as held:
        before = held.manifest
        seen = {source.sha256 for source in before.sources if source.split == split} if before else set()
        first = {file.sha256: file for file in reversed(raw)}
        new = {file.sha256: file for file in raw if file.sha256 not in seen and file is first[file.sha256]}
        for file in raw:
            _require_same_mapping(file, order, before, store)
        after = _add(held, order, list(new.values())) if new else before
        assert after is not None  # noqa: S101  # a file is passed over only where a store has it
        return summarise(store, split, raw, new, after, _stale(before, split) if new else ())


@dataclass(frozen=True, slots=True)
class _Order:
    """The arguments of one call of `ingest`."""

    split: IngestSplit
    columns: Mapping[str, str]
    types: Mapping[str, str]
    ids: IdChoice
    config: IngestConfig
    progress: Progress
    spark: SparkConfig | None


class _Ways(Protocol):
    """Who reads, checks and sorts: `staging.stage` and `merge.merge`, or Spark."""

    def stage(
        self,
        connection: duckdb.DuckDBPyConnection,
        file: RawFile,
        checks: Checks,
        folder: Path,
        base: int,
        progress: Progress,
    ) -> Staged: ...

    def merge(
        self,
        connection: duckdb.DuckDBPyConnection,
        staged: Sequence[Staged],
        folder: Path,
        root: Path,
        known: SplitFacts | None,
        progress: Progress,
    ) -> tuple[list[Path], list[int]]: ...


class _Duckdb:
    stage = staticmethod(stage)
    merge = staticmethod(merge)


@contextmanager
def _ways(held: Writer, order: _Order) -> Iterator[_Ways]:
    if order.spark is None:
        yield _Duckdb()
        return
    # PySpark and SQLGlot are an extra, and Spark takes seconds to start.
    from nextcart.events.spark_engine import spark_engine
    from nextcart.events.spark_ingest import SparkIngest

    # Of a new store the types are not known yet; nothing is compared with the ids of its empty views.
    nothing = StoreManifest(
        session_type="string", aid_type="string", fingerprint="", next_position=0, sources=(), splits={}
    )
    with spark_engine(Store(held.root, held.manifest or nothing), order.spark) as engine:
        yield SparkIngest(engine, order.split)


def _require_same_mapping(file: RawFile, order: _Order, before: StoreManifest | None, store: Path) -> None:
    """A file that is there already was read with the mapping of its day; another one would be passed over unseen."""
    for source in before.sources if before else ():
        if (source.sha256, source.split) != (file.sha256, order.split):
            continue
        columns = order.columns if file.format != "jsonl" else {}
        if (dict(source.columns), dict(source.types)) != (dict(columns), dict(order.types)):
            raise InputError(
                f"{file.path}: is in {store} already, read with other --columns or --types; give the same ones, or "
                "ingest into a new store (--store)"
            )


def _types(types: Mapping[str, str]) -> dict[str, str]:
    for theirs, ours in types.items():
        if ours not in TYPE_NAMES:
            raise InputError(f"--types {theirs}={ours}: '{ours}' is no event type; use {', '.join(TYPE_NAMES)}")
    return {name: name for name in TYPE_NAMES} | dict(types)


def _stale(manifest: StoreManifest | None, split: SplitName) -> tuple[SplitName, ...]:
    """The splits that are made of ``split`` and no longer fit when it grows."""
    if manifest is None or split != "train":
        return ()
    return tuple(name for name in DERIVED_SPLITS if name in manifest.splits)


def _add(held: Writer, order: _Order, files: Sequence[RawFile]) -> StoreManifest:
    """Stage, merge and commit."""
    before = held.manifest
    config = order.config
    with (
        connect(held.staging / "spill", config.threads, config.memory_limit_mib) as connection,
        _ways(held, order) as ways,
    ):
        id_types, staged = _stage(connection, ways, held, order, files)
        kept, erased, facts = _merge(connection, ways, held, order, staged)
    new = [_source(*counted, order) for counted in zip(staged, kept, erased, strict=True)]
    for part, source in zip(staged, new, strict=True):
        if part.rejects_path and source.rejects_file:
            held.place(part.rejects_path, source.rejects_file)
    stale = _stale(before, order.split)
    splits = {name: there for name, there in before.splits.items() if name not in stale} if before else {}
    sources = (*(before.sources if before else ()), *new)
    made = before.split if before and not stale else None
    erasures = before.erasures if before else None
    manifest = StoreManifest(
        session_type=id_types[0],
        aid_type=id_types[1],
        fingerprint=fingerprint(sources, *id_types, made, erasures),
        next_position=staged[-1].base + staged[-1].positions,
        sources=sources,
        splits={**splits, order.split: facts},
        split=made,
        erasures=erasures,
    )
    held.commit(manifest)
    return manifest


def _merge(
    connection: duckdb.DuckDBPyConnection, ways: _Ways, held: Writer, order: _Order, staged: Sequence[Staged]
) -> tuple[list[int], list[int], SplitFacts]:
    """Put the staged events into place.

    Gives the events kept of each file, those of them that were dropped as of erased sessions, and the split to be.
    """
    known = held.manifest.splits.get(order.split) if held.manifest else None
    files = list(known.files) if known else []
    merged, kept = ways.merge(connection, staged, held.staging, held.root, known, order.progress)
    merged, erased = drop_erased(connection, held, staged, merged)
    name = f"events/{order.split}/{staged[0].base:012d}-{staged[0].file.sha256[:12]}"
    for number, part in enumerate(merged):
        path = f"{name}-{number:04d}.parquet"
        held.place(part, path)
        files.append(stored_file(connection, held.root, path))
    if not files:
        raise InputError(
            f"{staged[0].file.path}: holds no events but those of erased sessions; there is nothing to add"
        )
    return kept, erased, count_split(connection, held.root, files, order.config.min_events)


def _stage(
    connection: duckdb.DuckDBPyConnection, ways: _Ways, held: Writer, order: _Order, files: Sequence[RawFile]
) -> tuple[IdTypes, list[Staged]]:
    """Read and check the files, one after the other, each at the positions behind those before it."""
    config = order.config
    newest_ms = int(time.time() * 1000 + config.max_future_days * DAY_MS)
    id_types = require_choice(held.manifest, order.ids) if held.manifest else None
    base = held.manifest.next_position if held.manifest else 0
    staged: list[Staged] = []
    for file in files:
        seen = sample(connection, file, held.staging, newest_ms, order.columns)
        _refuse_seconds(file, seen)
        if id_types is None:
            id_types = choose_types(file, seen, order.ids)
        else:
            require_fit(file, seen, id_types)
        checks = Checks(*id_types, newest_ms, order.columns, order.types)
        part = ways.stage(connection, file, checks, held.staging, base, order.progress)
        _refuse_rejects(part, config.max_reject_share)
        staged.append(part)
        base += part.positions
    assert id_types is not None  # noqa: S101  # there is at least one file
    return id_types, staged


def _refuse_seconds(file: RawFile, seen: Sample) -> None:
    if seen.seconds > 0.5:
        raise InputError(
            f"{file.path}: its timestamps are in seconds (such as {seen.ts}), milliseconds are due; "
            "multiply them by 1000; nothing was stored"
        )


def _refuse_rejects(part: Staged, tolerated: float) -> None:
    records = part.accepted + part.rejected
    if part.rejected > tolerated * records:
        counts = ", ".join(f"{count:,} {reason}" for reason, count in part.rejects.items())
        raise TooManyRejects(
            f"{part.file.path}: {part.rejected:,} of {records:,} records rejected ({part.rejected / records:.1%}, "
            f"ingest.max_reject_share is {tolerated}): {counts}; first {', '.join(part.examples)}; nothing was stored; "
            f"{_remedy(part.rejects)}, or raise ingest.max_reject_share"
        )
    if part.accepted == 0:
        raise InputError(f"{part.file.path}: the file holds no events; check that it is the right one")


def _remedy(rejects: Mapping[Reason, int]) -> str:
    return REMEDIES.get(next(iter(rejects)), "repair the file")


def _source(part: Staged, kept: int, erased: int, order: _Order) -> Source:
    file = part.file
    name = re.sub(r"[^A-Za-z0-9._-]", "_", file.path.name)[-80:]
    rejects_file = f"rejects/{name}-{order.split}-{file.sha256[:12]}.parquet" if part.rejects_path else None
    return Source(
        name=file.path.name,
        sha256=file.sha256,
        bytes=file.bytes,
        split=order.split,
        columns=order.columns if file.format != "jsonl" else {},
        types=order.types,
        first_position=part.base,
        positions=part.positions,
        events=kept - erased,
        duplicates=part.accepted - kept,
        empty_sessions=part.empty_sessions,
        rejects=part.rejects,
        rejects_file=rejects_file,
        erased=erased,
    )
