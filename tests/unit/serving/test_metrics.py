from __future__ import annotations

import multiprocessing
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.synchronize import Event
from pathlib import Path

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from nextcart.serving.metrics import Answered, Metrics, Served, declared
from nextcart.serving.metrics.cells import N_CELLS, Cells
from nextcart.serving.metrics.recorder import KEPT_VERSIONS, MAX_ROUTES

ROUTES = ("/v1/recommend", "/v1/recommend/batch", "/v1/items/{aid}/similar")
BITS = [1 | 2, 2 | 4, 4, 32]  # three items of known sources, one of history
ROWS = np.array([[3, 1, -1], [1, 0, -1]], np.int32)


def values(metrics: Metrics) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    text, _ = metrics.render()
    return {
        (sample.name.removeprefix("nextcart_"), tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text.decode())
        for sample in family.samples
    }


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return values(metrics).get((name, tuple(sorted(labels.items()))))


def answer(version: str = "v1", route: str = ROUTES[0], status: int = 200, seconds: float = 0.0004) -> Answered:
    return Answered(route, status, seconds, "id", [Served(version, "hybrid", "clicks", BITS)])


@pytest.mark.parametrize(
    "series", ['nextcart_swaps_total{outcome="refused"}', 'nextcart_events_total{outcome="rejected",type="other"}']
)
def test_what_an_alarm_looks_for_begins_at_0(series: str) -> None:
    """A counter that first appears at 1 has no increase: the first refusal would raise no alarm."""
    text, _ = Metrics().render()
    assert f"{series} 0.0" in text.decode()


def test_a_request_is_counted_by_route_status_and_latency():
    metrics = Metrics()
    for seconds in (0.0004, 0.00041, 5.0):
        metrics.answered(answer(seconds=seconds))
    metrics.answered(Answered(ROUTES[0], 422, 0.00009))
    assert value(metrics, "http_requests_total", route=ROUTES[0], status="200") == 3
    assert value(metrics, "http_requests_total", route=ROUTES[0], status="422") == 1
    buckets = [
        value(metrics, "http_request_duration_seconds_bucket", route=ROUTES[0], le=le)
        for le in ("0.0001", "0.0003", "0.0004", "0.0005", "1.0", "+Inf")
    ]
    assert buckets == [1, 1, 2, 3, 3, 4]
    total = value(metrics, "http_request_duration_seconds_sum", route=ROUTES[0])
    assert total == pytest.approx(0.0004 + 0.00041 + 5.0 + 0.00009)


def test_latency_buckets_resolve_100_microseconds_to_a_second():
    bounds = declared.REQUEST_SECONDS
    assert (bounds[0], bounds[-1], list(bounds)) == (0.0001, 1.0, sorted(set(bounds)))
    assert len(bounds) >= 18


def test_lists_are_counted_by_version_and_their_items_by_source():
    metrics = Metrics()
    metrics.answered(answer())
    batch = [Served("v1", "hybrid", "orders", BITS, "empty_session"), Served("v2", "item2vec", "orders", [4])]
    metrics.answered(Answered(ROUTES[1], 200, 0.001, served=batch))
    assert value(metrics, "recommendations_total", version="v1", objective="clicks", model="hybrid") == 1
    assert value(metrics, "recommendations_total", version="v1", objective="orders", model="hybrid") == 1
    assert value(metrics, "recommendations_total", version="v2", objective="orders", model="item2vec") == 1
    assert value(metrics, "fallbacks_total", reason="empty_session") == 1
    assert value(metrics, "recommended_items_total", source="top_sellers") == 2
    assert value(metrics, "recommended_items_total", source="covisitation") == 4
    assert value(metrics, "recommended_items_total", source="item2vec") == 5
    assert value(metrics, "recommended_items_total", source="history") == 2


def test_items_are_counted_before_anybody_asks():
    metrics = Metrics()
    for _ in range(5000):
        metrics.answered(answer())
    assert value(metrics, "recommended_items_total", source="item2vec") == 10_000


def test_what_visitors_send_makes_no_series_without_end():
    metrics = Metrics()
    for i in range(200):
        metrics.answered(Answered(f"/route-{i}", 404, 0.001))
        metrics.events(f"type-{i}", "rejected")
    assert value(metrics, "http_requests_total", route="/route-63", status="404") == 1
    assert value(metrics, "http_requests_total", route="other", status="404") == 200 - MAX_ROUTES
    assert value(metrics, "events_total", type="other", outcome="rejected") == 200
    text, _ = metrics.render()
    assert text.count(b"http_requests_total{") == MAX_ROUTES + 1
    assert b"type-" not in text


