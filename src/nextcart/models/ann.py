"""Nearest vectors by inner product: faiss, exact where there are few vectors, else an inverted file.

Saved as arrays (centroids and the cell of each vector), never in a format of faiss's own.
"""

from __future__ import annotations

import math
from typing import Any

import faiss
import numpy as np
from numpy.typing import NDArray

from nextcart.kernels.topk import order_ties
from nextcart.models.model import frozen
from nextcart.types import Float32s, Int32s

# With BLAS faiss rounds a batch otherwise than a single query; a session's answer must not depend on its batch.
NO_BLAS, ALWAYS_BLAS = 2**31 - 1, 1
faiss.cvar.distance_compute_blas_threshold = NO_BLAS

TRAINING_VECTORS_PER_CELL = 64
KMEANS_ITERATIONS = 5


def search_on_one_thread() -> None:
    """Let searches of the calling thread start no threads of their own."""
    faiss.omp_set_num_threads(1)


class VectorIndex:
    """An index over normalised vectors, immutable once built.

    Attributes:
        vectors: float32, shape (n, dim); a vector's place is its item's row.
        centroids: float32, shape (n_cells, dim); (0, dim) where the search is exact.
        cells: int32, shape (n,), the cell of each vector; (0,) where the search is exact.
    """

    def __init__(self, vectors: Float32s, centroids: Float32s, cells: Int32s, nprobe: int) -> None:
        self.vectors, self.centroids, self.cells = vectors, centroids, cells
        dim = vectors.shape[1]
        flat = faiss.IndexFlatIP(dim)
        self._index: Any = flat
        if not len(centroids):
            flat.add(vectors)
            return
        flat.add(centroids)
        self._quantizer = flat
        self._index = faiss.IndexIVFFlat(flat, dim, len(centroids), faiss.METRIC_INNER_PRODUCT)
        self._index.nprobe = min(nprobe, len(centroids))
        _fill_cells(self._index, vectors, cells)

    @classmethod
    def build(cls, vectors: Float32s, *, exact_below: int, nprobe: int, seed: int, threads: int) -> VectorIndex:
        """Cluster the vectors into about 4 * sqrt(n) cells, or none where there are fewer than ``exact_below``."""
        n, dim = vectors.shape
        if n < max(1, exact_below):
            return cls(vectors, frozen(np.empty((0, dim), np.float32)), frozen(np.empty(0, np.int32)), nprobe)
        n_cells = max(1, min(n // 39, round(4 * math.sqrt(n))))
        faiss.omp_set_num_threads(threads)
        kmeans = faiss.Kmeans(
            dim,
            n_cells,
            niter=KMEANS_ITERATIONS,
            seed=seed % 2**31,
            spherical=True,
            max_points_per_centroid=TRAINING_VECTORS_PER_CELL,
        )
        # Here nobody is answered, and BLAS takes a third of the CPU.
        faiss.cvar.distance_compute_blas_threshold = ALWAYS_BLAS
        try:
            kmeans.train(vectors)
            centroids = np.asarray(kmeans.centroids, np.float32)
            quantizer = faiss.IndexFlatIP(dim)
            quantizer.add(centroids)
            _, nearest = quantizer.search(vectors, 1)
        finally:
            faiss.cvar.distance_compute_blas_threshold = NO_BLAS
        return cls(vectors, frozen(centroids), frozen(nearest[:, 0].astype(np.int32)), nprobe)

    def search(self, queries: Float32s, k: int) -> tuple[Int32s, Float32s]:
        """The nearest of each query, at least ``k``, best first, of equals the smaller rows first; -1 past the end.

        Shapes (n, m), m at least 1; a query of zeros finds nothing. faiss cuts a tie at the last place arbitrarily, so
        a query whose tie is cut is asked again, further out: what comes does not depend on the rest of the batch.
        """
        n, asked = len(self.vectors), queries.any(axis=1)
        wanted, width = min(k, n), max(1, min(k + 1, n))
        scores, rows = self._index.search(queries, width)
        tied = np.flatnonzero(asked & (rows[:, -1] >= 0) & (scores[:, -1] == scores[:, wanted - 1]))
        further = width
        while len(tied) and further < n:
            further = min(4 * further, n)
            more, found = self._index.search(queries[tied], further)
            for query, its_scores, its_rows in zip(tied, more, found, strict=True):
                best = np.lexsort((its_rows, -its_scores))[:width]
                scores[query], rows[query] = its_scores[best], its_rows[best]
            tied = tied[(found[:, -1] >= 0) & (more[:, -1] == more[:, wanted - 1])]
        rows[~asked] = -1
        places = rows.astype(np.int32)
        order_ties(scores, places)
        return places, scores

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays to save."""
        return {"vectors": self.vectors, "centroids": self.centroids, "cells": self.cells}


def _fill_cells(index: Any, vectors: Float32s, cells: Int32s) -> None:
    """Put every vector into its known cell, with no search for it."""
    order = np.argsort(cells, kind="stable")
    bounds = np.searchsorted(cells[order], np.arange(index.nlist + 1))
    for cell in range(index.nlist):
        rows = order[bounds[cell] : bounds[cell + 1]]
        if len(rows):
            codes = np.ascontiguousarray(vectors[rows])
            index.invlists.add_entries(
                cell, len(rows), faiss.swig_ptr(rows), faiss.swig_ptr(codes.view(np.uint8).ravel())
            )
    index.ntotal = len(vectors)
    index.is_trained = True
