from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextcart.config import SessionNeighboursConfig
from nextcart.models.model import FitOptions, Query, TrainingArrays
from nextcart.models.session_neighbours import SessionIndex, SessionNeighbours
from tests import naive
from tests.naive import DAY_MS, HOUR_MS, Event, batch_of, check_ranking
from tests.shop import lists_of
from tests.strategies import N_ITEMS, asking, few, rows, training

configs = st.builds(
    SessionNeighboursConfig,
    sessions_per_item=st.sampled_from([1, 2, 500]),
    max_session_events=st.sampled_from([1, 3, 50]),
    query_events=st.sampled_from([1, 2, 10]),
    position_decay=st.sampled_from([0.5, 1.5]),
    recency_days=st.sampled_from([0.1, 30.0]),
    neighbours=st.sampled_from([1, 2, 3, 300]),
    item_decay=st.sampled_from([0.5, 2.0]),
    before_weight=st.sampled_from([0.0, 0.5, 1.0]),
    reach_events=st.sampled_from([1, 2, 10]),
)


def fit(sessions, config: SessionNeighboursConfig | None = None, threads: int = 2) -> SessionNeighbours:
    batch = batch_of(sessions)
    arrays = TrainingArrays(batch, np.bincount(batch.items, minlength=N_ITEMS))
    return SessionNeighbours.fit(arrays, config or SessionNeighboursConfig(), FitOptions(threads=threads))


def listed(index: SessionIndex, item: int) -> list[tuple[int, int]]:
    span = slice(index.item_offsets[item], index.item_offsets[item + 1])
    return list(zip(index.item_sessions[span].tolist(), index.item_places[span].tolist(), strict=True))


def held(index: SessionIndex) -> list[list[int]]:
    spans = zip(index.session_offsets[:-1], index.session_offsets[1:], strict=True)
    return [index.session_items[a:b].tolist() for a, b in spans]


def answer(model: SessionNeighbours, session: list[Event], k: int = N_ITEMS) -> dict[int, float]:
    ranked = model.recommend(Query(batch_of([session]), k))
    pairs = zip(ranked.items[0].tolist(), ranked.scores[0].tolist(), strict=True)
    return {item: score for item, score in pairs if item >= 0}


# What is kept.


def test_an_index_by_hand():
    """Newest first; an item's last place counts; the oldest session is in no list that has room, and goes."""
    oldest = [Event(0, 1), Event(1, 2)]
    older = [Event(0, 3), Event(0, 4), Event(1, 5)]
    newest = [Event(1, 6), Event(2, 7), Event(1, 8), Event(0, 9)]
    index = fit([newest, oldest, older], SessionNeighboursConfig(sessions_per_item=2, max_session_events=3)).index
    assert held(index) == [[2, 1, 0], [0, 0, 1]]
    assert index.ends.tolist() == [9, 5]
    assert index.norms.tolist() == pytest.approx([1 / 4**0.5, 1 / 3**0.5])
    assert listed(index, 0) == [(0, 0), (1, 1)]
    assert listed(index, 1) == [(0, 1), (1, 0)]
    assert listed(index, 2) == [(0, 2)]
    assert listed(index, 3) == []
    assert index.idf[:4].tolist() == pytest.approx(np.log1p([3 / 3, 3 / 3, 3 / 1, 3]).tolist())


def test_of_sessions_that_end_together_the_later_number_is_the_newer():
    index = fit([[Event(0, 5)], [Event(0, 4), Event(1, 5)]], SessionNeighboursConfig(sessions_per_item=1)).index
    assert held(index) == [[0, 1]]


@few
@given(training, configs)
def test_the_index_holds_the_newest_sessions_of_each_item(sessions, config):
    index = fit(sessions, config).index
    recent = sorted(sessions, key=lambda session: session[-1].ts)[::-1]
    kept = [[event.item for event in session[-config.max_session_events :]] for session in recent]
    contents = held(index)
    assert index.ends.tolist() == sorted(index.ends.tolist(), reverse=True)
    referred = set()
    for item in range(N_ITEMS):
        numbers = [number for number, _ in listed(index, item)]
        wanted = [items for items in kept if item in items][: config.sessions_per_item]
        assert numbers == sorted(set(numbers))
        assert [contents[number] for number in numbers] == wanted
        for number, place in listed(index, item):
            assert contents[number][::-1].index(item) == place
        referred |= set(numbers)
    assert referred == set(range(len(contents)))


@few
@given(training, configs)
def test_threads_change_no_byte(sessions, config):
    one, three = (fit(sessions, config, threads).arrays() for threads in (1, 3))
    assert {name: array.tobytes() for name, array in one.items()} == {
        name: array.tobytes() for name, array in three.items()
    }


@pytest.mark.parametrize("sessions", [[], [[]], [[], [], []]])
def test_nothing_to_learn_from(sessions):
    model = fit(sessions)
    assert held(model.index) == []
    assert answer(model, [Event(0, 5)]) == {}


def test_empty_sessions_among_others_are_passed_over():
    assert held(fit([[], [Event(1, 5)], [], [Event(2, 4)], []]).index) == [[1], [2]]


# What is answered.


