"""From the event store to the columns that models work on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nextcart.events.schema import SplitName
from nextcart.events.store import Store
from nextcart.models import kept_arrays
from nextcart.models.model import TrainingArrays
from nextcart.models.vocabulary import Vocabulary
from nextcart.types import Id, Int64s, Progress, SessionBatch, no_progress


def training_arrays(store: Store, split: str, progress: Progress = no_progress) -> tuple[Vocabulary, TrainingArrays]:
    """The catalogue and the training sessions of a split.

    Read from the event store once and kept beside it, then mapped: read-only, and in memory only as far as it is used.

    Raises:
        StoreMissing: the store has no such split.
    """
    name = store.require(split)
    found = kept_arrays.find(store, name)
    if found is None:
        vocabulary = Vocabulary.from_counts(store.manifest.aid_type, store.item_counts(name))
        # On a disk that is full or read-only a training goes on without: the arrays save time, no more.
        with suppress(OSError):
            kept_arrays.keep(store, name, vocabulary, lambda: _read(store, name, vocabulary, progress))
        found = kept_arrays.find(store, name) or (vocabulary, read_batch(store, name, vocabulary, progress))
    vocabulary, sessions = found
    return vocabulary, TrainingArrays(sessions, vocabulary.counts)


def read_batch(store: Store, split: str, vocabulary: Vocabulary, progress: Progress = no_progress) -> SessionBatch:
    """All sessions of a split, in session order; items outside the vocabulary become `UNKNOWN`.

    Holds 13 bytes an event and 8 a session.
    """
    name = store.require(split)
    total = store.manifest.splits[name].events
    columns = tuple(np.empty(total, kind) for kind in kept_arrays.COLUMNS.values())
    starts: list[Int64s] = []
    done = 0
    for batch, begins in _read(store, name, vocabulary, progress):
        for column, values in zip(columns, batch, strict=True):
            column[done : done + len(values)] = values
        starts.append(begins)
        done += len(batch[0])
    offsets = np.concatenate([*starts, [total]]).astype(np.int64)
    return SessionBatch(offsets, *columns)


def _read(
    store: Store, split: SplitName, vocabulary: Vocabulary, progress: Progress
) -> Iterator[tuple[kept_arrays.Columns, Int64s]]:
    """The events of a split in batches: items, ts and types, and the places where sessions start."""
    total = store.manifest.splits[split].events
    done = 0
    last_session: Id | None = None
    for batch in store.batches(split):
        items = vocabulary.rows_of_arrow(batch.column("aid"))
        begins, last_session = session_starts(batch.column("session"), done, last_session)
        yield (items, np.from_dlpack(batch.column("ts")), np.from_dlpack(batch.column("type"))), begins
        done += len(batch)
        progress("reading sessions", done, total)


def session_starts(sessions: pa.Array, done: int, before: Id | None) -> tuple[Int64s, Id]:
    """Where sessions start in a batch of events in session order, and the last one, which the next batch may go on.

    Args:
        sessions: the session of each event, at least one.
        done: events of earlier batches.
        before: the last session of those.
    """
    runs = pc.run_end_encode(sessions)
    ends = np.from_dlpack(runs.run_ends).astype(np.int64)
    begins = np.concatenate([[0], ends[:-1]]) + done
    goes_on = runs.values[0].as_py() == before
    return begins[int(goes_on) :], runs.values[-1].as_py()
