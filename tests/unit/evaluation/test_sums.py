"""The official recall, with each sum written out."""

import numpy as np
import pytest

from nextcart.evaluation.cutting import Questions
from nextcart.evaluation.sums import Table, add_lists, add_questions, figure_names
from tests.naive import batch_of
from tests.shop import lists_of

K = 3
ITEMS = np.array([[1, 2, 3], [4, 5, 6], [7, 8, -1], [9, 1, 2]], np.int32)
"""The lists of four questions, the last two of one session."""


def questions(*targets: list[int], session: list[int], repeats: list[bool]) -> Questions:
    n = len(targets)
    return Questions(batch_of([[]] * n), lists_of(*targets), np.array(session), np.array(repeats), np.full(n, 1))


def test_recall_sums_hits_over_what_the_places_could_hold():
    asked = questions(
        [1, 3, 10, 11],  # Two hits of min(3, 4) = 3; the first at rank 1.
        [9],  # None of 1.
        [8, 7],  # Two of 2, at ranks 1 and 2.
        [2],  # One of 1, at rank 3.
        session=[0, 1, 2, 2],
        repeats=[True, False, False, False, False, True, False, True],
    )
    slices = {"repeat": asked.repeats, "new": ~asked.repeats}
    names = figure_names(("recall", "mrr"), tuple(slices), "carts")
    assert names == [
        "carts_recall",
        "carts_mrr",
        "carts_recall_repeat",
        "carts_mrr_repeat",
        "carts_recall_new",
        "carts_mrr_new",
    ]
    table = Table.zeros(4, len(names))
    add_questions(table, asked, ITEMS, ("recall", "mrr"), slices, 0)
    num, den = dict(zip(names, table.num.T, strict=True)), dict(zip(names, table.den.T, strict=True))
    assert num["carts_recall"].tolist() == [2, 0, 3, 0]
    assert den["carts_recall"].tolist() == [3, 1, 3, 0]
    # In all 5 / 7, where a mean of the questions would be (2/3 + 0 + 1 + 1) / 4.
    assert num["carts_recall"].sum() / den["carts_recall"].sum() == pytest.approx(5 / 7)
    assert num["carts_mrr"].tolist() == [1, 0, pytest.approx(1 + 1 / 3), 0]
    assert den["carts_mrr"].tolist() == [1, 1, 2, 0]
    # Repeats: item 1 at rank 1; item 9 is not asked as one; 8 at rank 2; 2 at rank 3.
    assert num["carts_recall_repeat"].tolist() == [1, 0, 2, 0]
    assert den["carts_recall_repeat"].tolist() == [1, 0, 2, 0]
    assert num["carts_mrr_repeat"].tolist() == [1, 0, pytest.approx(1 / 2 + 1 / 3), 0]
    # New: 3 of (3, 10, 11) at rank 3; 9 missed; 7 at rank 1.
    assert num["carts_recall_new"].tolist() == [1, 0, 1, 0]
    assert den["carts_recall_new"].tolist() == [3, 1, 1, 0]
    assert num["carts_mrr_new"].tolist() == [pytest.approx(1 / 3), 0, 1, 0]


def test_questions_of_one_session_add_up_over_calls():
    table = Table.zeros(2, 1)
    for _ in range(2):
        add_questions(table, questions([1], session=[1], repeats=[False]), ITEMS[:1], ("recall",), {}, 0)
    assert (table.num[:, 0].tolist(), table.den[:, 0].tolist()) == ([0, 2], [0, 2])


def test_lists_are_counted_with_their_places():
    table = Table.zeros(3, 1)
    asked = questions([1], [1], [1], [1], session=[0, 1, 2, 2], repeats=[False] * 4)
    add_lists(table, asked, ITEMS, 150, 0)
    # Rows 0 and 1 are the top 1 % of 150 items, rounded up.
    assert table.num[:, 0].tolist() == [1, 0, 1]
    assert table.den[:, 0].tolist() == [3, 3, 5]
    ((rows, times),) = table.shown
    assert dict(zip(rows.tolist(), times.tolist(), strict=True)) == {
        1: 2, 2: 2, 3: 1, 4: 1, 5: 1, 6: 1, 7: 1, 8: 1, 9: 1,
    }  # fmt: skip
