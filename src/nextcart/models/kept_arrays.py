"""Training arrays beside the event store: written once for a split, then mapped, so no training decodes Parquet again.

They are a copy of what the store's Parquet files hold, and may be removed at any time.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from secrets import token_hex
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import DTypeLike, NDArray

from nextcart.disk import sync
from nextcart.errors import ArtifactCorrupt
from nextcart.events.schema import SplitName
from nextcart.events.store import ARRAYS, Store
from nextcart.models.model import mapped
from nextcart.models.vocabulary import Vocabulary
from nextcart.types import Int64s, SessionBatch

LAYOUT = 1
"""Version of the files below; arrays of another one are made anew."""

COLUMNS: dict[str, DTypeLike] = {"items": np.int32, "ts": np.int64, "types": np.uint8}

Columns = tuple[NDArray[Any], NDArray[Any], NDArray[Any]]
"""Items, timestamps and types of some events, in the order of `COLUMNS`."""


def folder_of(store: Store, split: SplitName) -> Path:
    """Where the arrays of a split lie; another one as soon as the split's files are others."""
    facts = store.manifest.splits[split].model_dump_json()
    return store.root / ARRAYS / f"{split}-{hashlib.sha256(f'{LAYOUT} {facts}'.encode()).hexdigest()[:16]}"


def find(store: Store, split: SplitName) -> tuple[Vocabulary, SessionBatch] | None:
    """The kept arrays of a split, mapped and read-only; None where there are none, or one of their files is broken."""
    folder = folder_of(store, split)
    try:
        vocabulary = Vocabulary.load(folder / "vocabulary")
        sessions = SessionBatch(*(mapped(folder / f"{name}.npy") for name in ("offsets", *COLUMNS)))
    except (ArtifactCorrupt, OSError, EOFError, ValueError):
        return None
    facts = store.manifest.splits[split]
    sizes = {len(column) for column in (sessions.items, sessions.ts, sessions.types)}
    return (vocabulary, sessions) if sizes == {facts.events} and len(sessions) == facts.sessions else None


def keep(
    store: Store, split: SplitName, vocabulary: Vocabulary, read: Callable[[], Iterator[tuple[Columns, Int64s]]]
) -> None:
    """Write the arrays of a split, in the place of older ones; they are whole or absent.

    Args:
        store: holds the split.
        split: its name.
        vocabulary: its catalogue.
        read: gives its events in batches, each with the places where sessions start.

    Raises:
        OSError: the folder cannot be written, or the disk is full; nothing stays.
    """
    target = folder_of(store, split)
    for unfinished in target.parent.glob(f".{split}-*"):
        shutil.rmtree(unfinished, ignore_errors=True)
    staging = target.with_name(f".{target.name}-{token_hex(4)}")
    try:
        (staging / "vocabulary").mkdir(parents=True)
        vocabulary.save(staging / "vocabulary")
        _write(staging, store.manifest.splits[split].events, read())
        for file in staging.rglob("*.*"):
            sync(file)
        shutil.rmtree(target, ignore_errors=True)
        staging.rename(target)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    for other in target.parent.glob(f"{split}-*"):
        if other != target:
            shutil.rmtree(other, ignore_errors=True)


def _write(folder: Path, events: int, batches: Iterator[tuple[Columns, Int64s]]) -> None:
    starts: list[Int64s] = []
    with ExitStack() as stack:
        files = [stack.enter_context(_Column(folder / f"{name}.npy", kind, events)) for name, kind in COLUMNS.items()]
        for columns, begins in batches:
            starts.append(begins)
            for file, column in zip(files, columns, strict=True):
                file.append(column)
    np.save(folder / "offsets.npy", np.concatenate([*starts, [events]]).astype(np.int64), allow_pickle=False)


class _Column:
    """A one-dimensional ``.npy`` file of known length that is written in pieces."""

    def __init__(self, path: Path, kind: DTypeLike, length: int) -> None:
        self._file = path.open("wb")
        self._kind = np.dtype(kind)
        header = {"descr": np.lib.format.dtype_to_descr(self._kind), "fortran_order": False, "shape": (length,)}
        np.lib.format.write_array_header_1_0(self._file, header)

    def append(self, values: NDArray[Any]) -> None:
        self._file.write(np.ascontiguousarray(values, self._kind).data)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