@few
@given(training, configs, asking, rows, rows, st.sampled_from([1, 3, N_ITEMS + 2]))
def test_sessions_are_answered_as_defined(sessions, config, queries, banned, allowed, k):
    model = fit(sessions, config)
    batch, n = batch_of(queries), len(queries)
    bans, allows = (lists_of(*([sorted(each)] * n)) for each in (banned, allowed))
    for ban, allow in ((None, None), (bans, None), (None, allows), (bans, allows)):
        ranked = model.recommend(Query(batch, k, ban, allow))
        for i, session in enumerate(queries):
            wanted = naive.session_neighbours(sessions, session, config)
            may_come = naive.permitted(wanted, banned if ban else (), allowed if allow else None)
            check_ranking(ranked.items[i], ranked.scores[i], may_come, k)


@few
@given(training, configs, asking)
def test_a_batch_answers_as_its_sessions_alone(sessions, config, queries):
    model = fit(sessions, config)
    together = model.recommend(Query(batch_of(queries), 4))
    for i, session in enumerate(queries):
        alone = model.recommend(Query(batch_of([session]), 4))
        assert alone.items[0].tolist() == together.items[i].tolist()
        assert alone.scores[0].tolist() == together.scores[i].tolist()


def test_a_question_by_hand():
    """One session like it: 1 stands twice, its last place is the match; 0 and 1 before it count half."""
    config = SessionNeighboursConfig(position_decay=1.0, item_decay=1.0, recency_days=2.0, before_weight=0.5)
    learned = [[Event(1), Event(0, 1), Event(1, 2), Event(2, DAY_MS)], [Event(3, 3 * DAY_MS)]]
    near = np.log1p(2) / 4**0.5 * np.exp(-1 / 2)
    assert answer(fit(learned, config), [Event(1, 2 * DAY_MS)]) == pytest.approx(
        {1: near * (1 + np.exp(-2) / 2), 2: near * np.exp(-1), 0: near * np.exp(-1) / 2}
    )


def test_many_neighbours_are_the_nearest_of_more():
    """More than there is room for at once: they are thinned out on the way, by nearness and then by age."""
    random = np.random.default_rng(3)
    learned = [
        [Event(int(item), 1000 * number + place) for place, item in enumerate(random.integers(0, N_ITEMS, size))]
        for number, size in enumerate(random.integers(1, 9, 300))
    ]
    # Half of them ask before the newest session ends, half after: the age of a session is then known beforehand.
    queries = [
        [Event(int(item), now + place) for place, item in enumerate(random.integers(0, N_ITEMS, 3))]
        for now in 6 * [250_000, 400_000]
    ]
    for neighbours, recency in product((1, 2, 7, 40), (0.001, 30.0)):
        config = SessionNeighboursConfig(neighbours=neighbours, recency_days=recency)
        ranked = fit(learned, config).recommend(Query(batch_of(queries), N_ITEMS))
        for i, session in enumerate(queries):
            wanted = naive.session_neighbours(learned, session, config)
            check_ranking(ranked.items[i], ranked.scores[i], wanted, N_ITEMS)


def test_of_equally_near_sessions_the_newest_are_taken():
    """Twenty alike, of 0 and 1 in turn: the three newest hold 1, 0 and 1, whichever item is looked up first."""
    learned = [[Event(number % 2, 1000 + number)] for number in range(20)]
    config = SessionNeighboursConfig(neighbours=3, position_decay=1e9, recency_days=1e9)
    for session in ([Event(0, 2000), Event(1, 2001)], [Event(1, 2000), Event(0, 2001)]):
        assert answer(fit(learned, config), session) == pytest.approx({1: 2 * np.log(3), 0: np.log(3)})


def test_only_the_last_distinct_items_ask():
    learned = [[Event(0, 1), Event(1, 2)], [Event(2, 3), Event(3, 4)]]
    model = fit(learned, SessionNeighboursConfig(query_events=1))
    assert set(answer(model, [Event(0, 10), Event(2, 11), Event(-1, 12), Event(2, 13)])) == {2, 3}


def test_sessions_without_a_known_item_have_no_answer():
    model = fit([[Event(0, 1), Event(1, 2)]])
    assert answer(model, []) == {}
    assert answer(model, [Event(-1, 5), Event(-1, 6)]) == {}
    assert answer(model, [Event(4, 5)]) == {}


@pytest.mark.parametrize("now", [-(2**63), -1, 0, 2**53, 2**63 - 1])
def test_a_clock_that_is_wrong_still_gets_an_answer(now):
    days = [1_700_000_000_000 + day * DAY_MS for day in range(900)]
    learned = [[Event(0, ts), Event(1 + day % 2, ts + 1)] for day, ts in enumerate(days)]
    scores = answer(fit(learned, SessionNeighboursConfig(recency_days=0.5)), [Event(0, now)])
    assert set(scores) == {0, 1, 2}
    assert np.isfinite(list(scores.values())).all()
    assert min(scores.values()) > 0


def test_of_old_sessions_alone_the_nearest_still_come():
    learned = [[Event(0, HOUR_MS), Event(1, 2 * HOUR_MS)], [Event(5, 5000 * DAY_MS)]]
    assert set(answer(fit(learned), [Event(0, 5000 * DAY_MS)])) == {0, 1}
