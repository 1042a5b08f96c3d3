from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from nextcart.serving import online
from nextcart.serving.metrics import Metrics
from nextcart.serving.online import CUTOFF, OnlineTruth, rank_of
from nextcart.serving.schemas import Event
from nextcart.serving.sessions.store import Shown

TS = 1_661_724_000_000
LABELS = ("v1", "clicks", "clicks")


def event(aid: int | str, event_type: str = "clicks", ts: int = TS) -> Event:
    return Event(aid, ts, event_type)


def shown(*aids: int | str, request_id: str = "r1", version: str = "v1", objective: str = "clicks") -> Shown:
    return Shown(request_id, version, objective, list(aids))


def truth(metrics: Metrics, version: str, objective: str, event_type: str) -> tuple[float, ...]:
    """Events, hits and the sum of reciprocal ranks."""
    labels = {"version": version, "objective": objective, "type": event_type}
    found = {
        sample.name: sample.value
        for family in text_string_to_metric_families(metrics.render()[0].decode())
        for sample in family.samples
        if sample.labels == labels
    }
    names = ("online_events_total", "online_hits_total", "online_reciprocal_ranks_total")
    return tuple(found.get(f"nextcart_{name}", 0.0) for name in names)


@pytest.mark.parametrize(
    ("aids", "aid", "rank"),
    [
        ([7, 8, 9], 7, 1),
        ([7, 8, 9], 9, 3),
        ([7, 8, 9], 6, 0),
        ([], 7, 0),
        (["7", "8"], 7, 0),
        ([7, 8], "7", 0),
        (list(range(40)), 19, 20),
        (list(range(40)), 20, 0),
    ],
)
def test_rank_is_the_place_among_the_first_20(aids, aid, rank):
    assert rank_of(aids, aid) == rank


@given(st.lists(st.integers(0, 40), max_size=40, unique=True), st.integers(0, 40))
def test_rank_finds_what_a_search_finds(aids, aid):
    places = [place for place, held in enumerate(aids, 1) if held == aid and place <= CUTOFF]
    assert rank_of(aids, aid) == (places[0] if places else 0)


def test_a_visit_worked_out_by_hand():
    metrics = Metrics()
    online_truth = OnlineTruth(metrics)
    for aid in (7, 9, 5, 8):  # ranks 1, 3, none, 2
        online_truth.judge(shown(7, 8, 9), event(aid))
    assert truth(metrics, *LABELS) == (4, 3, pytest.approx(1 + 1 / 3 + 1 / 2))


def test_versions_objectives_and_types_are_told_apart():
    metrics = Metrics()
    online_truth = OnlineTruth(metrics)
    online_truth.judge(shown(7, 8), event(7, "orders"))
    online_truth.judge(shown(7, 8, objective="orders", request_id="r2"), event(8, "orders"))
    online_truth.judge(shown(7, 8, version="v2", request_id="r3"), event(1, "carts"))
    assert truth(metrics, "v1", "clicks", "orders") == (1, 1, 1)
    assert truth(metrics, "v1", "orders", "orders") == (1, 1, 0.5)
    assert truth(metrics, "v2", "clicks", "carts") == (1, 0, 0)
    assert truth(metrics, *LABELS) == (0, 0, 0)


def test_an_item_counts_once_a_list_and_type():
    metrics = Metrics()
    online_truth = OnlineTruth(metrics)
    for later in range(3):
        online_truth.judge(shown(7, 8), event(7, ts=TS + later))
        online_truth.judge(shown(7, 8), event(1, ts=TS + later))
    assert truth(metrics, *LABELS) == (2, 1, 1)
    online_truth.judge(shown(7, 8), event(7, "carts"))
    online_truth.judge(shown(7, 8, request_id="r2"), event(7))
    assert truth(metrics, "v1", "clicks", "carts") == (1, 1, 1)
    assert truth(metrics, *LABELS) == (3, 2, 2)


def test_what_is_remembered_is_bounded(monkeypatch):
    monkeypatch.setattr(online, "REMEMBERED", 10)
    online_truth = OnlineTruth(Metrics())
    for aid in range(100):
        online_truth.judge(shown(7), event(aid))
    assert len(online_truth._judged) == 10


def test_no_item_and_no_session_is_a_label():
    metrics = Metrics()
    OnlineTruth(metrics).judge(shown("sku-4711", request_id="request-4711"), event("sku-4711"))
    assert b"4711" not in metrics.render()[0]
