"""The ranker beyond what every model keeps to."""

import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

from nextcart.config import CovisitationConfig, ModelsConfig, RankerConfig
from nextcart.errors import ArtifactCorrupt
from nextcart.models.covisitation import Covisitation
from nextcart.models.model import FitOptions, Query, TrainingArrays
from nextcart.models.ranker import Ranker
from nextcart.models.ranker_training import fit_ranking
from nextcart.models.recommender import Recommender
from nextcart.models.vocabulary import Vocabulary
from nextcart.types import UNKNOWN, SessionBatch
from tests.naive import CARTS, CLICKS, Event, batch_of, sessions_of

# Every tree sees every feature: with so few of both, a share of them may miss the one that decides.
SMALL = RankerConfig(min_questions=20, min_leaf_rows=5, max_trees=30, folds=2, feature_share=1.0)
CONFIG = ModelsConfig(ranker=SMALL)
OPTIONS = FitOptions(seed=3, threads=2, deterministic=True)


@pytest.fixture(scope="module")
def ranked(shop) -> Recommender:
    return Recommender.fit(shop.vocabulary, shop.arrays, CONFIG, OPTIONS, ["ranker"])


def test_the_same_events_and_seed_give_the_same_bytes(shop, ranked):
    again = fit_ranking(shop.arrays, CONFIG, OPTIONS)
    first = ranked.models["ranker"].ranking
    assert again.forests.keys() == first.forests.keys() == {"clicks", "carts", "orders"}
    assert {name: array.tobytes() for name, array in again.arrays().items()} == {
        name: array.tobytes() for name, array in first.arrays().items()
    }


def test_each_objective_has_an_order_of_its_own(shop, ranked):
    lists = [ranked.recommend(shop.asking, 20, objective=name).ranked.items.tolist() for name in ("clicks", "orders")]
    assert lists[0] != lists[1]


def test_an_objective_without_questions_is_answered_by_the_forest_of_clicks(shop):
    clicks = shop.arrays.sessions
    only = SessionBatch(clicks.offsets, clicks.items, clicks.ts, np.zeros_like(clicks.types))
    found = Recommender.fit(shop.vocabulary, TrainingArrays(only, shop.arrays.counts), CONFIG, OPTIONS, ["ranker"])
    assert list(found.models["ranker"].ranking.forests) == ["clicks"]
    own = [found.models["ranker"].recommend(found_query(shop, name)).items.tolist() for name in ("clicks", "carts")]
    assert own[0] == own[1]


def found_query(shop, objective):
    return Query(shop.asking, 10, objective=objective)


def test_a_log_of_orders_alone_is_learned_from_too(shop):
    sessions = shop.arrays.sessions
    orders = SessionBatch(sessions.offsets, sessions.items, sessions.ts, np.full_like(sessions.types, 2))
    ranking = fit_ranking(TrainingArrays(orders, shop.arrays.counts), CONFIG, OPTIONS)
    assert set(ranking.forests) == {"clicks", "orders"}


def test_too_few_questions_give_no_forest(shop):
    few = ModelsConfig(ranker=RankerConfig(min_questions=10**9))
    assert fit_ranking(shop.arrays, few, OPTIONS).forests == {}


def test_no_candidate_passes_more_nodes_than_the_depth(shop):
    shallow = ModelsConfig(ranker=SMALL.model_copy(update={"depth": 2, "leaves": 30}))
    forest = fit_ranking(shop.arrays, shallow, OPTIONS).forests["clicks"]
    children = {node: (forest.lefts[node], forest.rights[node]) for node in range(len(forest.features))}

    def nodes_below(node: int) -> int:
        return 0 if node < 0 else 1 + max(map(nodes_below, children[node]))

    assert max(map(nodes_below, forest.roots)) == 2


def test_whoever_left_for_a_new_item_is_not_on_the_one_before(shop, ranked):
    """A ranker is asked with the session's unknown items in their places."""
    retrieval = ranked.models["ranker"].retrieval
    here = [Event(3), Event(1)]
    gone = [*here, Event(UNKNOWN)]
    steps = retrieval.feature_names.index("steps_since")
    found = [retrieval.candidates(Query(batch_of([session]), 10)) for session in (here, gone)]
    assert [each.features[each.items.tolist().index(1), steps] for each in found] == [0, 1]


def test_threads_that_wait_for_one_another_sleep():
    """Spinning, they would keep the cores from those that they wait for. OpenMP tells how it was loaded."""
    program = "from nextcart.models.ranker_training import load_lightgbm; load_lightgbm()"
    unset = {name: value for name, value in os.environ.items() if not name.startswith(("OMP_", "GOMP_"))}
    tell = unset | {"OMP_DISPLAY_ENV": "VERBOSE"}
    told = subprocess.run([sys.executable, "-c", program], env=tell, capture_output=True, check=True)
    assert b"GOMP_SPINCOUNT = '0'" in told.stderr


def test_importance_is_a_share_by_feature(ranked):
    ranking = ranked.models["ranker"].ranking
    for shares in ranking.importance.values():
        assert sum(shares.values()) == pytest.approx(1, abs=1e-3)
        assert set(shares) <= set(ranking.feature_names)
        assert list(shares.values()) == sorted(shares.values(), reverse=True)


