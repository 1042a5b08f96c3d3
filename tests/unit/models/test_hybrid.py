import numpy as np
import pytest

from nextcart.config import HybridConfig
from nextcart.models.hybrid import Hybrid
from nextcart.models.model import Query
from nextcart.types import Source
from tests import naive
from tests.naive import check_ranking, sessions_of
from tests.shop import lists_of


def hybrid(recommender, **config) -> Hybrid:
    models = recommender.models
    return Hybrid(HybridConfig(**config), models["covisitation"], models["item2vec"], models["top_sellers"])


@pytest.mark.parametrize("k", [1, 10])
@pytest.mark.parametrize("with_bans", [False, True])
@pytest.mark.parametrize("with_allowed", [False, True])
def test_it_is_the_weighted_fusion_of_its_members_twice_as_long_lists(shop, recommender, k, with_bans, with_allowed):
    n = len(shop.asking)
    banned = lists_of(*([i, i + 1, 0] for i in range(n))) if with_bans else None
    allowed = lists_of(*(list(range(i % 3, 120, 3)) for i in range(n))) if with_allowed else None
    members = [recommender.models[name] for name in ("covisitation", "item2vec", "top_sellers")]
    lists = [member.recommend(Query(shop.asking, 2 * k, banned, allowed)).items for member in members]
    ranked = hybrid(recommender).recommend(Query(shop.asking, k, banned, allowed))
    for i, session in enumerate(sessions_of(shop.asking)):
        weights = naive.hybrid_weights(session, HybridConfig())
        wanted = naive.fuse([each[i][each[i] >= 0].tolist() for each in lists], weights)
        check_ranking(ranked.items[i], ranked.scores[i], wanted, k)


def test_what_it_fuses_depends_on_the_limit_and_not_on_how_far_is_looked(shop, recommender):
    wanted = hybrid(recommender).recommend(Query(shop.asking, 5))
    further = hybrid(recommender).recommend(Query(shop.asking, 8, limit=5))
    assert further.items[:, :5].tolist() == wanted.items.tolist()
    assert further.scores[:, :5].tolist() == wanted.scores.tolist()


def test_members_bring_no_backfill_of_their_own(shop, recommender):
    """An empty session has top sellers alone, each with their bit only."""
    ranked = hybrid(recommender).recommend(Query(shop.asking.slice(0, 1), 5))
    assert ranked.items.tolist() == recommender.top_sellers(5).items.tolist()
    assert (ranked.sources == Source.TOP_SELLERS).all()


def test_more_candidates_per_item_are_a_setting(shop, recommender):
    narrow = hybrid(recommender, candidates_per_limit=1).recommend(Query(shop.asking, 3))
    wide = hybrid(recommender, candidates_per_limit=20).recommend(Query(shop.asking, 3))
    assert narrow.items.tolist() != wide.items.tolist()


def test_weights_are_saved(recommender, tmp_path):
    hybrid(recommender, covisitation=0.1, item2vec=0.9, top_sellers=0.0).save(tmp_path)
    members = [recommender.models[name] for name in ("covisitation", "item2vec", "top_sellers")]
    assert Hybrid.load(tmp_path, *members).config == HybridConfig(covisitation=0.1, item2vec=0.9, top_sellers=0.0)


def test_all_weight_on_one_member_gives_its_list(shop, recommender):
    only = hybrid(recommender, covisitation=1.0, item2vec=0.0, top_sellers=0.0)
    ranked = only.recommend(Query(shop.asking, 4))
    wanted = recommender.models["covisitation"].recommend(Query(shop.asking, 4)).items
    found = np.where(ranked.scores > 0, ranked.items, -1)
    assert found.tolist() == wanted.tolist()
