import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nextcart.models.model import FitOptions
from nextcart.models.parallel import balanced_blocks, run_blocks
from tests.strategies import few


@few
@given(st.lists(st.integers(0, 50), max_size=60), st.integers(1, 9))
def test_blocks_cover_everything_once(costs, blocks):
    before = np.cumsum([0, *costs])
    cut = balanced_blocks(before, blocks)
    assert len(cut) <= blocks
    assert [position for first, stop in cut for position in range(first, stop)] == list(range(len(costs)))
    assert all(first < stop for first, stop in cut)
    if cut:
        dearest = max(int(before[stop] - before[first]) for first, stop in cut)
        assert dearest <= sum(costs) / blocks + max(costs, default=0) + 1


@pytest.mark.parametrize("threads", [1, 4])
def test_every_block_is_worked_on_and_told(threads):
    done, told, lock = [], [], threading.Lock()

    def work(first: int, stop: int) -> None:
        with lock:
            done.append((first, stop))

    blocks = [(i, i + 1) for i in range(20)]
    run_blocks("counting", blocks, FitOptions(threads=threads, progress=lambda *step: told.append(step)), work)
    assert sorted(done) == blocks
    assert told == [("counting", i, 20) for i in range(21)]
    assert done == blocks or threads > 1


def test_an_error_in_a_block_is_raised():
    def work(first: int, stop: int) -> None:
        if first == 3:
            raise MemoryError("block 3")

    with pytest.raises(MemoryError, match="block 3"):
        run_blocks("counting", [(i, i + 1) for i in range(8)], FitOptions(), work)