def test_other_lists_than_those_learned_from_are_refused(shop, ranked):
    """As when a version's matrices were changed by hand."""
    members = [model for name, model in ranked.models.items() if name not in ("ranker", "covisitation")]
    other = Covisitation.fit(shop.arrays, CovisitationConfig(matrices={}), OPTIONS)
    with pytest.raises(ArtifactCorrupt, match=r"other sources \(around.*train again"):
        Ranker(ranked.models["ranker"].ranking, [*members, other])


def test_a_version_whose_matrices_were_changed_is_refused(shop, ranked, tmp_path):
    ranked.save(tmp_path)
    shutil.rmtree(tmp_path / "covisitation")
    (tmp_path / "covisitation").mkdir()
    Covisitation.fit(shop.arrays, CovisitationConfig(matrices={}), OPTIONS).save(tmp_path / "covisitation")
    with pytest.raises(ArtifactCorrupt, match="other sources"):
        Recommender.load(tmp_path)


def test_it_finds_what_hangs_on_the_type_of_the_last_event():
    """After a click on item 1 comes 3, after a cart of it 2: only log-bilinear and the ranker tell the two apart."""
    random = np.random.default_rng(8)
    sessions, ts = [], 1_700_000_000_000
    for _ in range(1200):
        ts += 60_000
        cart = bool(random.random() < 0.4)
        first, last = int(random.integers(4, 8)), 2 if cart else 3
        sessions.append([Event(first, ts), Event(1, ts + 1000, CARTS if cart else CLICKS), Event(last, ts + 2000)])
    learned, held_back = sessions[:1000], sessions[1000:]
    counts = np.bincount([event.item for session in learned for event in session], minlength=8)
    order = np.lexsort((np.arange(8), -counts))[: np.count_nonzero(counts)]
    row = {int(item): place for place, item in enumerate(order)}
    in_rows = [[event._replace(item=row[event.item]) for event in session] for session in sessions]
    arrays = TrainingArrays(batch_of(in_rows[: len(learned)]), counts[order].astype(np.int64))
    found = Recommender.fit(Vocabulary("int64", order.astype(np.int64), arrays.counts), arrays, CONFIG, OPTIONS)
    asked = batch_of([session[:-1] for session in in_rows[len(learned) :]])
    wanted = np.array([row[session[-1].item] for session in held_back])
    recall = {
        name: np.mean(found.recommend(asked, 1, model=name).ranked.items[:, 0] == wanted) for name in found.models
    }
    assert min(recall.pop("ranker"), recall.pop("log_bilinear")) > 0.98
    assert max(recall.values()) < 0.7


def test_it_learns_an_order_that_no_source_has():
    """After items 0 and 1 comes 2, after 1 alone 3: the last item is the same, co-visitation of it cannot tell."""
    random = np.random.default_rng(5)
    sessions = []
    for i in range(900):
        ts = 1_700_000_000_000 + 60_000 * i
        pair = bool(random.random() < 0.4)
        path = [0, 1, 2] if pair else [int(random.integers(4, 8)), 1, 3]
        sessions.append([Event(item, ts + 1000 * place) for place, item in enumerate(path)])
    counts = np.bincount([event.item for session in sessions for event in session])
    order = np.lexsort((np.arange(8), -counts))
    row = {int(item): place for place, item in enumerate(order)}
    arrays = TrainingArrays(
        batch_of([[Event(row[e.item], e.ts, e.type) for e in session] for session in sessions]),
        counts[order].astype(np.int64),
    )
    found = Recommender.fit(Vocabulary("int64", order.astype(np.int64), arrays.counts), arrays, CONFIG, OPTIONS)
    newest = sessions[-1][-1].ts
    asked = batch_of(
        [[Event(row[item], newest + 1000 * place) for place, item in enumerate(path)] for path in ([0, 1], [5, 1])]
    )
    assert found.recommend(asked, 1, model="ranker").ranked.items[:, 0].tolist() == [row[2], row[3]]


def test_it_learns_that_people_come_back_from_what_is_new():
    """Half of all look at something new and go back, the others go on: the log has no item twice in a row."""
    random = np.random.default_rng(4)
    sessions, ts = [], 1_700_000_000_000
    for number in range(800):
        ts += 60_000
        first, last, other = (int(item) for item in random.choice(12, 3, replace=False))
        ends = [12 + number, last] if random.random() < 0.5 else [other]
        sessions.append([Event(item, ts + 1000 * place) for place, item in enumerate([first, last, *ends])])
    counts = np.bincount([event.item for session in sessions for event in session], minlength=812).astype(np.int64)
    order = np.argsort(-counts, kind="stable")[: np.count_nonzero(counts)]
    row = np.zeros(len(counts), np.int64)
    row[order] = np.arange(len(order))
    batch = batch_of([[event._replace(item=int(row[event.item])) for event in session] for session in sessions])
    vocabulary = Vocabulary("int64", order.astype(np.int64), counts[order])
    fitted = Recommender.fit(vocabulary, TrainingArrays(batch, counts[order]), CONFIG, OPTIONS, ["ranker"])
    asking = batch_of([session[:2] for session in sessions_of(batch)[:200]])
    ranked = fitted.models["ranker"].recommend(Query(asking, 1))
    assert (ranked.items[:, 0] == asking.items[1::2]).mean() > 0.9
