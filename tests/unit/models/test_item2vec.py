import numpy as np
import pytest

from nextcart.config import Item2vecConfig
from nextcart.errors import ArtifactCorrupt, RunFailed
from nextcart.models import item2vec as item2vec_module
from nextcart.models.item2vec import Item2vec
from nextcart.models.model import FitOptions, Query, TrainingArrays, frozen, save_model
from nextcart.types import ItemLists, Source
from tests import naive
from tests.naive import Event, batch_of, check_ranking, sessions_of
from tests.shop import lists_of

DETERMINISTIC = FitOptions(seed=5, deterministic=True)


@pytest.fixture(scope="module")
def model(shop) -> Item2vec:
    return Item2vec.fit(shop.arrays, Item2vecConfig(), DETERMINISTIC)


def of(vectors: np.ndarray, **config) -> Item2vec:
    """A model of vectors that are told."""
    config = Item2vecConfig(dim=vectors.shape[1], **config)
    return Item2vec.of_vectors(frozen(vectors.astype(np.float32)), len(vectors), config, DETERMINISTIC)


def test_items_with_enough_events_have_a_vector_of_length_one(shop, model):
    vectors = model.vectors
    assert vectors.shape == (np.count_nonzero(shop.arrays.counts >= 5), 32)
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(np.ones(len(vectors)), abs=1e-5)


def test_the_nearest_of_an_item_are_of_its_cluster(shop, model):
    popular = np.flatnonzero(shop.arrays.counts >= 20)
    hits = [
        shop.clusters[model.similar(Query(batch_of([[Event(int(row))]]), 5, lists_of([int(row)]))).items[0]]
        == shop.clusters[row]
        for row in popular
    ]
    assert len(popular) > 30
    assert np.mean(hits) > 0.8


def test_answers_are_those_of_brute_force(shop):
    config = Item2vecConfig(top_n=1024, query_decay=0.5, cosine_power=2)
    model = Item2vec.fit(shop.arrays, config, DETERMINISTIC)
    bans = [set(range(i % 3, 150, 3)) for i in range(len(shop.asking))]
    ranked = model.recommend(Query(shop.asking, 15, lists_of(*map(sorted, bans))))
    for i, session in enumerate(sessions_of(shop.asking)):
        wanted = naive.permitted(naive.item2vec_query(session, model.vectors, config), bans[i])
        check_ranking(ranked.items[i], ranked.scores[i], wanted, 15)
    assert set(np.unique(ranked.sources)) == {0, Source.ITEM2VEC}


def test_the_lists_hold_the_nearest_alone_and_the_item_itself_first(shop, model):
    lists, n = model.neighbours, len(model.vectors)
    sizes = np.diff(lists.offsets)
    assert len(lists.offsets) == len(shop.arrays.counts) + 1
    assert sizes[:n].max() <= 40
    assert not sizes[n:].any()
    assert lists.items[lists.offsets[:n]].tolist() == list(range(n))
    cosines = model.vectors @ model.vectors.T
    for row in range(n):
        mine = slice(lists.offsets[row], lists.offsets[row + 1])
        assert lists.weights[mine] == pytest.approx(cosines[row, lists.items[mine]] ** 16, abs=1e-5)


def test_an_allow_list_is_searched_exactly(shop):
    """Also where no kept neighbour would reach into it."""
    config = Item2vecConfig(top_n=2)
    model = Item2vec.fit(shop.arrays, config, DETERMINISTIC)
    allow = lists_of(*([100, 110, 120] for _ in range(len(shop.asking))))
    ranked = model.recommend(Query(shop.asking, 5, None, allow))
    for i, session in enumerate(sessions_of(shop.asking)):
        wanted = naive.permitted(naive.item2vec_query(session, model.vectors, config), (), {100, 110, 120})
        check_ranking(ranked.items[i], ranked.scores[i], wanted, 5)
    assert (ranked.items >= 0).any()


def test_ties_go_to_the_smaller_row():
    """Rows 0, 2, 4, … are equally near, and row 9 is nearer."""
    vectors = np.zeros((10, 2))
    vectors[::2] = [0.6, 0.8]
    vectors[1::2] = [0.28, 0.96]
    vectors[9] = [1.0, 0.0]
    session = batch_of([[Event(9)]])
    for k in range(1, 11):
        items = of(vectors).recommend(Query(session, k)).items[0].tolist()
        assert items == [9, 0, 2, 4, 6, 8, 1, 3, 5, 7][:k]


def test_similar_items_come_with_their_cosines():
    vectors = np.array([[1.0, 0.0], [0.6, 0.8], [0.8, 0.6], [0.0, 1.0]])
    ranked = of(vectors).similar(Query(batch_of([[Event(3), Event(0)]]), 4, lists_of([0])))
    assert ranked.items.tolist() == [[2, 1, -1, -1]]
    assert ranked.scores[0].tolist() == pytest.approx([0.8, 0.6, 0.0, 0.0])


