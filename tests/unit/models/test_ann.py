from dataclasses import replace

import numpy as np
import pytest

from nextcart.config import Item2vecConfig
from nextcart.models.ann import nearest_of_all
from nextcart.models.model import FitOptions, frozen

DEFAULTS = Item2vecConfig()
DETERMINISTIC = FitOptions(seed=42, deterministic=True)


def unit(vectors: np.ndarray) -> np.ndarray:
    return frozen((vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32))


def clustered(n: int, dim: int = 32, clusters: int = 60, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    centres = random.normal(size=(clusters, dim))
    return unit(centres[random.integers(clusters, size=n)] + 0.6 * random.normal(size=(n, dim)))


def nearest(vectors: np.ndarray, width: int, *, exact_below: int = 4096, nprobe: int = 16, options=DETERMINISTIC):
    return nearest_of_all(vectors, width, exact_below=exact_below, nprobe=nprobe, options=options)


def found_of(rows: np.ndarray, vectors: np.ndarray) -> float:
    """The share of the true neighbours that are found, over some rows."""
    some, width = range(0, len(vectors), 40), rows.shape[1]
    wanted = [np.argsort(-(vectors @ vectors[row]), kind="stable")[:width] for row in some]
    return sum(len(np.intersect1d(rows[row], want)) for row, want in zip(some, wanted, strict=True)) / (
        width * len(wanted)
    )


@pytest.fixture(scope="module")
def many() -> np.ndarray:
    """More vectors than are compared pair by pair with the defaults."""
    vectors = clustered(6000)
    assert len(vectors) >= DEFAULTS.exact_below
    return vectors


def test_of_few_vectors_every_pair_is_looked_at(many):
    vectors = frozen(many[:1500])
    rows, scores = nearest(vectors, 10, exact_below=1501)
    cosines = vectors @ vectors.T
    assert rows.tolist() == np.argsort(-cosines, axis=1, kind="stable")[:, :10].tolist()
    assert scores == pytest.approx(-np.sort(-cosines, axis=1)[:, :10], abs=1e-6)


def test_nine_of_ten_nearest_are_found_with_the_defaults(many):
    rows, _ = nearest(many, DEFAULTS.top_n, exact_below=DEFAULTS.exact_below, nprobe=DEFAULTS.nprobe)
    assert found_of(rows, many) >= 0.9


def test_more_probes_find_more_and_all_cells_find_all(many):
    some, more, every = (found_of(nearest(many, 10, nprobe=nprobe)[0], many) for nprobe in (1, 16, 10_000))
    assert some < more <= every == 1.0


@pytest.mark.parametrize("exact_below", [4096, 10_000], ids=["cells", "exact"])
def test_threads_change_nothing(many, exact_below):
    one, three = (
        nearest(many, 20, exact_below=exact_below, options=replace(DETERMINISTIC, threads=threads))
        for threads in (1, 3)
    )
    for mine, theirs in zip(one, three, strict=True):
        assert mine.tobytes() == theirs.tobytes()


@pytest.mark.parametrize("exact_below", [0, 10_000], ids=["cells", "exact"])
def test_an_item_is_nearest_to_itself_and_the_rest_falls(many, exact_below):
    vectors = frozen(many[:3000])
    rows, scores = nearest(vectors, 20, exact_below=exact_below)
    assert rows.dtype == np.int32
    assert scores.dtype == np.float32
    assert rows[:, 0].tolist() == list(range(3000))
    assert (np.diff(scores, axis=1) <= 0).all()
    assert all(len(set(row)) == 20 for row in rows.tolist())


@pytest.mark.parametrize("exact_below", [0, 100], ids=["cells", "exact"])
def test_fewer_vectors_than_asked_for(exact_below):
    rows, scores = nearest(clustered(40), 100, exact_below=exact_below)
    assert all(sorted(row[:40]) == list(range(40)) for row in rows.tolist())
    assert (rows[:, 40:] == -1).all()
    assert not scores[:, 40:].any()


def test_equal_vectors_come_in_the_order_of_their_rows():
    vectors = frozen(np.tile(clustered(1), (500, 1)))
    for width in (1, 7, 30):
        rows, _ = nearest(vectors, width, exact_below=1000)
        assert (rows == np.arange(width)).all()


@pytest.mark.parametrize("n", [0, 1])
def test_no_vectors_and_one(n):
    rows, scores = nearest(clustered(1, dim=8)[:n], 5, exact_below=0)
    assert rows.tolist() == [[0, -1, -1, -1, -1]] * n
    assert scores.tolist() == [pytest.approx([1, 0, 0, 0, 0])] * n


def test_a_vector_of_zeros_is_near_to_nothing():
    vectors = frozen(np.vstack([clustered(20), np.zeros((1, 32), np.float32)]))
    rows, scores = nearest(vectors, 21)
    assert scores[rows == 20].tolist() == [0.0] * 21
    assert not scores[20].any()
