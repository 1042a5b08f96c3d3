"""What the training events say of each item: counts over windows, rates, ages."""

from __future__ import annotations

import numpy as np
from numba import njit

from nextcart.kernels.pair_columns import MOST_DWELL_SECONDS
from nextcart.types import DAY_MS, Float32s, Int32s, Int64s, UInt8s

ITEM_COLUMNS = (
    "log_events",
    "log_events_1_day",
    "log_events_3_days",
    "log_events_7_days",
    "trend_1_day",
    "trend_3_days",
    "cart_rate",
    "order_rate",
    "days_since_last",
    "days_since_first",
    "events_a_session",
    "repeat_rate",
    "end_rate",
    "return_rate",
    "log_dwell",
)
"""``trend``: the daily events of the window over those of the whole time; ``cart_rate``, ``order_rate``: share of its
events; ``repeat_rate``: of its events, those that follow one on the same item; ``return_rate``: those that come back to
it after others; ``end_rate``: those that end a session; ``log_dwell``: mean log of the seconds to the session's next
event. Days count to the newest training event."""

SHRINKAGE = 5.0
"""A rate is drawn to that of all items as if by so many events."""


@njit(cache=True, nogil=True)
def item_columns(offsets: Int64s, items: Int32s, ts: Int64s, types: UInt8s, n_items: int) -> Float32s:
    """`ITEM_COLUMNS` of every item, float32, shape (n_items, n_columns)."""
    counts = np.zeros((n_items, 11), np.float64)
    first = np.zeros(n_items, np.int64)
    last = np.zeros(n_items, np.int64)
    seen_in = np.full(n_items, -1, np.int64)
    seen_at = np.full(n_items, -1, np.int64)
    now, start = (ts.max(), ts.min()) if len(ts) else (np.int64(0), np.int64(0))
    for s in range(len(offsets) - 1):
        for e in range(offsets[s], offsets[s + 1]):
            a = items[e]
            if a < 0:
                continue
            if counts[a, 0] == 0.0 or ts[e] < first[a]:
                first[a] = ts[e]
            if counts[a, 0] == 0.0 or ts[e] > last[a]:
                last[a] = ts[e]
            age = now - ts[e]
            counts[a, 0] += 1.0
            counts[a, 1] += age < DAY_MS
            counts[a, 2] += age < 3 * DAY_MS
            counts[a, 3] += age < 7 * DAY_MS
            counts[a, 4] += types[e] == 1
            counts[a, 5] += types[e] == 2
            if seen_in[a] != s:
                seen_in[a] = s
                counts[a, 6] += 1.0
            else:
                counts[a, 9] += seen_at[a] < e - 1
            seen_at[a] = e
            counts[a, 7] += e > offsets[s] and items[e - 1] == a
            if e == offsets[s + 1] - 1:
                counts[a, 8] += 1.0
            else:
                counts[a, 10] += np.log1p(min((ts[e + 1] - ts[e]) / 1000.0, MOST_DWELL_SECONDS))
    all_events = max(1.0, counts[:, 0].sum())
    usual_repeat, usual_end = counts[:, 7].sum() / all_events, counts[:, 8].sum() / all_events
    usual_return = counts[:, 9].sum() / all_events
    usual_dwell = counts[:, 10].sum() / max(1.0, all_events - counts[:, 8].sum())
    days = max(1.0, (now - start) / DAY_MS)
    out = np.empty((n_items, len(ITEM_COLUMNS)), np.float32)
    for a in range(n_items):
        events = counts[a, 0]
        for window in range(4):
            out[a, window] = np.log1p(counts[a, window])
        a_day = events / days + 0.1
        out[a, 4] = (counts[a, 1] + 0.1) / a_day
        out[a, 5] = (counts[a, 2] / 3.0 + 0.1) / a_day
        out[a, 6] = counts[a, 4] / (events + SHRINKAGE)
        out[a, 7] = counts[a, 5] / (events + SHRINKAGE)
        out[a, 8] = (now - last[a]) / DAY_MS if events > 0.0 else days
        out[a, 9] = (now - first[a]) / DAY_MS if events > 0.0 else days
        out[a, 10] = events / max(1.0, counts[a, 6])
        out[a, 11] = (counts[a, 7] + SHRINKAGE * usual_repeat) / (events + SHRINKAGE)
        out[a, 12] = (counts[a, 8] + SHRINKAGE * usual_end) / (events + SHRINKAGE)
        out[a, 13] = (counts[a, 9] + SHRINKAGE * usual_return) / (events + SHRINKAGE)
        out[a, 14] = (counts[a, 10] + SHRINKAGE * usual_dwell) / (events - counts[a, 8] + SHRINKAGE)
    return out
