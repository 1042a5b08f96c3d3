"""From the workers' cells to Prometheus: every worker's counts as one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import accumulate

import psutil
from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from nextcart.serving.metrics.cells import Cells, WorkerValues
from nextcart.serving.metrics.declared import DECLARED, Declaration
from nextcart.serving.metrics.shown import ShownItems

Values = dict[tuple[str, ...], tuple[float, ...]]


class WorkersCollector(Collector):
    """Reads all workers' cells when it is asked.

    Args:
        cells: those of the process that answers, which know where the others' are.
        shown: which items each version has shown.
    """

    def __init__(self, cells: Cells, shown: ShownItems) -> None:
        self._cells = cells
        self._shown = shown

    def collect(self) -> Iterator[Metric]:
        """The families in the order of their declaration, then those of the processes."""
        workers = self._cells.read()
        merged = _merged(workers)
        for declared in DECLARED.values():
            if values := merged.get(declared.name):
                yield _family(declared, values)
        yield from _coverage(self._shown)
        yield from _processes(workers)


def _merged(workers: Sequence[WorkerValues]) -> dict[str, Values]:
    """One value a series; the gauges of a process that has ended say nothing any more."""
    found: dict[str, dict[tuple[str, ...], list[tuple[float, ...]]]] = defaultdict(lambda: defaultdict(list))
    for worker in workers:
        for (name, labels), values in worker.series.items():
            if worker.alive or DECLARED[name].kind != "gauge":
                found[name][labels].append(values)
    return {
        name: {labels: tuple(map(DECLARED[name].merge, zip(*lists, strict=True))) for labels, lists in series.items()}
        for name, series in found.items()
    }


def _family(declared: Declaration, values: Values) -> Metric:
    if declared.kind == "histogram":
        histogram = HistogramMetricFamily(declared.name, declared.help, labels=declared.labels)
        bounds = [*map(floatToGoString, declared.bounds), "+Inf"]
        for labels, cells in sorted(values.items()):
            histogram.add_metric(labels, list(zip(bounds, accumulate(cells[:-1]), strict=True)), cells[-1])
        return histogram
    kind = CounterMetricFamily if declared.kind == "counter" else GaugeMetricFamily
    family = kind(declared.name, declared.help, labels=declared.labels)
    for labels, (value,) in sorted(values.items()):
        family.add_metric(labels, value)
    return family


def _coverage(shown: ShownItems) -> Iterator[Metric]:
    items = GaugeMetricFamily(
        "nextcart_shown_items", "Items shown at least once since the service started.", labels=("version", "objective")
    )
    catalogue = GaugeMetricFamily("nextcart_catalogue_items", "Items of the version's catalogue.", labels=("version",))
    for version, n_items, counts in shown.counts():
        catalogue.add_metric((version,), n_items)
        for objective, count in counts.items():
            items.add_metric((version, objective), count)
    yield from (items, catalogue)


def _processes(workers: Sequence[WorkerValues]) -> Iterator[Metric]:
    """CPU and memory of each worker that runs; read here, so that a worker too busy to report is seen as well."""
    cpu = CounterMetricFamily(
        "nextcart_process_cpu_seconds_total", "CPU time of a worker since it started.", labels=("worker",)
    )
    resident = GaugeMetricFamily(
        "nextcart_process_resident_memory_bytes",
        "Memory of a worker, with the pages of models that workers share.",
        labels=("worker",),
    )
    own = GaugeMetricFamily(
        "nextcart_process_own_memory_bytes", "Memory of a worker without shared pages.", labels=("worker",)
    )
    for worker in workers:
        if not worker.alive:
            continue
        try:
            process = psutil.Process(worker.pid)
            times, memory = process.cpu_times(), process.memory_info()
        except psutil.Error:
            continue
        label = (str(worker.worker),)
        cpu.add_metric(label, times.user + times.system)
        resident.add_metric(label, memory.rss)
        own.add_metric(label, memory.rss - getattr(memory, "shared", 0))
    yield from (cpu, resident, own)
