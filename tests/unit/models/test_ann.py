import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextcart.config import Item2vecConfig
from nextcart.models.ann import VectorIndex
from nextcart.models.model import frozen
from tests.strategies import few

DEFAULTS = Item2vecConfig()


def unit(vectors: np.ndarray) -> np.ndarray:
    return frozen((vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32))


def clustered(n: int, dim: int = 32, clusters: int = 60, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    centres = random.normal(size=(clusters, dim))
    return unit(centres[random.integers(clusters, size=n)] + 0.6 * random.normal(size=(n, dim)))


def built(vectors: np.ndarray, *, exact_below: int = 4096, nprobe: int = 16, threads: int = 1) -> VectorIndex:
    return VectorIndex.build(vectors, exact_below=exact_below, nprobe=nprobe, seed=42, threads=threads)


def brute_force(vectors: np.ndarray, queries: np.ndarray, k: int) -> list[set[int]]:
    return [set(np.argsort(-(vectors @ query), kind="stable")[:k].tolist()) for query in queries]


@pytest.fixture(scope="module")
def many() -> np.ndarray:
    return clustered(6000)


@pytest.fixture(scope="module")
def cells(many) -> VectorIndex:
    """With the defaults: more vectors than are searched exactly."""
    assert len(many) >= DEFAULTS.exact_below
    return built(many, exact_below=DEFAULTS.exact_below, nprobe=DEFAULTS.nprobe)


def test_few_vectors_are_searched_exactly(many):
    vectors = frozen(many[:500])
    index = built(vectors, exact_below=501)
    rows, scores = index.search(many[500:550], 10)
    assert [set(found[:10].tolist()) for found in rows] == brute_force(vectors, many[500:550], 10)
    assert len(index.centroids) == len(index.cells) == 0
    assert scores[:, :10] == pytest.approx(-np.sort(-(many[500:550] @ vectors.T), axis=1)[:, :10], abs=1e-6)


def test_cells_find_nine_of_ten_nearest_with_the_defaults(many, cells):
    queries = clustered(200, seed=0)[:200]
    rows, _ = cells.search(queries, 20)
    wanted = brute_force(many, queries, 20)
    found = sum(len(set(row[:20].tolist()) & want) for row, want in zip(rows, wanted, strict=True))
    assert found / (20 * len(queries)) >= 0.9
    assert len(cells.centroids) == min(6000 // 39, round(4 * 6000**0.5))
    assert (np.bincount(cells.cells, minlength=len(cells.centroids)) > 0).mean() > 0.9


def test_more_probes_find_more_and_all_cells_find_all(many, cells):
    queries = clustered(100, seed=3)
    wanted = brute_force(many, queries, 10)

    def recall(nprobe: int) -> float:
        index = VectorIndex(cells.vectors, cells.centroids, cells.cells, nprobe)
        rows, _ = index.search(queries, 10)
        return sum(len(set(row[:10].tolist()) & want) for row, want in zip(rows, wanted, strict=True)) / 1000

    assert recall(1) < recall(16) <= recall(10_000) == 1.0


def test_an_index_from_saved_arrays_answers_the_same(many, cells):
    again = VectorIndex(**cells.arrays(), nprobe=DEFAULTS.nprobe)
    for mine, theirs in zip(cells.search(many[:50], 25), again.search(many[:50], 25), strict=True):
        assert mine.tobytes() == theirs.tobytes()


def test_one_seed_builds_the_same_cells(many, cells):
    again = built(many, exact_below=DEFAULTS.exact_below)
    for name, array in cells.arrays().items():
        assert array.tobytes() == again.arrays()[name].tobytes()


@pytest.mark.parametrize("exact_below", [4096, 10_000], ids=["cells", "exact"])
def test_a_query_alone_finds_what_it_finds_in_a_batch(many, exact_below):
    index = built(many, exact_below=exact_below)
    queries = clustered(64, seed=5)
    rows, scores = index.search(queries, 17)
    for i, query in enumerate(queries):
        alone_rows, alone_scores = index.search(query[None], 17)
        assert alone_rows[0, :17].tolist() == rows[i, :17].tolist()
        assert alone_scores[0, :17].tobytes() == scores[i, :17].tobytes()


@pytest.mark.parametrize("exact_below", [0, 100], ids=["cells", "exact"])
def test_fewer_vectors_than_asked_for(exact_below):
    index = built(clustered(40), exact_below=exact_below)
    rows, _ = index.search(clustered(3, seed=1), 100)
    assert all(sorted(row[row >= 0].tolist()) == list(range(40)) for row in rows)


def test_equal_vectors_come_in_the_order_of_their_rows():
    index = built(frozen(np.tile(clustered(1), (30, 1))), exact_below=100)
    for k in (1, 7, 30):
        rows, _ = index.search(clustered(2, seed=3), k)
        assert rows[:, :k].tolist() == [list(range(k))] * 2


def test_no_vectors_find_nothing():
    index = built(frozen(np.empty((0, 8), np.float32)), exact_below=0)
    rows, _ = index.search(clustered(2, dim=8), 5)
    assert (rows == -1).all()


def test_no_queries_find_nothing(cells):
    rows, scores = cells.search(np.empty((0, 32), np.float32), 5)
    assert len(rows) == len(scores) == 0


@pytest.mark.parametrize("exact_below", [0, 100], ids=["cells", "exact"])
def test_a_query_of_zeros_finds_nothing_and_spoils_nothing(exact_below):
    vectors = clustered(60)
    queries = np.stack([vectors[3], np.zeros(32, np.float32), vectors[4]])
    rows, _ = built(vectors, exact_below=exact_below).search(queries, 5)
    assert (rows[1] == -1).all()
    assert (rows[0, 0], rows[2, 0]) == (3, 4)


def test_a_vector_of_zeros_is_near_to_nothing():
    vectors = frozen(np.vstack([clustered(20), np.zeros((1, 32), np.float32)]))
    rows, scores = built(vectors).search(vectors[:1], 30)
    assert scores[0][rows[0] == 20].tolist() == [0.0]


@few
@given(st.lists(st.integers(0, 3), min_size=1, max_size=40), st.integers(1, 12), st.booleans())
def test_of_a_tie_the_smaller_rows_come(places, k, in_cells):
    """The k best by score, then by row, are among what is found, however faiss would have cut the tie."""
    vectors = np.zeros((len(places), 4), np.float32)
    vectors[:, 0] = np.array(places) / 4
    if in_cells:
        index = VectorIndex(frozen(vectors), np.eye(1, 4, dtype=np.float32), np.zeros(len(places), np.int32), 1)
    else:
        index = built(frozen(vectors))
    rows, scores = index.search(np.array([[1, 0, 0, 0], [0, 0, 0, 0]], np.float32), k)
    best = sorted(range(len(places)), key=lambda row: (-places[row], row))[:k]
    assert set(best) <= set(rows[0].tolist())
    assert (np.diff(scores[0][rows[0] >= 0]) <= 0).all()


def test_of_a_thousand_equal_vectors_the_first_come():
    vectors = frozen(np.tile(unit(np.ones((1, 8))), (1000, 1)))
    rows, _ = built(vectors).search(vectors[:1], 3)
    assert {0, 1, 2} <= set(rows[0].tolist())
    assert rows.shape[1] < 10


def test_a_tied_query_does_not_widen_the_others():
    vectors = frozen(np.vstack([np.tile(unit(np.ones((1, 32))), (500, 1)), clustered(60)]))
    queries = vectors[[0, 520, 540]]
    together, _ = built(vectors).search(queries, 4)
    assert together.shape[1] < 10
    for i, query in enumerate(queries):
        alone, _ = built(vectors).search(query[None], 4)
        assert together[i].tolist() == alone[0].tolist()
