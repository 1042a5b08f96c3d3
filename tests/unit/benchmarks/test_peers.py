"""The accuracy benchmark's peers, against scores computed by hand from their papers."""

import json
from math import exp, log, sqrt
from pathlib import Path

import numpy as np
import pytest

from benchmarks.peers.log import Log, Session, read_log
from benchmarks.peers.neighbours import STAN, VSTAN, NeighbourMethod, SessionIndex, VMISkNN, VSkNN
from benchmarks.peers.rules import Rules, RulesIndex
from benchmarks.peers.tuning import tune

DAY = 86_400_000
A, B, C, D = 0, 1, 2, 3
AIDS = {10: A, 20: B, 30: C, 40: D}
TYPES = ("clicks", "carts", "orders")


def line(name: int, day: int, events: list[tuple[int, str]]) -> str:
    """A session whose last event is at the very end of the day given."""
    rows = [{"aid": aid, "ts": day * DAY - len(events) + 1 + at, "type": kind} for at, (aid, kind) in enumerate(events)]
    return json.dumps({"session": name, "events": rows})


@pytest.fixture
def past(tmp_path: Path) -> Log:
    """A B · B C (C ordered) · A C D, a day apart, oldest first."""
    sessions = [
        line(1, 1, [(10, "clicks"), (20, "clicks")]),
        line(2, 2, [(20, "clicks"), (30, "orders")]),
        line(3, 3, [(10, "clicks"), (30, "clicks"), (40, "clicks")]),
    ]
    (tmp_path / "log.jsonl").write_text("\n".join(sessions) + "\n")
    return read_log(tmp_path / "log.jsonl")


def now(*items: int) -> Session:
    """A session of clicks that ends a day after the last one."""
    n = len(items)
    return Session(np.array(items), np.full(n, 4 * DAY), np.zeros(n, np.int64))


def scores(method: NeighbourMethod, *items: int) -> list[float]:
    return method.scores(now(*items)).tolist()


def test_a_log_is_read_into_rows_by_falling_frequency_and_unknown_items_are_minus_one(
    past: Log, tmp_path: Path
) -> None:
    assert past.aids.tolist() == list(AIDS)
    assert past.session(1).items.tolist() == [B, C]
    assert past.session(1).types.tolist() == [0, 2]
    prefix = {"id": "7:1", "session": 7, "events": [{"aid": 99, "ts": 5, "type": "carts"}]}
    (tmp_path / "prefixes.jsonl").write_text(json.dumps(prefix) + "\n")
    read = read_log(tmp_path / "prefixes.jsonl", past.aids)
    assert (read.names, read.session(0).items.tolist()) == (["7:1"], [-1])


def test_vsknn_weighs_items_by_position_and_neighbours_by_the_most_recent_shared_item(past: Log) -> None:
    # A weighs 1/2 and B 1. A C D shares A one step from the end: 0.5 / 2 × 0.9; B C: 1 / 2; A B: 1.5 / 2.
    method = VSkNN(SessionIndex(past))
    assert scores(method, A, B) == pytest.approx([0.225 + 0.75, 0.5 + 0.75, 0.225 + 0.5, 0.225])
    assert method.recommend(now(A, B), 3).tolist() == [B, A, C]


def test_vmisknn_multiplies_by_the_log_of_the_items_rarity(past: Log) -> None:
    expected = [(0.45 + 1.5) * log(1.5), (1 + 1.5) * log(1.5), (0.45 + 1) * log(1.5), 0.45 * log(3)]
    assert scores(VMISkNN(SessionIndex(past)), A, B) == pytest.approx(expected)


def test_stan_multiplies_cosine_recency_and_distance_from_the_shared_item(past: Log) -> None:
    acd = exp(-1) / sqrt(2 * 3) * exp(-1)
    bc = 1 / sqrt(2 * 2) * exp(-2)
    ab = (1 + exp(-1)) / sqrt(2 * 2) * exp(-3)
    near, far = exp(-1 / 2), exp(-2 / 2)
    method = STAN(SessionIndex(past), lambda_1=1.0, lambda_2_days=1.0, lambda_3=2.0)
    assert scores(method, A, B) == pytest.approx([acd + ab * near, bc + ab, (acd + bc) * near, acd * far])


def test_vstan_adds_the_position_of_the_shared_item_and_rarity_to_stan(past: Log) -> None:
    settings = {"lambda_1": 1.0, "lambda_2_days": 1e12, "lambda_3": 1e12}
    method = VSTAN(SessionIndex(past), **settings, lambda_ipw=1.0, idf=1.0)
    acd, bc, ab = exp(-1) / sqrt(6) * exp(-1), 1 / 2, (1 + exp(-1)) / 2
    common, rare = 1 + log(1.5), 1 + log(3)
    expected = [(acd + ab) * common, (bc + ab) * common, (acd + bc) * common, acd * rare]
    assert scores(method, A, B) == pytest.approx(expected)


def test_only_the_most_recent_sessions_are_looked_at_and_the_most_similar_kept(past: Log) -> None:
    index = SessionIndex(past)
    assert np.flatnonzero(scores(VSkNN(index, sample=1), A, B)).tolist() == [A, C, D]
    assert np.flatnonzero(scores(VSkNN(index, k=1), A, B)).tolist() == [A, B]


def test_a_repeated_item_counts_once_at_its_last_place(past: Log) -> None:
    # Of B A B the last B weighs 1 and A 2/3: A C D 0.9 × 2/3, B C 1, A B 5/3, all by the length of 2 items.
    expected = [(0.6 + 5 / 3) / 2, (1 + 5 / 3) / 2, (0.6 + 1) / 2, 0.6 / 2]
    assert scores(VSkNN(SessionIndex(past)), B, A, B) == pytest.approx(expected)


def test_the_last_item_may_be_left_out_and_unknown_items_bring_nothing(past: Log) -> None:
    index = SessionIndex(past)
    assert STAN(index, without_last=True).recommend(now(A, B), 9).tolist().count(B) == 0
    assert STAN(index).recommend(now(-1), 9).tolist() == []
    assert B in STAN(index).recommend(now(B, -1), 9)


def test_rules_give_the_history_by_recency_and_then_what_was_co_visited(past: Log) -> None:
    rules = Rules(RulesIndex(past))
    # Beside A and B the later half of the log counts more: C of B and of A, then D of A.
    assert rules.recommend(now(A, B), 9).tolist() == [B, A, C, D]
    assert rules.recommend(now(B), 9, "orders").tolist() == [B, C, A]
    assert rules.index.buys.of(B, 9)[1].tolist() == [3.0, 1.0]
    assert Rules(rules.index, without_last=True).recommend(now(A, B), 9).tolist() == [A, C, D]


def test_the_search_keeps_the_best_value_of_each_setting_and_both_bests() -> None:
    class Fake:
        def __init__(self, first: bool, found: bool) -> None:
            self.first, self.found = first, found

        def recommend(self, session: Session, n: int) -> np.ndarray:
            del session, n
            return np.array([5] if self.found and self.first else [4, 5] if self.found else [4])

    grid = {"found": (False, True), "first": (False, True)}
    tuned = tune(Fake, grid, [now(A)], np.array([5]))
    assert tuned.tried == 3
    assert tuned.for_recall == {"found": True, "first": False}
    assert tuned.for_mrr == {"found": True, "first": True}
