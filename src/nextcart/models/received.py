"""From sessions just received to the columns that models work on."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

import numpy as np

from nextcart.errors import InputError
from nextcart.events.schema import Session
from nextcart.kernels.lookup import in_order
from nextcart.models.vocabulary import Vocabulary
from nextcart.types import TYPE_NAMES, SessionBatch

TYPE_NUMBER = {name: number for number, name in enumerate(TYPE_NAMES)}


def session_batch(vocabulary: Vocabulary, sessions: Sequence[Session]) -> SessionBatch:
    """Sessions as received, the events of each put in time order; events of equal time keep their order.

    Raises:
        InputError: a timestamp does not fit 64 bits.
    """
    offsets = np.array([0, *accumulate([len(session.events) for session in sessions])], np.int64)
    events = [event for session in sessions for event in session.events]
    items = vocabulary.rows([event.aid for event in events])
    try:
        ts = np.array([event.ts for event in events], np.int64)
    except OverflowError:
        worst = max((event.ts for event in events), key=abs)
        raise InputError(f"ts {worst} does not fit 64 bits; give Unix milliseconds") from None
    types = np.array([TYPE_NUMBER[event.type] for event in events], np.uint8)
    if not in_order(offsets, ts):
        owner = np.repeat(np.arange(len(sessions)), np.diff(offsets))
        order = np.lexsort((ts, owner))
        items, ts, types = items[order], ts[order], types[order]
    return SessionBatch(offsets, items, ts, types)
