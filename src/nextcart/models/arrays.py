"""From the event store, or from sessions just received, to the columns that models work on."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

import numpy as np
import pyarrow.compute as pc

from nextcart.errors import InputError
from nextcart.events.schema import Session
from nextcart.events.store import Store
from nextcart.models.model import TrainingArrays
from nextcart.models.vocabulary import Vocabulary
from nextcart.types import TYPE_NAMES, Progress, SessionBatch, no_progress

TYPE_NUMBER = {name: number for number, name in enumerate(TYPE_NAMES)}


def training_arrays(store: Store, split: str, progress: Progress = no_progress) -> tuple[Vocabulary, TrainingArrays]:
    """The catalogue and the training sessions of a split.

    Raises:
        StoreMissing: the store has no such split.
    """
    vocabulary = Vocabulary.from_counts(store.manifest.aid_type, store.item_counts(split))
    return vocabulary, TrainingArrays(read_batch(store, split, vocabulary, progress), vocabulary.counts)


def read_batch(store: Store, split: str, vocabulary: Vocabulary, progress: Progress = no_progress) -> SessionBatch:
    """All sessions of a split, in session order; items outside the vocabulary become `UNKNOWN`.

    Holds 13 bytes an event and 8 a session.
    """
    total = store.manifest.splits[store.require(split)].events
    items, ts, types = np.empty(total, np.int32), np.empty(total, np.int64), np.empty(total, np.uint8)
    starts: list[np.ndarray[tuple[int], np.dtype[np.int64]]] = []
    done, last_session = 0, None
    for batch in store.batches(split):
        stop = done + len(batch)
        items[done:stop] = vocabulary.rows_of_arrow(batch.column("aid"))
        ts[done:stop] = batch.column("ts").to_numpy()
        types[done:stop] = batch.column("type").to_numpy()
        runs = pc.run_end_encode(batch.column("session"))
        ends = runs.run_ends.to_numpy().astype(np.int64)
        begins = np.concatenate([[0], ends[:-1]]) + done
        # A session may go on from the batch before.
        starts.append(begins[1:] if runs.values[0].as_py() == last_session else begins)
        last_session = runs.values[-1].as_py()
        done = stop
        progress("reading sessions", done, total)
    offsets = np.concatenate([*starts, [total]]).astype(np.int64)
    return SessionBatch(offsets, items, ts, types)


def session_batch(vocabulary: Vocabulary, sessions: Sequence[Session]) -> SessionBatch:
    """Sessions as received, the events of each put in time order; events of equal time keep their order.

    Raises:
        InputError: a timestamp does not fit 64 bits.
    """
    offsets = np.zeros(len(sessions) + 1, np.int64)
    np.cumsum([len(session.events) for session in sessions], out=offsets[1:])
    events = list(chain.from_iterable(session.events for session in sessions))
    items = vocabulary.rows([event.aid for event in events])
    try:
        ts = np.array([event.ts for event in events], np.int64)
    except OverflowError:
        worst = max((event.ts for event in events), key=abs)
        raise InputError(f"ts {worst} does not fit 64 bits; give Unix milliseconds") from None
    types = np.array([TYPE_NUMBER[event.type] for event in events], np.uint8)
    if len(ts) > 1 and (ts[1:] < ts[:-1]).any():
        owner = np.repeat(np.arange(len(sessions)), np.diff(offsets))
        order = np.lexsort((ts, owner))
        items, ts, types = items[order], ts[order], types[order]
    return SessionBatch(offsets, items, ts, types)
