import numpy as np
import pytest

from nextcart.errors import InputError
from nextcart.events.schema import Event, Session
from nextcart.models.received import session_batch
from nextcart.models.vocabulary import Vocabulary
from nextcart.types import UNKNOWN

VOCABULARY = Vocabulary("int64", np.array([10, 20, 30]), np.array([3, 2, 1]))


def received(*sessions: list[tuple]) -> list[Session]:
    return [Session(i, [Event(*event) for event in events]) for i, events in enumerate(sessions)]


def test_received_sessions_are_sorted_by_time_each_for_itself():
    batch = session_batch(
        VOCABULARY,
        received(
            [(30, 5, "clicks"), (10, 3, "carts"), (20, 5, "orders"), (20, 3, "clicks")],
            [],
            [(10, 1, "clicks")],
            [(99, 2, "orders"), ("10", 1, "carts")],
        ),
    )
    assert batch.offsets.tolist() == [0, 4, 4, 5, 7]
    assert batch.items.tolist() == [0, 1, 2, 1, 0, UNKNOWN, UNKNOWN]
    assert batch.ts.tolist() == [3, 3, 5, 5, 1, 1, 2]
    assert batch.types.tolist() == [1, 0, 0, 2, 0, 1, 2]


def test_received_sessions_in_order_stay_as_they_are():
    batch = session_batch(VOCABULARY, received([(20, 1, "clicks"), (10, 1, "clicks")], [(30, 0, "orders")]))
    assert batch.items.tolist() == [1, 0, 2]
    assert (batch.items.dtype, batch.ts.dtype, batch.types.dtype) == (np.int32, np.int64, np.uint8)


@pytest.mark.parametrize("sessions", [[], [[]], [[], []]])
def test_sessions_of_nothing(sessions):
    batch = session_batch(VOCABULARY, received(*sessions))
    assert batch.offsets.tolist() == [0] * (len(sessions) + 1)
    assert len(batch) == len(sessions)
    assert batch.n_events == len(batch.ts) == len(batch.types) == 0


@pytest.mark.parametrize("ts", [2**63, -(2**63) - 1, 10**30])
def test_a_timestamp_past_64_bits_is_named(ts):
    with pytest.raises(InputError, match=str(ts)):
        session_batch(VOCABULARY, received([(10, 1, "clicks"), (20, ts, "clicks")]))


def test_the_order_does_not_depend_on_the_other_sessions():
    session = [(10, 5, "clicks"), (20, 4, "carts"), (30, 5, "clicks")]
    alone = session_batch(VOCABULARY, received(session))
    among = session_batch(VOCABULARY, received([(10, 9, "clicks")], session, [(20, 0, "clicks")])).slice(1, 2)
    assert among.items.tolist() == alone.items.tolist()
    assert among.offsets.tolist() == alone.offsets.tolist()
