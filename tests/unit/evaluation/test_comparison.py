import re
from datetime import UTC, datetime

import numpy as np
import pytest

from nextcart.errors import InputError
from nextcart.evaluation import comparison
from nextcart.evaluation.comparison import Side, compare
from nextcart.evaluation.report import Evaluation, KeptSums

N = 400


def side(version: str, hits: dict[str, np.ndarray], **changes: object) -> Side:
    """A version of which each model hit, or missed, the one question of each session."""
    evaluation = Evaluation(
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
        metrics={},
        kept=KeptSums(asked=tuple((name, "next") for name in hits), figures=("recall",)),
    )
    sums = np.stack([np.column_stack((each, np.ones(N))) for each in hits.values()]).astype(np.float32)
    return Side(version, evaluation.model_copy(update=changes), sums)


def some(share: float, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).random(N) < share


def held(first: Side, second: Side, *pairs: tuple[str, str], rounds: int = 1000) -> list[comparison.Difference]:
    return compare(first, second, pairs or [("hybrid", "hybrid")], rounds=rounds, seed=42)


def test_a_model_is_not_better_than_itself():
    one = side("a", {"hybrid": some(0.3, 1)})
    (found,) = held(one, one)
    assert (found.difference, found.interval, found.better) == (0.0, (0.0, 0.0), None)


def test_a_small_difference_that_always_points_one_way_is_beyond_noise():
    """Pairing: each interval is 9 points wide and holds the other's figure, but no session is worse."""
    better = some(0.3, 1)
    worse = better.copy()
    worse[np.flatnonzero(better)[:12]] = False
    (found,) = held(side("a", {"hybrid": better}), side("b", {"hybrid": worse}))
    assert found.difference == pytest.approx(0.03)
    assert found.better == "first"
    assert found.interval[0] > 0
    (turned,) = held(side("b", {"hybrid": worse}), side("a", {"hybrid": better}))
    assert (turned.better, turned.difference) == ("second", pytest.approx(-0.03))
    assert turned.interval == pytest.approx((-found.interval[1], -found.interval[0]))


def test_chance_is_not_beyond_noise_about_nineteen_times_of_twenty():
    wins = 0
    for seed in range(100):
        (found,) = held(side("a", {"hybrid": some(0.3, seed)}), side("b", {"hybrid": some(0.3, 1000 + seed)}))
        wins += found.better is not None
    assert wins <= 12


@pytest.mark.parametrize(("asked", "better"), [(99, None), (100, "first")])
def test_of_few_sessions_nothing_is_better(asked, better):
    """Of a version's hundreds of sessions few may have, say, an order: it is those that count."""
    one, other = side("a", {"hybrid": np.ones(N)}), side("b", {"hybrid": np.zeros(N)})
    for each in (one, other):
        each.sums[0, asked:] = 0
    (found,) = held(one, other)
    assert (found.difference, found.interval, found.sessions) == (1.0, (1.0, 1.0), asked)
    assert (found.better, found.too_few) == (better, better is None)


def test_batches_change_nothing(monkeypatch):
    one, other = side("a", {"hybrid": some(0.3, 1)}), side("b", {"hybrid": some(0.3, 2)})
    whole = held(one, other)
    monkeypatch.setattr(comparison, "BATCH_SESSIONS", 7)
    (again,) = held(one, other)
    assert again.interval == pytest.approx(whole[0].interval, abs=1e-6)


def test_models_of_one_version():
    one = side("a", {"hybrid": some(0.9, 1), "item2vec": some(0.1, 2)})
    (found,) = held(one, one, ("hybrid", "item2vec"))
    assert (found.first_model, found.second_model, found.mode, found.figure) == ("hybrid", "item2vec", "next", "recall")
    assert found.better == "first"
    assert found.first == pytest.approx(one.sums[0, :, 0].mean(), abs=1e-6)
    with pytest.raises(
        InputError,
        match="no model 'ranker' in its next_click evaluation; it has hybrid, item2vec; name one of them with --model",
    ):
        held(one, one, ("hybrid", "ranker"))


@pytest.mark.parametrize(
    ("change", "value"),
    [("data_fingerprint", "other"), ("split", "val_split"), ("protocol", "next_event"), ("limited", True), ("k", 10)],
)
def test_what_was_measured_otherwise_is_refused(change, value):
    one, other = side("a", {"hybrid": some(0.3, 1)}), side("b", {"hybrid": some(0.3, 2)}, **{change: value})
    with pytest.raises(InputError, match=re.escape(f"({change} is")) as caught:
        held(one, other)
    assert "run 'nextcart evaluate --protocol next_click --split test --version VERSION' for both" in str(caught.value)


def test_other_sessions_or_questions_are_refused():
    one, other = side("a", {"hybrid": some(0.3, 1)}), side("b", {"hybrid": some(0.3, 2)})
    fewer = Side("b", other.evaluation, other.sums[:, 1:])
    with pytest.raises(InputError, match="they hold other figures or sessions"):
        held(one, fewer)
    others = other.sums.copy()
    others[0, 3, 1] = 0
    with pytest.raises(InputError, match="asked other questions of the same sessions"):
        held(one, Side("b", other.evaluation, others))


def test_the_total_of_objectives_is_compared_too():
    kept = KeptSums(asked=(("hybrid", "next"),), figures=("clicks_recall", "carts_recall", "orders_recall"))
    sums = np.ones((1, N, 6), np.float32)
    sums[0, :, :3] = np.column_stack([some(0.5, seed) for seed in range(3)])
    one = side("a", {"hybrid": some(0.3, 1)}, protocol="multi_objective", kept=kept)
    found = held(Side("a", one.evaluation, sums), Side("b", one.evaluation, sums * 1))
    assert [each.figure for each in found] == [*kept.figures, "total"]
    total = 0.1 * found[0].first + 0.3 * found[1].first + 0.6 * found[2].first
    assert found[3].first == pytest.approx(total, abs=1e-6)
    few = sums.copy()
    few[0, 30:, 5] = 0
    few[0, 60:, 4] = 0
    found = held(Side("a", one.evaluation, few), Side("b", one.evaluation, few * 1))
    assert [each.sessions for each in found] == [N, 60, 30, 30]