def test_stores_logs_and_swaps_are_timed_and_begin_at_zero():
    metrics = Metrics()
    assert value(metrics, "session_store_errors_total") == 0
    assert value(metrics, "exposures_dropped_total") == 0
    metrics.store_answered(0.00012)
    metrics.store_failed()
    metrics.commit(0.004)
    metrics.swapped("live", 3.0)
    metrics.swapped("refused", 0.5)
    metrics.count(declared.EXPOSURES_DROPPED, by=7)
    metrics.set(declared.LOG_LAG, 12)
    metrics.set(declared.LOG_LAG, 4)
    assert value(metrics, "session_store_duration_seconds_bucket", le="0.00015") == 1
    assert value(metrics, "session_store_errors_total") == 1
    assert value(metrics, "event_log_commit_duration_seconds_bucket", le="0.003") == 0
    assert value(metrics, "event_log_commit_duration_seconds_bucket", le="0.005") == 1
    assert value(metrics, "swap_duration_seconds_sum") == 3.5
    assert value(metrics, "swaps_total", outcome="refused") == 1
    assert value(metrics, "exposures_dropped_total") == 7
    assert value(metrics, "event_log_lag_events") == 4


def test_each_process_tells_its_cpu_and_memory():
    metrics = Metrics()
    assert value(metrics, "process_resident_memory_bytes", worker="0") > 1e6
    assert value(metrics, "process_cpu_seconds_total", worker="0") > 0
    assert 0 < value(metrics, "process_own_memory_bytes", worker="0") < 1e11


def test_items_shown_are_counted_once_and_without_padding(tmp_path):
    for folder in (None, tmp_path):
        metrics = Metrics(folder)
        metrics.set_versions({"production": ("v1", 5)})
        metrics.show("v1", "clicks", ROWS)
        metrics.show("v1", "clicks", ROWS[0])
        metrics.show("v1", "orders", np.array([4], np.int32))
        metrics.show("unknown", "clicks", ROWS)
        assert value(metrics, "shown_items", version="v1", objective="clicks") == 3
        assert value(metrics, "shown_items", version="v1", objective="carts") == 0
        assert value(metrics, "shown_items", version="v1", objective="orders") == 1
        assert value(metrics, "catalogue_items", version="v1") == 5
        metrics.close()


def test_workers_share_what_was_shown_even_of_versions_they_never_had(tmp_path):
    one, two = Metrics(tmp_path), Metrics(tmp_path)
    one.set_versions({"production": ("v1", 5)})
    two.set_versions({"production": ("v1", 5), "candidate": ("v2", 9)})
    one.show("v1", "clicks", np.array([0, 1], np.int32))
    two.show("v1", "clicks", np.array([1, 4], np.int32))
    two.show("v2", "clicks", np.array([8], np.int32))
    one.tick()
    two.tick()
    for metrics in (one, two):
        assert value(metrics, "shown_items", version="v1", objective="clicks") == 3
        assert value(metrics, "shown_items", version="v2", objective="clicks") == 1
    one.close()
    two.close()


def test_a_version_that_another_worker_opens_just_now_is_not_shown_yet(tmp_path):
    metrics = Metrics(tmp_path)
    (tmp_path / "shown-v1").touch()
    assert value(metrics, "catalogue_items", version="v1") is None
    metrics.close()


def test_versions_that_answer_are_told_and_those_long_gone_are_dropped(tmp_path):
    metrics = Metrics(tmp_path)
    for i in range(KEPT_VERSIONS + 2):
        metrics.set_versions({"production": (f"v{i}", 5)})
        metrics.answered(answer(f"v{i}"))
        metrics.count(declared.ONLINE_EVENTS, f"v{i}", "clicks", "clicks")
    held = values(metrics)
    infos = [labels for name, labels in held if name == "model_info"]
    assert infos == [(("alias", "production"), ("version", f"v{KEPT_VERSIONS + 1}"))]
    for name in ("recommendations_total", "online_events_total", "catalogue_items"):
        versions = {dict(labels)["version"] for held_name, labels in held if held_name == name}
        assert versions == {f"v{i}" for i in range(2, KEPT_VERSIONS + 2)}, name
    assert sorted(path.name for path in tmp_path.glob("shown-*")) == sorted(f"shown-v{i}" for i in range(2, 10))
    metrics.answered(answer("v0"))
    assert value(metrics, "recommendations_total", version="v0", objective="clicks", model="hybrid") == 1
    metrics.close()