def test_what_others_ban_does_not_change_an_answer():
    """Many equal vectors: how deep the search goes for a long ban must not show in the answer beside it."""
    vectors = np.tile([[1.0, 0.0]], (30, 1))
    session = [Event(0)]
    alone = of(vectors).recommend(Query(batch_of([session]), 4, lists_of([])))
    beside = of(vectors).recommend(Query(batch_of([session, session]), 4, lists_of([], list(range(20)))))
    assert alone.items[0].tolist() == beside.items[0].tolist() == [0, 1, 2, 3]
    assert beside.items[1].tolist() == [20, 21, 22, 23]


def test_a_session_asks_with_its_last_five_events_newest_first():
    session = batch_of([[Event(7), *(Event(row, row) for row in range(5))]])
    ranked = of(np.eye(8)).recommend(Query(session, 8))
    assert ranked.items[0].tolist() == [4, 3, 2, 1, 0, -1, -1, -1]
    assert ranked.scores[0, :5].tolist() == pytest.approx([1.0, 0.6, 0.36, 0.216, 0.1296])


def test_what_is_opposite_is_not_near():
    ranked = of(np.array([[1.0, 0.0], [-1.0, 0.0]])).recommend(Query(batch_of([[Event(0)]]), 2))
    assert ranked.items.tolist() == [[0, -1]]


def test_an_item_without_a_vector_has_nothing_similar(shop, model):
    rare = len(shop.arrays.counts) - 1
    assert rare >= len(model.vectors)
    assert (model.similar(Query(batch_of([[Event(rare)]]), 5)).items == -1).all()


def test_no_item_has_enough_events(shop):
    model = Item2vec.fit(shop.arrays, Item2vecConfig(min_count=10**6), DETERMINISTIC)
    assert model.vectors.shape == (0, 32)
    assert (model.recommend(Query(shop.asking, 5)).items == -1).all()
    banned: ItemLists = lists_of(*([0] for _ in range(len(shop.asking))))
    assert (model.recommend(Query(shop.asking, 5, banned, banned)).items == -1).all()


def test_a_single_vector(tmp_path):
    session = batch_of([[Event(0), Event(0, 1)]])
    model = Item2vec.fit(TrainingArrays(session, np.array([2])), Item2vecConfig(min_count=1), DETERMINISTIC)
    assert model.recommend(Query(session, 3)).items.tolist() == [[0, -1, -1]]
    model.save(tmp_path)
    assert Item2vec.load(tmp_path).recommend(Query(session, 3)).items.tolist() == [[0, -1, -1]]


def test_a_model_saved_without_neighbours_is_refused_and_says_what_to_do(model, tmp_path):
    save_model(tmp_path, model.name, model.config, {"vectors": model.vectors})
    with pytest.raises(ArtifactCorrupt, match="train again"):
        Item2vec.load(tmp_path)


def test_the_seed_decides_the_vectors(shop, model):
    other = Item2vec.fit(shop.arrays, Item2vecConfig(), FitOptions(seed=6, deterministic=True))
    again = Item2vec.fit(shop.arrays, Item2vecConfig(), FitOptions(seed=5, threads=4, deterministic=True))
    assert other.vectors.tobytes() != model.vectors.tobytes()
    assert again.vectors.tobytes() == model.vectors.tobytes()


@pytest.mark.parametrize("seed", [0, 2**63 - 1])
def test_any_seed_will_do(shop, seed):
    vectors = Item2vec.fit(shop.arrays, Item2vecConfig(epochs=1), FitOptions(seed=seed)).vectors
    assert np.isfinite(vectors).all()


def test_a_rate_that_diverges_fails_and_names_the_setting(shop):
    with pytest.raises(RunFailed, match="learning_rate"):
        Item2vec.fit(shop.arrays, Item2vecConfig(learning_rate=1e6), DETERMINISTIC)


def test_the_rate_falls_in_one_line_over_all_epochs(shop, monkeypatch):
    """From the learning rate to a thousandth of it, by events done; no epoch begins anew."""
    steps = []

    def spy(first, stop, offsets, *arrays_and_settings):
        rate_start, rate_stop, seed = arrays_and_settings[-3:]
        steps.append((int(offsets[stop] - offsets[first]), rate_start, rate_stop, seed))

    monkeypatch.setattr(item2vec_module, "train_sessions", spy)
    Item2vec.fit(shop.arrays, Item2vecConfig(epochs=4, learning_rate=0.2), DETERMINISTIC)
    events = [step[0] for step in steps]
    done = np.cumsum([0, *events]) / (4 * shop.arrays.sessions.n_events)
    line = 0.2 + (0.2 * 0.001 - 0.2) * done
    assert sum(events) == 4 * shop.arrays.sessions.n_events
    assert [step[1] for step in steps] == pytest.approx(line[:-1])
    assert [step[2] for step in steps] == pytest.approx(line[1:])
    assert len({step[3] for step in steps}) == len(steps) > 4
