"""Splitting a kernel's work over threads by items or sessions, in blocks of about equal cost."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from itertools import pairwise

import numpy as np

from nextcart.models.model import FitOptions
from nextcart.types import Int64s

BLOCKS = 64


def balanced_blocks(costs_before: Int64s, blocks: int = BLOCKS) -> list[tuple[int, int]]:
    """Cut ``0 … n`` into at most ``blocks`` spans of about equal cost.

    Args:
        costs_before: int64, shape (n + 1,), ascending: the cost of all before each position, such as CSR offsets.
        blocks: the most spans.
    """
    wanted = np.linspace(costs_before[0], costs_before[-1], blocks + 1)
    cuts = np.searchsorted(costs_before, wanted, side="left")
    cuts[0], cuts[-1] = 0, len(costs_before) - 1
    edges = np.unique(cuts)
    return [(int(first), int(stop)) for first, stop in pairwise(edges)]


def run_blocks(
    stage: str, blocks: list[tuple[int, int]], options: FitOptions, work: Callable[[int, int], None]
) -> None:
    """Call ``work(first, stop)`` for each block on ``options.threads`` threads; an error in one is raised here."""
    options.progress(stage, 0, len(blocks))
    with ThreadPoolExecutor(options.threads) as pool:
        running = [pool.submit(work, first, stop) for first, stop in blocks]
        for done, future in enumerate(as_completed(running), 1):
            future.result()
            options.progress(stage, done, len(blocks))
