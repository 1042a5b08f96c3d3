from datetime import UTC, datetime

import numpy as np
import pytest

from nextcart.evaluation.merging import asked_alike, merged
from nextcart.evaluation.report import Evaluation, KeptSums

N = 5


def evaluation(*models: str, recall: float = 0.5, **changes: object) -> Evaluation:
    made = Evaluation(
        protocol="next_click",
        split="test",
        k=20,
        history_events=200,
        sessions=N,
        repeat_share=0.0,
        unknown_share=0.0,
        data_fingerprint="f",
        created_at=datetime.now(UTC),
        cpu_seconds=0.0,
        metrics={model: {"next": {"recall": recall}} for model in models},
        intervals={model: {"next": {"recall": (0.0, recall)}} for model in models},
        kept=KeptSums(asked=tuple((model, "next") for model in models), figures=("recall",)),
        rounds=100,
        seed=42,
    )
    return made.model_copy(update=changes)


def sums(*values: float) -> np.ndarray:
    return np.stack([np.full((N, 2), value) for value in values]).astype(np.float32)


def test_what_was_measured_anew_takes_the_place_of_its_own_figures_alone():
    earlier, later = evaluation("ranker", "hybrid", "item2vec"), evaluation("hybrid", "rules", recall=0.7)
    found, both = merged(earlier, sums(1, 2, 3), later, sums(20, 40))
    assert list(found.metrics) == ["ranker", "hybrid", "item2vec", "rules"]
    assert [modes["next"]["recall"] for modes in found.metrics.values()] == [0.5, 0.7, 0.5, 0.7]
    assert [modes["next"]["recall"] for modes in found.intervals.values()] == [(0, 0.5), (0, 0.7), (0, 0.5), (0, 0.7)]
    assert found.kept.asked == tuple((model, "next") for model in found.metrics)
    assert (both.dtype, both[:, 0, 0].tolist()) == (np.float32, [1, 20, 3, 40])
    assert found.created_at == later.created_at


@pytest.mark.parametrize(
    ("change", "value"),
    [
        ("seed", 43),
        ("rounds", 7),
        ("sessions", N + 1),
        ("data_fingerprint", "g"),
        ("k", 10),
        ("kept", None),
        ("kept", KeptSums(asked=(("ranker", "next"),), figures=("mrr",))),
    ],
)
def test_what_was_asked_otherwise_is_told_apart(change, value):
    one = evaluation("ranker")
    assert asked_alike(one, evaluation("hybrid"))
    assert not asked_alike(one, evaluation("hybrid", **{change: value}))
    assert not asked_alike(evaluation("hybrid", **{change: value}), one)
