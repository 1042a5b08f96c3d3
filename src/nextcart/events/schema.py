"""What stands in a raw session, in the event store's manifest and in its files."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from datetime import date
from typing import Annotated, Literal

import msgspec
from pydantic import BaseModel, ConfigDict, Field

from nextcart.types import Id, IdType

SCHEMA_VERSION = 2
"""Version of the store's layout; a store of a newer version is refused. 2 added ``erasures``; 1 is read as it is."""

SplitName = Literal["train", "test", "train_split", "val_split"]
SPLITS: tuple[SplitName, ...] = ("train", "test", "train_split", "val_split")
"""The parts a store can have: what was ingested, and what `split` made of ``train``."""

DERIVED_SPLITS: tuple[SplitName, ...] = ("train_split", "val_split")
"""Made of ``train``; they go when it grows."""

MAX_ID_BYTES = 128
"""Longest string id, in bytes of UTF-8."""


class Event(msgspec.Struct, frozen=True, gc=False):
    """One event as it stands in OTTO JSONL and in a request; ``ts`` is in Unix milliseconds, UTC."""

    aid: int | str
    ts: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
    type: Literal["clicks", "carts", "orders"]


class Session(msgspec.Struct, frozen=True):
    """One session as it stands on a line of OTTO JSONL."""

    session: int | str
    events: list[Event]


class _Facts(BaseModel):
    """Base of what the manifest is made of: frozen, and a key it does not know is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class StoredFile(_Facts):
    """One Parquet file of a split, sorted by (session, ts, position)."""

    path: str
    """Relative to the store's folder."""
    events: int
    bytes: int
    first_session: Id
    """Smallest session id in the file."""
    last_session: Id
    """Largest session id in the file; files whose ranges do not overlap are read without another sort."""


class SplitFacts(_Facts):
    """One split as a whole."""

    files: tuple[StoredFile, ...]
    events: int
    sessions: int
    short_sessions: int
    """Sessions with fewer events than ingest.min_events."""
    items: int
    first_ts: int
    """Unix milliseconds of the oldest event."""
    last_ts: int
    """Unix milliseconds of the newest event."""


class Source(_Facts):
    """One raw file that was ingested."""

    name: str
    sha256: str
    """Of the file's bytes as they lay on disk."""
    bytes: int
    split: SplitName
    columns: Mapping[str, str]
    """How the file's columns were named: field -> column, where they differ."""
    types: Mapping[str, str]
    """How the file's event types were named: the file's value -> clicks, carts or orders."""
    first_position: int
    """Input position of the file's first record."""
    positions: int
    """Input positions that the file takes up, rejected records and duplicates among them."""
    events: int
    """Events that were added."""
    duplicates: int
    """Events that the file or the store already had, equal in session, item, time and type."""
    empty_sessions: int
    """Lines with an empty list of events."""
    rejects: Mapping[str, int]
    """Rejected records by reason."""
    rejects_file: str | None
    """Parquet file of the rejected records, relative to the store's folder."""
    erased: int = 0
    """Events that were dropped when the file was ingested: of sessions that had been erased."""


class SplitRecord(_Facts):
    """How ``train_split`` and ``val_split`` were made."""

    method: Literal["percentile", "days"]
    parameter: float
    """The quantile, or the number of days."""
    cut_ts: int
    """Unix milliseconds where the training part ends."""


class Erasure(_Facts):
    """One run that removed sessions; which ones is written nowhere."""

    on: date
    """Day of the run, UTC."""
    sessions: int
    """Sessions that the store held of those asked for."""
    events: int
    """Events that were removed, from all splits."""
    mark: str
    """Random: no two erasures are equal, so that no two stores that lost different sessions have one fingerprint."""


class Erasures(_Facts):
    """What was erased, in such a way that an ingest knows an erased session when a file brings it again."""

    salt: str
    """Random, one a store; stands before each id that is digested."""
    file: str
    """Parquet file of the digests of all erased sessions, relative to the store's folder."""
    runs: tuple[Erasure, ...] = ()
    """Runs that found something, oldest first."""


class StoreManifest(_Facts):
    """The store's table of contents; a file that it does not list does not exist for a reader."""

    schema_version: int = Field(default=SCHEMA_VERSION, le=SCHEMA_VERSION)
    session_type: IdType
    aid_type: IdType
    fingerprint: str
    """Digest of the sources in their order and of the split: equal data, equal fingerprint."""
    next_position: int
    """Input position of the next event to be ingested."""
    sources: tuple[Source, ...]
    splits: Mapping[SplitName, SplitFacts]
    split: SplitRecord | None = None
    erasures: Erasures | None = None


def fingerprint(
    sources: Iterable[Source],
    session_type: IdType,
    aid_type: IdType,
    split: SplitRecord | None,
    erasures: Erasures | None = None,
) -> str:
    """Digest of what decides the store's events: sources in their order, types of ids, what was erased, the split."""
    # The 1 is the layout of the first stores: equal data keep their fingerprint in a newer layout.
    digest = hashlib.sha256(f"1 {session_type} {aid_type}\n".encode())
    erased = 0
    for source in sources:
        digest.update(source.model_dump_json(exclude={"name", "rejects_file", "erased"}).encode() + b"\n")
        erased += source.erased
    if erasures is not None and (erasures.runs or erased):
        digest.update(erasures.model_dump_json(include={"salt", "runs"}).encode() + b"\n")
    if split is not None:
        digest.update(split.model_dump_json().encode())
    return digest.hexdigest()[:32]
