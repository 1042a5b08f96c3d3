import json
from pathlib import Path

import pytest

from nextcart.models.fitting import MODEL_NAMES
from nextcart.models.recommender import Recommender
from nextcart.types import IdType
from tests.golden.make import answers

GOLDEN = Path(__file__).resolve().parents[2] / "golden"
VERSIONS = sorted(path.parent for path in GOLDEN.glob("*/answers.json"))
ID_TYPES: dict[str, IdType] = {"v2": "int64", "v3": "int64", "v4": "int64"}
NEWER = {"v2": {"log_bilinear"}}
"""Models that came after an artifact."""


def test_the_golden_artifacts_are_there():
    assert [folder.name for folder in VERSIONS] == list(ID_TYPES)


@pytest.mark.parametrize("folder", VERSIONS, ids=lambda folder: folder.name)
def test_what_an_older_nextcart_saved_still_loads_and_answers_as_it_did(folder):
    recommender = Recommender.load(folder)
    assert list(recommender.models) == [name for name in MODEL_NAMES if name not in NEWER.get(folder.name, ())]
    assert recommender.vocabulary.id_type == ID_TYPES[folder.name]
    recorded = json.loads((folder / "answers.json").read_text(encoding="utf-8"))
    found = answers(recommender, recorded["questions"])
    assert found.keys() == recorded["answers"].keys()
    for kind, wanted in recorded["answers"].items():
        for mine, theirs in zip(found[kind], wanted, strict=True):
            assert mine["items"] == theirs["items"], kind
            # Another machine may round the last digit otherwise.
            assert mine["scores"] == pytest.approx(theirs["scores"], rel=1e-5, abs=1e-6), kind
            assert mine["sources"] == theirs["sources"], kind
            assert mine.get("fallback") == theirs.get("fallback"), kind


def test_the_record_is_worth_comparing_with():
    """Every model has something of its own to say, and every reason for a fallback comes up."""
    recorded = json.loads((GOLDEN / "v4" / "answers.json").read_text(encoding="utf-8"))["answers"]
    bits = {"top_sellers": 1, "covisitation": 2, "item2vec": 4, "bought_together": 8, "log_bilinear": 128}
    for model, bit in bits.items():
        own = [source for row in recorded[f"recommend {model} next"] for source in row["sources"] if source & bit]
        assert len(own) >= 8, model
    hybrid = {source for row in recorded["recommend hybrid next"] for source in row["sources"]}
    assert len(hybrid) >= 4
    reasons = {row["fallback"] for rows in recorded.values() for row in rows if "fallback" in row}
    assert {None, "empty_session", "unknown_items"} <= reasons


def test_every_array_that_a_model_can_save_is_in_it():
    arrays = {
        str(file.relative_to(GOLDEN / "v4")) for file in (GOLDEN / "v4").rglob("*.npy") if file.stat().st_size > 128
    }
    assert {
        "item2vec/vectors.npy",
        "log_bilinear/kind_vectors.npy",
        "log_bilinear/nearest.npy",
        "item2vec/neighbours-items.npy",
        "covisitation/recent-items.npy",
    } <= arrays
    assert len(arrays) == 69
