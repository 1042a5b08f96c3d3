from __future__ import annotations

import pytest

from nextcart.config import ModelsConfig
from nextcart.models.fitting import MODEL_NAMES
from nextcart.models.model import FitOptions
from nextcart.models.recommender import Recommender
from tests.shop import Shop, make_shop

MODELS = tuple(name for name in MODEL_NAMES if name != "ranker")
"""All that fit in milliseconds; a ranker is asked the same way."""


@pytest.fixture(scope="session")
def shop() -> Shop:
    return make_shop()


@pytest.fixture(scope="session")
def recommender(shop: Shop) -> Recommender:
    """The models with their defaults, fitted on the shop."""
    return Recommender.fit(shop.vocabulary, shop.arrays, ModelsConfig(), FitOptions(deterministic=True), MODELS)
