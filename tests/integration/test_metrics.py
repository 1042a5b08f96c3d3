"""The metrics of a real service with two workers, scraped by a real Prometheus."""

from __future__ import annotations

import math
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from nextcart.serving.metrics.declared import DECLARED
from tests.redis_server import free_port
from tests.serving_process import Service, service_of

EVENTS = [{"aid": 1000 + 10 * i, "ts": 1_661_724_000_000 + i, "type": "clicks"} for i in range(3)]
WAIT_SECONDS = 20.0
PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "monitor.md"
PROCESS_METRICS = {
    *("nextcart_process_cpu_seconds_total", "nextcart_process_own_memory_bytes"),
    *("nextcart_shown_items", "nextcart_catalogue_items"),
}
"""Those that no worker counts."""


@dataclass
class Prometheus:
    """A Prometheus that scrapes one target five times a second."""

    url: str

    def value(self, query: str) -> float | None:
        """The one value of an instant query; None where there is none."""
        response = httpx.get(f"{self.url}/api/v1/query", params={"query": query})
        answer = response.raise_for_status().json()
        assert answer["status"] == "success", answer
        result = answer["data"]["result"]
        assert len(result) <= 1, result
        return float(result[0]["value"][1]) if result else None

    def wait_for(self, query: str, good: Callable[[float], bool]) -> float:
        """The value, once it is as it should be."""
        end = time.monotonic() + WAIT_SECONDS
        while True:
            value = self.value(query)
            if value is not None and good(value):
                return value
            assert time.monotonic() < end, f"{query} stayed {value}"
            time.sleep(0.1)


@contextmanager
def prometheus_of(target: str, folder: Path) -> Iterator[Prometheus]:
    config = folder / "prometheus.yml"
    config.write_text(f"""
global: {{scrape_interval: 200ms, scrape_timeout: 200ms}}
scrape_configs:
  - job_name: nextcart
    static_configs: [{{targets: ["{target}"]}}]
""")
    port = free_port()
    command = [
        "prometheus",
        f"--config.file={config}",
        f"--storage.tsdb.path={folder / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=warn",
    ]
    process = subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True)
    try:
        yield Prometheus(f"http://127.0.0.1:{port}")
    finally:
        process.terminate()
        said = process.communicate(timeout=20)[1]
    assert "level=error" not in said


def wait_until_up(prometheus: Prometheus) -> None:
    end = time.monotonic() + WAIT_SECONDS
    while True:
        try:
            if prometheus.value("up") == 1:
                return
        except httpx.HTTPError:
            # It answers 503 until it has read its own disk.
            pass
        assert time.monotonic() < end, "Prometheus never scraped"
        time.sleep(0.1)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with service_of(tmp_path_factory.mktemp("service"), NEXTCART__SERVING__WORKERS="2") as service:
        yield service


@pytest.fixture(scope="module")
def prometheus(service: Service, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    with prometheus_of(service.url.removeprefix("http://"), tmp_path_factory.mktemp("prometheus")) as prometheus:
        wait_until_up(prometheus)
        yield prometheus


def recommend(service: Service, n: int, body: Any = None) -> list[int]:
    """The statuses of `n` requests, each on a connection of its own, so that every worker gets some."""
    body = {"events": EVENTS} if body is None else body
    return [httpx.post(f"{service.url}/v1/recommend", json=body, timeout=30).status_code for _ in range(n)]


SERVED = 'sum(nextcart_http_requests_total{route="/v1/recommend",status="200"})'


def counted(service: Service) -> float:
    """What the service itself says now, whichever worker is asked."""
    text = httpx.get(f"{service.url}/metrics").text
    found = re.findall(
        r'^nextcart_http_requests_total\{route="/v1/recommend",status="200"\} (\S+)$', text, re.MULTILINE
    )
    return float(found[0]) if found else 0.0


def test_prometheus_sees_the_sum_of_all_workers_and_a_rate(service, prometheus):
    before = counted(service)
    assert recommend(service, 40) == [200] * 40
    assert counted(service) == before + 40
    prometheus.wait_for(SERVED, lambda value: value == before + 40)
    assert recommend(service, 20, {"events": "none"}) == [422] * 20
    refused = 'nextcart_http_requests_total{route="/v1/recommend",status="422"}'
    prometheus.wait_for(refused, lambda value: value == 20)
    assert recommend(service, 20) == [200] * 20
    rate = 'sum(rate(nextcart_http_requests_total{route="/v1/recommend",status="200"}[30s]))'
    assert prometheus.wait_for(rate, lambda value: value > 0) < 1000
    slowest = "histogram_quantile(0.99, sum by (le) (rate(nextcart_http_request_duration_seconds_bucket[30s])))"
    assert 0.0001 < prometheus.wait_for(slowest, math.isfinite) <= 1.0
    prometheus.wait_for("count(nextcart_process_resident_memory_bytes)", lambda value: value == 2)
    live = f'nextcart_model_info{{alias="production",version="{service.version}"}}'
    prometheus.wait_for(live, lambda value: value == 1)


def test_what_a_killed_worker_had_counted_stays(service, prometheus):
    assert recommend(service, 20) == [200] * 20
    before = counted(service)
    workers = psutil.Process(service.process.pid).children()
    assert len(workers) == 2
    os.kill(workers[0].pid, signal.SIGKILL)
    workers[0].wait(20)
    assert counted(service) == before
    assert recommend(service, 10) == [200] * 10
    assert counted(service) == before + 10
    prometheus.wait_for(SERVED, lambda value: value == before + 10)
    prometheus.wait_for("count(nextcart_process_resident_memory_bytes)", lambda value: value == 2)
    assert counted(service) == before + 10
    assert prometheus.value('resets(nextcart_http_requests_total{route="/v1/recommend",status="200"}[2m])') == 0


def test_the_text_is_as_prometheus_wants_it(service):
    recommend(service, 1)
    text = httpx.get(f"{service.url}/metrics").text
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_queries_of_the_page_are_understood_and_name_what_there_is(prometheus):
    queries = re.findall(r"\| `([^`]+)` \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(queries) > 20
    for query in queries:
        answer = httpx.get(f"{prometheus.url}/api/v1/query", params={"query": query}).json()
        assert answer["status"] == "success", (query, answer)
        for name in re.findall(r"nextcart_\w+", query):
            assert name in PROCESS_METRICS or name in DECLARED or re.sub("_(bucket|sum|count)$", "", name) in DECLARED


def test_what_visitors_type_is_no_label(service):
    for path in ("/v1/nothing", "/wp-admin.php", "/v1/items/sku-4711/similar", "/v1/items/1000/similar"):
        httpx.get(service.url + path)
    text = httpx.get(f"{service.url}/metrics").text
    for typed in ("nothing", "wp-admin", "sku-4711"):
        assert typed not in text
    assert 'nextcart_http_requests_total{route="other",status="404"}' in text
