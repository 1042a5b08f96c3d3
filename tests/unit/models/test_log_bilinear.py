"""Log-bilinear from end to end: fitted on a shop, asked, saved and asked again."""

import mmap
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from nextcart.config import LogBilinearConfig
from nextcart.errors import ArtifactCorrupt, RunFailed
from nextcart.models.examples import fold_at
from nextcart.models.log_bilinear import LogBilinear, _drawn, _learned_events, _weights
from nextcart.models.model import FitOptions, Query, TrainingArrays
from nextcart.types import SessionBatch, Source
from tests import naive_log_bilinear
from tests.naive import Event, batch_of, check_ranking, sessions_of
from tests.shop import Shop, lists_of

CONFIG = LogBilinearConfig(dim=16, context_events=4, epochs=4, negatives=32, top_n=12, query_events=3)
DETERMINISTIC = FitOptions(seed=5, deterministic=True)


def fit(arrays: TrainingArrays, config: LogBilinearConfig = CONFIG, options: FitOptions = DETERMINISTIC) -> LogBilinear:
    return LogBilinear.fit(arrays, config, options)


@pytest.fixture(scope="module")
def model(shop: Shop) -> LogBilinear:
    return fit(shop.arrays)


def bytes_of(model: LogBilinear) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in model.arrays().items()}


def test_a_shop_is_answered_as_in_python(shop, model):
    bans = lists_of(*([i] for i in range(len(shop.asking))))
    ranked = model.recommend(Query(shop.asking, 12, bans))
    for i, session in enumerate(sessions_of(shop.asking)):
        logs = naive_log_bilinear.log_scores(session, model.learned, model.nearest, CONFIG.query_events, {i})
        wanted = {row: float(np.exp(score)) for row, score in logs.items()}
        check_ranking(ranked.items[i], ranked.scores[i], wanted, 12, rel=1e-4)
    assert ((ranked.sources == Source.LOG_BILINEAR) == (ranked.items >= 0)).all()


def test_the_nearest_are_those_of_the_greatest_cosine_the_item_among_them(model):
    vectors = model.learned.vectors.astype(np.float64)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    cosines = vectors @ vectors.T
    least = np.sort(cosines, axis=1)[:, -CONFIG.top_n]
    assert model.nearest.shape == (len(vectors), CONFIG.top_n)
    for row, near in enumerate(model.nearest.tolist()):
        assert row in near
        assert len(set(near)) == CONFIG.top_n
        assert cosines[row, near].min() >= least[row] - 1e-5


def test_what_follows_in_a_shop_is_of_the_same_cluster(shop, model):
    n = len(shop.vocabulary)
    ranked = model.recommend(Query(batch_of([[Event(row)] for row in range(n)]), 6))
    same = shop.clusters[ranked.items] == shop.clusters[np.arange(n)][:, None]
    assert same[ranked.items >= 0].mean() > 2 * np.mean(shop.clusters[:, None] == shop.clusters[None])


def test_a_saved_model_answers_as_before_from_mapped_arrays(shop, model, tmp_path):
    model.save(tmp_path)
    loaded = LogBilinear.load(tmp_path)
    assert loaded.config == model.config
    before, after = (each.recommend(Query(shop.asking, 20)) for each in (model, loaded))
    assert all(getattr(before, f).tobytes() == getattr(after, f).tobytes() for f in ("items", "scores", "sources"))
    for name, array in loaded.arrays().items():
        assert not array.flags.writeable
        base = array
        while isinstance(base, np.ndarray) and base.base is not None:
            base = base.base
        assert isinstance(base, mmap.mmap), name


def test_a_fitted_model_cannot_be_written_to(model):
    assert not any(array.flags.writeable for array in model.arrays().values())


@pytest.mark.parametrize("name", ["vectors", "biases", "weights", "kind_weights", "kind_vectors", "nearest"])
def test_a_model_without_one_of_its_arrays_is_no_model(model, tmp_path, name):
    model.save(tmp_path)
    (tmp_path / f"{name}.npy").unlink()
    with pytest.raises(ArtifactCorrupt, match="cannot be read"):
        LogBilinear.load(tmp_path)


def test_the_seed_decides_and_threads_change_nothing(shop, model):
    alike = [fit(shop.arrays, options=FitOptions(seed=5, threads=threads)) for threads in (1, 3)]
    assert all(bytes_of(each) == bytes_of(model) for each in alike)
    other = fit(shop.arrays, options=replace(DETERMINISTIC, seed=6))
    assert bytes_of(other)["vectors"] != bytes_of(model)["vectors"]


def test_a_training_that_left_all_bounds_names_the_learning_rate(shop):
    with pytest.raises(RunFailed, match=r"lower models\.log_bilinear\.learning_rate"):
        fit(shop.arrays, CONFIG.model_copy(update={"learning_rate": 1e30}))


@pytest.mark.parametrize("sessions", [[], [[Event(0)]], [[Event(0), Event(0)]], [[Event(0)], [Event(1)]]])
def test_where_nothing_can_be_learned_there_is_a_model_all_the_same(sessions):
    batch = batch_of(sessions)
    counts = np.bincount(batch.items).astype(np.int64)
    fitted = fit(TrainingArrays(batch, counts))
    assert len(fitted.learned.vectors) == len(counts)
    ranked = fitted.recommend(Query(batch_of([[], [Event(-1)]]), 3))
    assert (ranked.items == -1).all()


