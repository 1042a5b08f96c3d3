import numpy as np
import pytest

from nextcart.models.recommender import Recommender
from nextcart.models.rules import RowRules
from nextcart.types import Ranked, Source
from tests import naive_log_bilinear, naive_rules
from tests.naive import CARTS, CLICKS, Event, Neighbours, batch_of, sessions_of
from tests.shop import lists_of


def neighbours(lists, n: int) -> Neighbours:
    return {
        row: list(zip(lists.items[a:b].tolist(), lists.weights[a:b].tolist(), strict=True))
        for row, (a, b) in enumerate(zip(lists.offsets[:-1], lists.offsets[1:], strict=True))
    }


def explained(recommender: Recommender, sessions, ranked: Ranked) -> list[list[int]]:
    found = recommender.explain(sessions, ranked)
    assert found.shape == ranked.items.shape
    assert found.dtype == np.int32
    return found.tolist()


def check(recommender, sessions, ranked, source: Source, oracle) -> None:
    """That all items which one source brought are explained by what the oracle says, and nothing else is."""
    events = explained(recommender, sessions, ranked)
    wanted = [
        [oracle(session, item) if bits & source else -1 for item, bits in zip(items, sources, strict=True)]
        for session, items, sources in zip(
            sessions_of(sessions), ranked.items.tolist(), ranked.sources.tolist(), strict=True
        )
    ]
    assert events == wanted
    assert any(event > 0 for row in events for event in row)


def test_covisitation(shop, recommender):
    model = recommender.models["covisitation"]
    lists, config = neighbours(model.matrices["main"], len(shop.vocabulary)), model.config
    weights = config.query_type_weights.as_tuple()
    ranked = recommender.recommend(shop.asking, 15, model="covisitation").ranked
    check(
        recommender,
        shop.asking,
        ranked,
        Source.COVISITATION,
        lambda session, item: naive_rules.by_lists(
            session, item, lists, config.query_events, config.query_decay, weights
        ),
    )


def test_item2vec(shop, recommender):
    model = recommender.models["item2vec"]
    lists, config = neighbours(model.neighbours, len(shop.vocabulary)), model.config
    ranked = recommender.recommend(shop.asking, 15, model="item2vec").ranked
    check(
        recommender,
        shop.asking,
        ranked,
        Source.ITEM2VEC,
        lambda session, item: naive_rules.by_lists(
            session, item, lists, config.query_events, config.query_decay, (1, 1, 1)
        ),
    )


def test_bought_together(shop, recommender):
    lists = neighbours(recommender.models["bought_together"].complements, len(shop.vocabulary))
    ranked = recommender.recommend(shop.asking, 15, model="bought_together").ranked
    check(
        recommender,
        shop.asking,
        ranked,
        Source.BOUGHT_TOGETHER,
        lambda session, item: naive_rules.by_basket(session, item, lists, 10),
    )


def test_log_bilinear(shop, recommender):
    model = recommender.models["log_bilinear"]
    vectors = model.learned.vectors.astype(np.float64)
    ranked = recommender.recommend(shop.asking, 15, model="log_bilinear").ranked

    def greatest(session, item):
        added = naive_log_bilinear.shares(session, model.learned)
        return max(added, key=lambda event: (added[event] @ vectors[item], event))

    check(recommender, shop.asking, ranked, Source.LOG_BILINEAR, greatest)


def test_session_neighbours(shop, recommender):
    model = recommender.models["session_neighbours"]
    index, config = model.index, model.config
    holding = {
        row: index.item_sessions[a:b].tolist()
        for row, (a, b) in enumerate(zip(index.item_offsets[:-1], index.item_offsets[1:], strict=True))
    }
    ranked = recommender.recommend(shop.asking, 15, model="session_neighbours").ranked
    check(
        recommender,
        shop.asking,
        ranked,
        Source.SESSION_NEIGHBOURS,
        lambda session, item: naive_rules.by_shared_sessions(
            session, item, holding, index.idf.tolist(), config.query_events, config.position_decay
        ),
    )


def test_items_of_a_shelf_that_no_list_holds_are_explained_by_their_vectors(recommender):
    vectors = recommender.models["item2vec"].vectors.astype(np.float64)
    lists = recommender.models["item2vec"].neighbours
    held = lists.items[lists.offsets[0] : lists.offsets[1]]
    far = [row for row in range(1, len(vectors)) if row not in held and vectors[row] @ vectors[0] > 0]
    sessions = batch_of([[Event(0), Event(-1, 5)]])
    ranked = recommender.recommend(sessions, 3, model="item2vec", allow=lists_of(far)).ranked
    assert explained(recommender, sessions, ranked) == [[0, 0, 0]]


@pytest.mark.parametrize("model", ["hybrid", "ranker"])
def test_the_event_that_brought_an_item_is_one_of_the_session(shop, recommender, model):
    ranked = recommender.recommend(shop.asking, 20, model=model).ranked
    lengths = np.diff(shop.asking.offsets)[:, None]
    events = np.array(explained(recommender, shop.asking, ranked))
    assert ((events >= -1) & (events < np.maximum(lengths, 0))).all()
    fill = ranked.sources == int(Source.TOP_SELLERS)
    assert fill.any()
    assert (events[fill] == -1).all()
    own = (ranked.sources & int(Source.COVISITATION | Source.ITEM2VEC)) != 0
    if model == "hybrid":
        assert (events[own] >= 0).all()


def test_history_is_explained_by_the_newest_event_on_the_item(recommender):
    sessions = batch_of([[Event(3, 0, CLICKS), Event(4, 1, CLICKS), Event(3, 2, CARTS), Event(-1, 3)]])
    bit = np.uint8(Source.HISTORY)
    ranked = Ranked(np.array([[3, 9]], np.int32), np.ones((1, 2), np.float32), np.array([[bit, bit]]))
    assert explained(recommender, sessions, ranked) == [[2, -1]]


def test_a_pin_is_explained_by_no_event(recommender):
    n = len(recommender.vocabulary)
    rules = RowRules.of(1, n, pins=np.array([n - 1], np.int32), positions=np.array([1], np.int32))
    sessions = batch_of([[Event(0)]])
    ranked = recommender.recommend(sessions, 3, model="covisitation", rules=rules).ranked
    assert explained(recommender, sessions, ranked)[0][0] == -1
    assert Source.names(int(ranked.sources[0, 0])) == ["pinned"]
