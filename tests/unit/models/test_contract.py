import pytest

from nextcart.config import Item2vecConfig, LogBilinearConfig, ModelsConfig, RankerConfig
from tests.contract import CHECKS, Subject

EXACT = ModelsConfig()
CLUSTERED = ModelsConfig(
    item2vec=Item2vecConfig(exact_below=100, nprobe=2), log_bilinear=LogBilinearConfig(exact_below=100, nprobe=2)
)
"""Neighbours from an inverted file of few cells, two of which are looked through for each."""

FEW = ModelsConfig(ranker=RankerConfig(min_questions=20, min_leaf_rows=5, max_trees=20, folds=2))
"""A ranker that learns from as few questions as the shop poses."""

CONFIGS = (EXACT, CLUSTERED)

SUBJECTS = {
    "top_sellers": ("top_sellers", EXACT),
    "covisitation": ("covisitation", EXACT),
    "bought_together": ("bought_together", EXACT),
    "item2vec": ("item2vec", EXACT),
    "item2vec-clustered": ("item2vec", CLUSTERED),
    "log_bilinear": ("log_bilinear", EXACT),
    "log_bilinear-clustered": ("log_bilinear", CLUSTERED),
    "session_neighbours": ("session_neighbours", EXACT),
    "hybrid": ("hybrid", EXACT),
    "ranker": ("ranker", FEW),
    "hybrid-clustered": ("hybrid", CLUSTERED),
}


@pytest.fixture(scope="module", params=SUBJECTS.values(), ids=SUBJECTS.keys())
def subject(request, shop) -> Subject:
    name, config = request.param
    return Subject.fit(name, config, shop)


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__.removeprefix("check_"))
def test_contract(check, subject, tmp_path):
    check(subject, tmp_path)


def test_the_clustered_models_miss_neighbours_that_the_exact_ones_have(shop):
    exact, clustered = (Subject.fit("item2vec", config, shop).recommender.models["item2vec"] for config in CONFIGS)
    assert exact.vectors.tobytes() == clustered.vectors.tobytes()
    assert len(clustered.vectors) >= 100
    assert clustered.neighbours.weights.sum() < exact.neighbours.weights.sum()
