"""What the events say of each item, against the naive twin and a table by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextcart.kernels.item_columns import ITEM_COLUMNS, item_columns
from tests import naive_ranking
from tests.naive import CARTS, DAY_MS, ORDERS, Event, batch_of
from tests.strategies import N_ITEMS, asking, few


def columns_of(sessions, n_items):
    batch = batch_of(sessions)
    return item_columns(batch.offsets, batch.items, batch.ts, batch.types, n_items)


@few
@given(asking, st.lists(st.sampled_from([0, 1, DAY_MS - 1, DAY_MS, 3 * DAY_MS, 7 * DAY_MS, 8 * DAY_MS]), min_size=4))
def test_columns_are_as_defined(sessions, shifts):
    moved = [
        [event._replace(ts=event.ts + shift) for event in session]
        for session, shift in zip(sessions, shifts, strict=False)
    ]
    found = columns_of(moved, N_ITEMS)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, naive_ranking.item_columns(moved, N_ITEMS), rtol=1e-5, atol=1e-7)


def test_columns_by_hand():
    day = 10 * DAY_MS
    sessions = [[Event(0, 0), Event(0, day, CARTS)], [Event(1, day - DAY_MS, ORDERS), Event(0, day)]]
    row = dict(zip(ITEM_COLUMNS, columns_of(sessions, 3)[0].tolist(), strict=True))
    assert row == pytest.approx(
        {
            "log_events": np.log(4),
            "log_events_1_day": np.log(3),
            "log_events_3_days": np.log(3),
            "log_events_7_days": np.log(3),
            "trend_1_day": 2.1 / 0.4,
            "trend_3_days": (2 / 3 + 0.1) / 0.4,
            "cart_rate": 1 / 8,
            "order_rate": 0,
            "days_since_last": 0,
            "days_since_first": 10,
            "events_a_session": 1.5,
            "repeat_rate": (1 + 5 * 0.25) / 8,
            "end_rate": (2 + 5 * 0.5) / 8,
            "return_rate": 0,
            # The item dwells once, for longer than counts; so does the other one.
            "log_dwell": np.log(1801),
        },
        rel=1e-6,
    )


def test_an_item_without_events_is_as_old_as_the_log():
    day = 10 * DAY_MS
    row = dict(zip(ITEM_COLUMNS, columns_of([[Event(0, 0), Event(0, day)]], 2)[1].tolist(), strict=True))
    assert (row["log_events"], row["days_since_last"], row["days_since_first"]) == (0, 10, 10)


def test_no_events_give_finite_columns():
    found = columns_of([], 3)
    assert found.shape == (3, len(ITEM_COLUMNS))
    assert np.isfinite(found).all()