@given(
    lengths=st.lists(st.tuples(st.integers(1, 9), st.integers(0, 5)), min_size=1, max_size=12),
    most=st.integers(1, 40),
)
def test_of_too_many_events_those_of_the_newest_sessions_are_learned_from(lengths, most):
    sessions = [[Event(0, ts)] * n for n, ts in lengths]
    events, places = _learned_events(batch_of(sessions), most)
    assert (events.dtype, places.dtype) == (np.int64, np.uint8)
    assert list(zip(events.tolist(), places.tolist(), strict=True)) == naive_log_bilinear.learned_events(sessions, most)


def test_later_passes_draw_events_by_age_and_type():
    """A tenth of the log's time old: half as often as the newest, as the share says; a cart .3 times that."""
    sessions = [[Event(0, ts), Event(1, ts, kind)] for ts, kind in ((0, 0), (900, 0), (900, 1), (1000, 0))]
    batch = batch_of(sessions)
    events, _ = _learned_events(batch, 100)
    weights = _weights(batch, events, LogBilinearConfig(half_weight_share=0.1, purchase_weight=0.3))
    assert weights / weights[-1] == pytest.approx([1 / 11, 0.5, 0.15, 1.0])
    assert weights.mean() == pytest.approx(1.0)
    alike = _weights(batch, events, LogBilinearConfig(half_weight_share=0.0, purchase_weight=1.0))
    assert alike.tolist() == [1.0] * 4


def test_without_clicks_orders_are_drawn_as_carts_are():
    batch = batch_of([[Event(0, 0, 1), Event(1, 5, 1)], [Event(0, 0, 2), Event(1, 5, 2)]])
    events, _ = _learned_events(batch, 100)
    assert _weights(batch, events, LogBilinearConfig()).tolist() == [1.0, 1.0]


@given(st.lists(st.floats(0, 9, width=32), min_size=1, max_size=20), st.integers(0, 2**32))
def test_an_event_is_drawn_its_weight_s_whole_part_or_once_more(weights, seed):
    given_weights = np.array(weights, np.float32)
    times = np.bincount(_drawn(given_weights, np.random.default_rng(seed)), minlength=len(weights))
    assert ((times == np.floor(given_weights)) | (times == np.ceil(given_weights))).all()


def test_events_are_drawn_as_often_as_their_weights_say():
    weights = np.repeat(np.array([0.25, 1.5, 3.0], np.float32), 4000)
    times = np.bincount(_drawn(weights, np.random.default_rng(3)), minlength=len(weights)).reshape(3, 4000)
    assert times.mean(axis=1) == pytest.approx([0.25, 1.5, 3.0], abs=0.05)


def test_no_place_is_counted_beyond_255():
    sessions = [[Event(0)], [Event(0)] * 300]
    events, places = _learned_events(batch_of(sessions), 1000)
    assert list(zip(events.tolist(), places.tolist(), strict=True)) == naive_log_bilinear.learned_events(sessions, 1000)
    assert places.tolist()[250:] == [251, 252, 253, 254] + [255] * 45


def test_fewer_steps_are_those_of_the_newest_sessions_alone(shop):
    """So that what is learned from a long log is what is learned from its end."""
    sessions = sessions_of(shop.arrays.sessions)
    most = sum(len(session) - 1 for session in sessions) // 3
    kept = {event for event, _ in naive_log_bilinear.learned_events(sessions, most)}
    starts = shop.arrays.sessions.offsets.tolist()
    newest = [each for start, each in zip(starts, sessions, strict=False) if start + 1 in kept and len(each) > 1]
    short = CONFIG.model_copy(update={"max_steps": most})
    alone = fit(TrainingArrays(batch_of(newest), shop.arrays.counts), short)
    assert 0 < len(newest) < len(sessions) / 2
    assert bytes_of(fit(shop.arrays, short)) == bytes_of(alone)


def test_nothing_of_what_comes_later_is_learned(shop):
    """Fitted on what was known at a time it is the same, whatever items came after."""
    sessions = shop.arrays.sessions
    cut = int(np.median(sessions.ts))
    items = np.where(sessions.ts < cut, sessions.items, sessions.items[::-1])
    changed = SessionBatch(sessions.offsets, items, sessions.ts, sessions.types)
    assert (items != sessions.items).any()
    counts = np.bincount(items, minlength=shop.arrays.n_items).astype(shop.arrays.counts.dtype)
    pasts = [fold_at(arrays, cut).past for arrays in (shop.arrays, TrainingArrays(changed, counts))]
    assert 0 < len(pasts[0].sessions.items) < len(sessions.items)
    before, after = map(fit, pasts)
    assert bytes_of(before) == bytes_of(after)


@pytest.mark.parametrize(
    "wrong", [{"dim": 12}, {"context_events": 256}, {"dropout": 1.0}, {"learning_rate": 0.0}, {"negatives": 0}]
)
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(ValidationError):
        LogBilinearConfig(**wrong)
