"""A forest scores as LightGBM does."""

import lightgbm
import numpy as np
import pytest

from nextcart.config import RankerConfig
from nextcart.kernels.forest import BLOCK_ROWS, score_forest
from nextcart.models.forest import MAX_COMPLETE_DEPTH, Forest, _float32_at_most
from nextcart.models.model import load_model, save_model

QUIET = {"verbose": -1, "num_threads": 1, "deterministic": True, "force_row_wise": True, "seed": 3}


def train(features, labels, rounds=12, **parameters):
    data = lightgbm.Dataset(features, labels)
    return lightgbm.train({"objective": "binary", "min_data_in_leaf": 3, **QUIET, **parameters}, data, rounds)


def data_of(seed, n=400):
    """Columns of all kinds: smooth, whole numbers, neighbours in float32, with the ranker's stand-ins, constant."""
    random = np.random.default_rng(seed)
    near = np.full(n, 0.1, np.float32)
    near[::2] = np.nextafter(np.float32(0.1), np.float32(1))
    rows = np.stack(
        [
            random.normal(size=n),
            random.integers(0, 8, n),
            near,
            np.where(random.random(n) < 0.5, 1000.0, random.integers(0, 30, n)),
            np.zeros(n),
        ],
        axis=1,
    ).astype(np.float32)
    labels = (rows[:, 0] + 0.3 * rows[:, 1] + (near > np.float32(0.1)) + random.normal(size=n) > 1.5).astype(np.uint8)
    return rows, labels


def sigmoid(raw):
    return 1 / (1 + np.exp(-raw))


def at_thresholds(forest, rows):
    """Rows that stand at, just below and just above the thresholds."""
    out = []
    for feature, threshold in zip(forest.features, forest.thresholds, strict=True):
        # LightGBM takes numbers this small for 0; no feature has any.
        if abs(threshold) < 1e-30:
            continue
        for value in (threshold, np.nextafter(threshold, -np.inf), np.nextafter(threshold, np.inf)):
            row = rows[len(out) % len(rows)].copy()
            row[feature] = value
            out.append(row)
    return np.array(out, np.float32)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("leaves", [2, 15])
def test_scores_are_those_of_lightgbm(seed, leaves):
    rows, labels = data_of(seed)
    booster = train(rows, labels, num_leaves=leaves)
    forest = Forest.from_lightgbm(booster)
    assert len(forest.roots) == booster.num_trees()
    assert (forest.thresholds.dtype, forest.leaves.dtype, forest.roots.dtype) == (np.float32, np.float32, np.int32)
    for asked in (rows, data_of(seed + 100)[0], at_thresholds(forest, rows), -1e30 * np.ones((1, 5), np.float32)):
        wanted = sigmoid(booster.predict(asked.astype(np.float64), raw_score=True))
        scores = forest.score(asked)
        assert scores.dtype == np.float32
        np.testing.assert_allclose(scores, wanted, atol=1e-5)


def test_a_ranking_objective_is_scored_alike():
    rows, labels = data_of(1)
    data = lightgbm.Dataset(rows, labels, group=[20] * (len(rows) // 20))
    booster = lightgbm.train({"objective": "lambdarank", "min_data_in_leaf": 3, **QUIET}, data, 10)
    wanted = sigmoid(booster.predict(rows, raw_score=True))
    np.testing.assert_allclose(Forest.from_lightgbm(booster).score(rows), wanted, atol=1e-5)


def test_trees_of_a_single_leaf():
    rows, labels = data_of(2, 40)
    booster = train(rows, labels, rounds=3, min_data_in_leaf=1000)
    forest = Forest.from_lightgbm(booster)
    assert len(forest.features) == 0
    assert len(forest.leaves) == len(forest.roots) > 0
    np.testing.assert_allclose(forest.score(rows), sigmoid(booster.predict(rows, raw_score=True)), atol=1e-5)


@pytest.mark.parametrize("value", [0.1, 0.3, -0.1, -0.3, 1 / 3, 0.0, 1e-35, 16_777_217.0, 2.5])
def test_a_threshold_is_never_rounded_up(value):
    """A float32 compares with the kept threshold as with LightGBM's own."""
    kept = _float32_at_most(value)
    assert kept.dtype == np.float32
    assert float(kept) <= value < float(np.nextafter(kept, np.float32(np.inf)))


def test_a_forest_is_saved_and_loaded(tmp_path):
    rows, labels = data_of(5)
    forest = Forest.from_lightgbm(train(rows, labels))
    save_model(tmp_path, "ranker", RankerConfig(), forest.arrays("clicks."))
    loaded = Forest.from_arrays(load_model(tmp_path, "ranker")[2], "clicks.")
    assert loaded.score(rows).tobytes() == forest.score(rows).tobytes()
    assert not any(array.flags.writeable for array in forest.arrays("").values())


def walked(forest, rows):
    """The scores node by node, as deep trees are scored."""
    return score_forest(rows, *forest.arrays("").values())


@pytest.mark.parametrize("n", [0, 1, BLOCK_ROWS - 1, BLOCK_ROWS, BLOCK_ROWS + 1, 3 * BLOCK_ROWS + 5])
@pytest.mark.parametrize("depth", range(1, MAX_COMPLETE_DEPTH + 1))
def test_trees_made_complete_score_to_the_last_bit_as_walked(depth, n):
    rows, labels = data_of(depth, 2000)
    forest = Forest.from_lightgbm(train(rows, labels, max_depth=depth, num_leaves=40))
    assert forest._complete is not None
    assert [str(array.dtype) for array in forest._complete] == ["int32", "float32", "float32"]
    assert forest._complete.leaves.shape == (len(forest.roots), 2 ** max(depth, 2))
    for asked in (rows[:n], at_thresholds(forest, rows)[:n]):
        assert forest.score(asked).tobytes() == walked(forest, asked).tobytes()


def test_trees_that_are_deep_are_walked():
    rows, labels = data_of(8, 2000)
    forest = Forest.from_lightgbm(train(rows, labels, num_leaves=60, max_depth=MAX_COMPLETE_DEPTH + 1))
    assert forest._complete is None
    assert forest.score(rows).tobytes() == walked(forest, rows).tobytes()


def test_a_score_does_not_depend_on_the_other_rows():
    rows, labels = data_of(6)
    forest = Forest.from_lightgbm(train(rows, labels))
    together = forest.score(rows)
    assert together.tobytes() == b"".join(forest.score(rows[i : i + 1]).tobytes() for i in range(len(rows)))
    assert together[::-1].tobytes() == forest.score(np.ascontiguousarray(rows[::-1])).tobytes()
    assert len(forest.score(rows[:0])) == 0
