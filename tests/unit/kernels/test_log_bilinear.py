"""Learning a log-bilinear model, against the same in float64, and on sessions with a rule in them."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nextcart.kernels import log_bilinear
from nextcart.kernels.log_bilinear import BLOCK, KINDS, Parameters, Sample, kinds_of, train_events
from nextcart.kernels.skipgram import alias_table
from tests import naive_log_bilinear as naive
from tests.naive import Event, batch_of

RATE = 0.05


def fresh(n_items: int, dim: int, context: int, seed: int = 1) -> tuple[Parameters, Parameters]:
    """Parameters, none of them 0, and sums of squares that no small gradient changes much."""
    random = np.random.default_rng(seed)
    learned = Parameters(
        random.normal(0, 0.5, (n_items, dim)).astype(np.float32),
        random.normal(0, 0.5, n_items).astype(np.float32),
        random.uniform(0.3, 1.2, (context, dim)).astype(np.float32),
        random.uniform(0.5, 1.5, (KINDS, dim)).astype(np.float32),
        random.normal(0, 0.3, (KINDS, dim)).astype(np.float32),
    )
    shapes = ((n_items, 1), *(array.shape for array in learned[1:]))
    return learned, Parameters(*(random.uniform(0.01, 0.1, shape).astype(np.float32) for shape in shapes))


def sampled(n_items: int, size: int, power: float = 5.0) -> Sample:
    """Of uneven weights, so that a few items are drawn again and again; of power 0 all are alike."""
    weights = np.random.default_rng(2).uniform(0.1, 1, n_items) ** power
    keep, other = alias_table(weights.astype(np.float32))
    return Sample(keep, other, np.log(weights / weights.sum() * size).astype(np.float32), size)


def log_of(sessions, kinds=None) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """All events that others precede, how many do, and the items and kinds of all sessions; by default one kind."""
    items = np.array([row for session in sessions for row in session], np.int32)
    places = np.array([place for session in sessions for place in range(len(session))], np.int64)
    events = np.flatnonzero(places > 0)
    kinds = np.zeros(len(items), np.uint8) if kinds is None else kinds
    return events, np.minimum(places[events], 255).astype(np.uint8), items, kinds


def random_log(n_items: int, sessions: int, seed: int = 3):
    random = np.random.default_rng(seed)
    drawn = [random.integers(n_items, size=random.integers(2, 7)).tolist() for _ in range(sessions)]
    return log_of(drawn, random.integers(KINDS, size=sum(map(len, drawn))).astype(np.uint8))


def check(log, learned: Parameters, squares: Parameters, sample: Sample, dropout: float = 0.0, seed: int = 5) -> None:
    wanted = naive.train(*log, learned, squares, sample, RATE, dropout, seed)
    train_events(*log, learned, squares, sample, RATE, dropout, seed)
    for found, hoped in zip((*learned, *squares), (*wanted[0], *wanted[1]), strict=True):
        np.testing.assert_allclose(found, hoped, rtol=2e-4, atol=2e-5)


def test_a_block_over_the_whole_catalogue_moves_everything_by_its_gradient():
    events, places, items, kinds = random_log(12, 60)
    kinds %= 7
    log = events[:BLOCK], places[:BLOCK], items, kinds
    learned, squares = fresh(12, 8, 3)
    before = [array.copy() for array in learned]
    check(log, learned, squares, sampled(12, 4))
    assert all((now[:7] != then[:7]).all() for now, then in zip(learned, before, strict=True))
    assert all((now[7:] == then[7:]).all() for now, then in zip(learned[3:], before[3:], strict=True))


def test_a_block_with_a_sample_corrects_for_how_often_items_are_drawn():
    events, places, items, kinds = random_log(60, 20)
    sample = sampled(60, 24)
    answers = set(items[events[:BLOCK]].tolist())
    drawn = naive.drawn_items(naive.random_words(5), sample)
    assert answers & set(drawn)
    assert len(set(drawn)) < len(drawn)
    check((events[:BLOCK], places[:BLOCK], items, kinds), *fresh(60, 8, 3), sample)


@settings(max_examples=25, deadline=None)
@given(
    n_items=st.integers(2, 90),
    size=st.integers(1, 40),
    dim=st.sampled_from([8, 16]),
    context=st.integers(1, 6),
    dropout=st.sampled_from([0.0, 0.3, 0.75]),
    seed=st.integers(0, 2**63 - 1),
)
def test_blocks_one_after_another_are_those_of_float64(n_items, size, dim, context, dropout, seed):
    log = random_log(n_items, 30, seed % 1000)
    check(log, *fresh(n_items, dim, context), sampled(n_items, size), dropout, seed)


@pytest.mark.parametrize("dropout", [0.0, 0.25, 0.6])
def test_what_is_hidden_is_made_up_for_by_what_is_shown(dropout):
    shown = np.empty((BLOCK, 512), np.float32)
    log_bilinear._hide(shown, dropout, np.uint64(12345))
    assert np.unique(shown).tolist() == pytest.approx([0.0, 1 / (1 - dropout)] if dropout else [1.0])
    assert shown.mean() == pytest.approx(1.0, abs=0.05)
    assert (shown == 0).mean() == pytest.approx(dropout, abs=0.02)


def trained(log, n_items: int, *, seed: int = 3, epochs: int = 1, dropout: float = 0.3, size: int = 8) -> Parameters:
    learned, squares = fresh(n_items, 16, 3)
    learned.vectors[:] *= 0.2
    learned.biases[:] = 0
    learned = learned._replace(**dict(zip(("kind_weights", "kind_vectors"), naive.no_kinds(16), strict=True)))
    squares = Parameters(*(np.full_like(array, 1e-6) for array in squares))
    sample = sampled(n_items, size, 0.0)
    order = np.random.default_rng(7).permutation(len(log[0]))
    for epoch in range(epochs):
        train_events(log[0][order], log[1][order], *log[2:], learned, squares, sample, RATE, dropout, seed + epoch)
    return learned


def test_the_same_seed_gives_the_same_bytes():
    log = random_log(60, 60)
    first, again, other = (trained(log, 60, seed=seed) for seed in (3, 3, 4))
    assert [array.tobytes() for array in first] == [array.tobytes() for array in again]
    assert first.vectors.tobytes() != other.vectors.tobytes()


def best_after(session, learned: Parameters) -> int:
    events = [Event(row) if isinstance(row, int) else row for row in session]
    return int((learned.vectors @ naive.described(events, learned) + learned.biases).argmax())


@pytest.mark.parametrize("size", [8, 80])
def test_what_comes_after_an_item_is_learned(size):
    """After each of the first 30 items comes one of the others; with a sample, and over the whole catalogue."""
    follower = 30 + np.random.default_rng(1).permutation(30)
    starts = np.tile(np.arange(30), 20)
    learned = trained(log_of([[a, follower[a]] for a in starts]), 60, epochs=4, size=size)
    assert np.mean([best_after([a], learned) == follower[a] for a in range(30)]) > 0.9


def test_what_comes_after_an_item_depends_on_its_place():
    """Of eight items, each is followed at once by one item, or, after any of some others, by another."""
    random = np.random.default_rng(2)
    sessions = []
    for _ in range(1500):
        a, between = random.integers(8), 24 + random.integers(8)
        sessions.append([a, 8 + (a + 3) % 8] if random.random() < 0.5 else [a, between, 16 + (a * 3 + 1) % 8])
    learned = trained(log_of(sessions), 32, epochs=6, dropout=0.1)
    right = [best_after([a], learned) == 8 + (a + 3) % 8 for a in range(8)]
    right += [best_after([a, 24 + b], learned) == 16 + (a * 3 + 1) % 8 for a in range(8) for b in range(8)]
    assert np.mean(right) > 0.9


def test_what_comes_after_an_item_depends_on_its_type_and_on_the_pause_before_it():
    """A click leads on to one item, a cart or a long pause before a click to another."""
    random = np.random.default_rng(6)
    sessions = []
    for _ in range(2500):
        a, case = int(random.integers(8)), int(random.integers(3))
        event = (Event(a, 1_000), Event(a, 1_000, 1), Event(a, 90_000_000))[case]
        follower = 8 + 8 * case + (a * (3, 5, 7)[case] + 1) % 8
        sessions.append([Event(int(random.integers(32, 40))), event, Event(follower, 90_001_000)])
    batch = batch_of(sessions)
    kinds = kinds_of(batch.offsets, batch.ts, batch.types)
    events, places, *_ = log = log_of([[event.item for event in session] for session in sessions], kinds)
    last = places == 2
    learned = trained((events[last], places[last], *log[2:]), 40, epochs=8, dropout=0.1)
    assert np.mean([best_after(session[:2], learned) == session[2].item for session in sessions[:100]]) > 0.9


@given(st.lists(st.lists(st.tuples(st.integers(0, 200_000_000), st.integers(0, 2)), max_size=5), max_size=4))
def test_the_kind_of_an_event_is_its_type_and_the_pause_before_it(drawn):
    sessions = [[Event(0, ts, kind) for ts, kind in sorted(session)] for session in drawn]
    batch = batch_of(sessions)
    found = kinds_of(batch.offsets, batch.ts, batch.types)
    assert found.dtype == np.uint8
    assert found.tolist() == [kind for session in sessions for kind in naive.kinds(session)]


def test_pauses_part_at_their_bounds():
    session = [Event(0, ts) for ts in (0, 0, 2_999, 5_999, 5_999 + 14_999, 5_999 + 29_999, 10**9, 10**12)]
    batch = batch_of([session])
    assert kinds_of(batch.offsets, batch.ts, batch.types).tolist() == [0, 1, 1, 2, 2, 3, 9, 9]


def test_the_loss_on_what_is_learned_falls():
    random = np.random.default_rng(4)
    sessions = [((np.arange(4) + random.integers(50)) % 50).tolist() for _ in range(200)]
    log = log_of(sessions)
    events = [list(map(Event, session)) for session in sessions]
    losses = [naive.mean_loss(events, trained(log, 50, epochs=epochs)) for epochs in (0, 1, 4)]
    assert losses[0] > losses[1] > losses[2]
    assert losses[0] > np.log(50) - 0.5
