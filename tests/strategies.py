"""Small sessions for hypothesis: few items, so that they meet; gaps around the windows' edges."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st

from tests.naive import HOUR_MS, Event, Session

N_ITEMS = 6
GAPS = (0, 0, 1, 1000, HOUR_MS, 5 * HOUR_MS, 12 * HOUR_MS, 12 * HOUR_MS + 1, 24 * HOUR_MS, 24 * HOUR_MS + 1)

few = settings(max_examples=60, deadline=None)
"""The first call compiles a kernel, which no deadline bears."""


@st.composite
def session(draw: st.DrawFn, *, min_events: int = 0, max_events: int = 8, unknown: bool = False) -> Session:
    """A session in time order; ``unknown``: some items are outside the catalogue."""
    items = st.integers(-1 if unknown else 0, N_ITEMS - 1)
    steps = draw(
        st.lists(st.tuples(items, st.sampled_from(GAPS), st.integers(0, 2)), min_size=min_events, max_size=max_events)
    )
    events, ts = [], 1_700_000_000_000
    for item, gap, kind in steps:
        ts += gap
        events.append(Event(item, ts, kind))
    return events


training = st.lists(session(min_events=1), min_size=1, max_size=8)
"""Sessions to learn from."""

asking = st.lists(session(unknown=True, max_events=14), min_size=1, max_size=4)
"""Sessions to answer: some empty, some with unknown items."""

rows = st.sets(st.integers(0, N_ITEMS - 1), max_size=N_ITEMS)
