"""The nearest vectors of every vector, by inner product: exact where there are few, else cell by cell with faiss."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nextcart.kernels.topk import order_ties
from nextcart.models.model import FitOptions
from nextcart.models.parallel import balanced_blocks, run_blocks
from nextcart.models.shared import Found
from nextcart.types import UNKNOWN, Float32s, Int64s

TRAINING_VECTORS_PER_CELL = 64
KMEANS_ITERATIONS = 5
EXACT_BLOCK = 1024
ALWAYS_BLAS = 1


def nearest_of_all(vectors: Float32s, width: int, *, exact_below: int, nprobe: int, options: FitOptions) -> Found:
    """The ``width`` nearest of every vector, itself among them: rows and inner products, best first.

    Cell by cell, one matrix product for all vectors of a cell against those of the cells nearest to its centre: a
    quarter of the CPU of as good a search for each vector by itself.

    Args:
        vectors: normalised, float32, shape (n, dim).
        width: neighbours wanted of each.
        exact_below: with fewer vectors every pair is looked at.
        nprobe: cells, a vector's own among them, in which its neighbours are looked for.
        options: seed of the clustering, and threads, which change nothing of what comes.

    Returns:
        int32 and float32 of shape (n, width); of equal ones the smaller row first, `UNKNOWN` and 0 past the end.
    """
    n = len(vectors)
    rows, scores = np.full((n, width), UNKNOWN, np.int32), np.zeros((n, width), np.float32)
    if not n:
        return rows, scores
    cells = _Cells.of(vectors, exact_below=exact_below, nprobe=nprobe, options=options)

    def search(first: int, stop: int) -> None:
        # faiss has threads of its own, which would fight with these; the setting holds for the calling thread.
        _faiss().omp_set_num_threads(1)
        for cell in range(first, stop):
            asked, among = cells.members(cell), cells.around(cell)
            found = min(width, len(among))
            if len(asked):
                its_scores, places = _faiss().knn(
                    vectors[asked], vectors[among], found, metric=_faiss().METRIC_INNER_PRODUCT
                )
                its_rows = among[places].astype(np.int32)
                order_ties(its_scores, its_rows)
                rows[asked, :found], scores[asked, :found] = its_rows, its_scores

    run_blocks("neighbours of items", balanced_blocks(cells.bounds), options, search)
    return rows, scores


class _Cells:
    """Vectors grouped into cells, and the cells near each."""

    def __init__(self, order: Int64s, bounds: Int64s, near: Int64s) -> None:
        """Rows by cell, where each cell starts, and the cells to look through for each; none in ``near``: all."""
        self._order, self.bounds, self._near = order, bounds, near

    @classmethod
    def of(cls, vectors: Float32s, *, exact_below: int, nprobe: int, options: FitOptions) -> _Cells:
        n = len(vectors)
        if n < max(1, exact_below):
            bounds = np.append(np.arange(0, n, EXACT_BLOCK), n)
            return cls(np.arange(n), bounds, np.empty((len(bounds) - 1, 0), np.int64))
        centroids, cell_of = _cluster(vectors, options)
        order = np.argsort(cell_of, kind="stable")
        bounds = np.searchsorted(cell_of[order], np.arange(len(centroids) + 1))
        near = np.argsort(-(centroids @ centroids.T), axis=1, kind="stable")[:, :nprobe]
        return cls(order, bounds, near)

    def members(self, cell: int) -> Int64s:
        """The rows of a cell."""
        return self._order[self.bounds[cell] : self.bounds[cell + 1]]

    def around(self, cell: int) -> Int64s:
        """The rows of the cells to look through, ascending, so that of equal vectors the first is found first."""
        if not self._near.shape[1]:
            return self._order
        return np.sort(np.concatenate([self.members(other) for other in self._near[cell]]))


def _cluster(vectors: Float32s, options: FitOptions) -> tuple[Float32s, NDArray[Any]]:
    """About 4 * sqrt(n) centroids, and the cell of each vector."""
    faiss = _faiss()
    n, dim = vectors.shape
    # One thread: faiss's wait for one another at full speed, and a clustering by two is not repeatable.
    faiss.omp_set_num_threads(1)
    kmeans = faiss.Kmeans(
        dim,
        max(1, min(n // 39, round(4 * math.sqrt(n)))),
        niter=KMEANS_ITERATIONS,
        seed=options.seed % 2**31,
        spherical=True,
        max_points_per_centroid=TRAINING_VECTORS_PER_CELL,
    )
    kmeans.train(vectors)
    _, nearest = kmeans.index.search(vectors, 1)
    return np.asarray(kmeans.centroids, np.float32), nearest[:, 0]


def _faiss() -> Any:
    """faiss, which is needed at training alone: a server neither loads it nor waits for it."""
    import faiss

    # A product of a few rows by many is worth BLAS too, and one rounding for all sizes.
    faiss.cvar.distance_compute_blas_threshold = ALWAYS_BLAS
    return faiss
