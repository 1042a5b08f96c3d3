"""The model card of a small shop: true figures, the limits, and the settings that were changed."""

from __future__ import annotations

import numpy as np
import pytest

from nextcart.config import EvaluationConfig, ModelsConfig, RankerConfig, Settings, TopSellersConfig, TrainingConfig
from nextcart.evaluation.replay import evaluate
from nextcart.models.candidates import SOURCES, Retrieval
from nextcart.models.forest import Forest
from nextcart.models.model import FitOptions
from nextcart.models.ranker import Ranker, Ranking
from nextcart.models.ranker_training import columns_of
from nextcart.models.recommender import Recommender
from nextcart.pipeline.changed_settings import changed_settings
from nextcart.pipeline.model_card import MODELS, model_card
from nextcart.repository.manifest import DataFacts, VersionDraft
from nextcart.types import Objective
from tests.shop import make_shop

SHOP = make_shop()
DATA = DataFacts(
    fingerprint="f00d",
    split="train_split",
    sessions=700,
    events=4321,
    items=len(SHOP.vocabulary),
    first_ts=1_764_000_000_000,
    last_ts=1_764_172_800_000,
    session_type="int64",
    aid_type="int64",
)


@pytest.fixture(scope="module")
def recommender() -> Recommender:
    return Recommender.fit(SHOP.vocabulary, SHOP.arrays, ModelsConfig(), FitOptions(), ["hybrid"])


def draft_of(recommender: Recommender, **config: object) -> VersionDraft:
    sessions = make_shop(8, sessions=150).arrays.sessions
    made = evaluate(recommender, sessions, EvaluationConfig(rounds=30), split="val_split", data_fingerprint="f00d")
    settings = Settings.model_construct(models=ModelsConfig(), training=TrainingConfig(), evaluation=EvaluationConfig())
    values = settings.model_dump(mode="json") | config
    return VersionDraft(code_version="0.1.0", config=values, data=DATA, evaluations=(made,))


def test_the_card_tells_data_models_figures_and_limits(recommender: Recommender) -> None:
    draft = draft_of(recommender)
    card = model_card(recommender, draft)
    assert card.startswith("# Model card\n")
    (figures,) = draft.evaluations
    recall = figures.metrics["hybrid"]["next"]["recall"]
    span = figures.intervals["hybrid"]["next"]["recall"]
    assert span
    top = figures.metrics["hybrid"]["next"]["top1pct_share"]
    assert top
    for text in (
        "- events: 4,321 in 700 sessions",
        "- from 2025-11-24 16:00 to 2025-11-26 16:00 UTC (2.0 days)",
        "`f00d`",
        "the sessions after it were held back",
        "| hybrid (answers where no model is named) |",
        "the last event of each of 150 sessions, which are all, is to be found after at most 5 events",
        f"| hybrid | {recall:.4f} ({span[0]:.4f} to {span[1]:.4f}) |",
        f"take {100 * top:.1f} % of the places in the lists of hybrid",
        "Items without an event up to 2025-11-26 16:00 UTC are never recommended",
        "item2vec knows nothing of items with fewer than 5 events",
        "Not measured at all: whether people buy more.",
    ):
        assert text in card
    assert card.endswith("## Settings that differ from the defaults\n\nNone.\n")
    assert len(card.splitlines()) < 60


def test_the_same_training_has_the_same_card(recommender: Recommender) -> None:
    first, second = (model_card(recommender, draft_of(recommender)) for _ in range(2))
    assert first == second


def test_a_version_of_all_events_says_that_it_is_not_measured(recommender: Recommender) -> None:
    draft = draft_of(recommender).model_copy(
        update={"evaluations": (), "data": DATA.model_copy(update={"split": "train"})}
    )
    card = model_card(recommender, draft)
    assert "All training events; none were held back." in card
    assert "Not measured at training, since no sessions were held back. To measure it, add events that" in card
    assert "of the places in the lists" not in card


def test_the_card_names_changed_settings(recommender: Recommender) -> None:
    models = ModelsConfig(top_sellers=TopSellersConfig(decay_per_day=0.5)).model_dump(mode="json")
    card = model_card(recommender, draft_of(recommender, models=models))
    default = TopSellersConfig().decay_per_day
    assert f"- `models.top_sellers.decay_per_day` = `0.5` (default `{default}`)\n" in card


@pytest.mark.parametrize(
    ("objectives", "told"),
    [
        (("clicks", "carts", "orders"), "has trees of its own for: clicks, carts, orders.\n"),
        (("clicks", "orders"), "has trees of its own for: clicks, orders. For anything else those of clicks answer.\n"),
    ],
)
def test_the_card_tells_what_the_ranker_has_trees_for(
    recommender: Recommender, objectives: tuple[Objective, ...], told: str
) -> None:
    config, columns = RankerConfig(), columns_of(SHOP.arrays)
    members = [each for each in recommender.models.values() if isinstance(each, SOURCES)]
    names = Retrieval(config, members, columns).feature_names
    nothing = Forest(*(np.empty(0, kind) for kind in ("i4", "i4", "f4", "i4", "i4", "f4")))
    ranker = Ranker(Ranking(config, dict.fromkeys(objectives, nothing), columns, names, {}), members)
    with_ranker = Recommender(recommender.vocabulary, {**recommender.models, "ranker": ranker})
    assert told in model_card(with_ranker, draft_of(recommender))


def test_every_model_is_told_of() -> None:
    assert MODELS.keys() == ModelsConfig.model_fields.keys()


def test_changed_settings_are_told_to_the_last_key() -> None:
    models = ModelsConfig().model_dump(mode="json")
    del models["covisitation"]["matrices"]["buys"]
    models["ranker"]["lists"]["next"] = 7
    training = {"threads": 64, "seed": 1}
    found = changed_settings({"models": models, "training": TrainingConfig().model_dump() | training})
    named = {name: (value, default) for name, value, default in found if not name.startswith("evaluation.")}
    usual = ModelsConfig()
    assert named["models.covisitation.matrices.buys.top_n"] == ("none", str(usual.covisitation.matrices["buys"].top_n))
    assert named["models.ranker.lists.next"] == ("7", str(usual.ranker.lists["next"]))
    assert named["training.seed"] == ("1", "42")
    assert "training.threads" not in named