def test_a_version_that_comes_back_goes_on_counting():
    metrics = Metrics()
    for version in ("v1", "v2", "v1"):
        metrics.set_versions({"production": (version, 5)})
        metrics.answered(answer(version))
    assert value(metrics, "recommendations_total", version="v1", objective="clicks", model="hybrid") == 2


def test_workers_are_one_and_gauges_merge_as_declared(tmp_path):
    one, two = Metrics(tmp_path), Metrics(tmp_path)
    one.answered(answer())
    two.answered(answer())
    two.answered(answer("v2"))
    for metrics, lag, rules in ((one, 3, 8), (two, 4, 7)):
        metrics.set_versions({"production": ("v1", 5)})
        metrics.set(declared.LOG_LAG, lag)
        metrics.set(declared.RULES_VERSION, rules)
        metrics.tick()
    assert values(one).keys() == values(two).keys()
    for metrics in (one, two):
        assert value(metrics, "http_requests_total", route=ROUTES[0], status="200") == 3
        assert value(metrics, "http_request_duration_seconds_count", route=ROUTES[0]) == 3
        assert value(metrics, "event_log_lag_events") == 7
        assert value(metrics, "rules_version") == 7
        assert value(metrics, "model_info", version="v1", alias="production") == 1
    two.close()
    assert value(one, "event_log_lag_events") == 3
    assert value(one, "http_requests_total", route=ROUTES[0], status="200") == 3
    one.close()


def count_and_wait(folder: Path, n: int, counted: Event) -> None:
    metrics = Metrics(folder)
    for _ in range(n):
        metrics.answered(answer())
    metrics.set(declared.LOG_LAG, 5)
    metrics.tick()
    counted.set()
    signal.pause()


@contextmanager
def worker(folder: Path, n: int) -> Iterator[None]:
    """A process that has counted `n` requests and is killed at the end."""
    # A fork, because importing the service takes seconds.
    context = multiprocessing.get_context("fork")
    counted = context.Event()
    process = context.Process(target=count_and_wait, args=(folder, n, counted))
    process.start()
    assert counted.wait(20)
    yield
    process.kill()
    process.join()
    process.close()


def test_processes_that_were_killed_are_still_counted_and_the_next_one_goes_on(tmp_path):
    with worker(tmp_path, 1000), worker(tmp_path, 200):
        asked = Metrics(tmp_path)
        asked.answered(answer())
        assert value(asked, "http_requests_total", route=ROUTES[0], status="200") == 1201
        assert value(asked, "recommended_items_total", source="covisitation") == 1201 * 2
        assert value(asked, "event_log_lag_events") == 10
    assert value(asked, "http_requests_total", route=ROUTES[0], status="200") == 1201
    assert value(asked, "event_log_lag_events") == 0
    with worker(tmp_path, 30):
        assert value(asked, "http_requests_total", route=ROUTES[0], status="200") == 1231
        assert value(asked, "http_request_duration_seconds_count", route=ROUTES[0]) == 1231
    assert sorted(path.name for path in tmp_path.glob("*.cells")) == [f"worker-{i}.cells" for i in range(3)]
    asked.close()


def test_cells_of_series_that_went_are_used_again_from_zero():
    cells = Cells()
    for i in range(3 * N_CELLS // 20):
        place = cells.start("a", (str(i),), 20)
        assert cells.values[place : place + 20].tolist() == [0.0] * 20
        cells.values[place] = cells.values[place + 19] = 1.0
        cells.drop(lambda name, labels: name == "a")
    assert place > 0
    cells.close()


def test_a_full_file_says_so_and_counts_on(tmp_path, caplog):
    cells = Cells(tmp_path)
    for i in range(9):
        place = cells.start("a", (str(i),), 2000)
    assert place == 0
    assert "no room for the metric a" in caplog.text
    cells.close()


def test_openmetrics_where_it_is_asked_for():
    metrics = Metrics()
    metrics.answered(answer())
    text, content_type = metrics.render("application/openmetrics-text; version=1.0.0")
    assert content_type.startswith("application/openmetrics-text")
    assert text.endswith(b"# EOF\n")
    assert metrics.render()[1].startswith("text/plain")
