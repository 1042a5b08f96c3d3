"""What a job took: measured a stage at a time, and written down even when the job fails."""

from __future__ import annotations

import json
import os
import resource
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from nextcart.repository.manifest import Timing

CLEAR_REFS = Path("/proc/self/clear_refs")
STATUS = Path("/proc/self/status")


class StepRecord:
    """A context around a job that leaves ``<name>-<time>.json`` in a folder: status, duration, memory and facts.

    Attributes:
        facts: what the job wants to be remembered, such as rows read; JSON values.
        timings: the stages measured so far.
        file: where the record will be written.
    """

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.facts: dict[str, Any] = {}
        self.timings: list[Timing] = []
        self._began = datetime.now(UTC)
        self.file = folder / f"{name}-{self._began:%Y%m%dT%H%M%SZ}-{secrets.token_hex(2)}.json"

    def __enter__(self) -> Self:
        self._wall, self._cpu = time.perf_counter(), time.process_time()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        document = {
            "step": self.name,
            "status": "failed" if error else "done",
            "error": f"{type(error).__name__}: {error}" if error else None,
            "began_at": self._began.isoformat(),
            "wall_seconds": round(time.perf_counter() - self._wall, 3),
            "cpu_seconds": round(time.process_time() - self._cpu, 3),
            "peak_memory_bytes": max([timing.peak_memory_bytes for timing in self.timings], default=peak_memory()),
            "timings": [timing.model_dump() for timing in self.timings],
            "facts": self.facts,
        }
        text = json.dumps(document, indent=1) + "\n"
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            beside = self.file.with_suffix(".tmp")
            beside.write_text(text, encoding="utf-8")
            beside.rename(self.file)
        except OSError:
            # The job's own outcome matters more than its record, and on a full disk both fail.
            if error is None:
                raise

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Measure one stage; its peak memory is that of the process while it ran."""
        _reset_peak_memory()
        wall, cpu = time.perf_counter(), time.process_time()
        try:
            yield
        finally:
            self.timings.append(
                Timing(
                    stage=name,
                    wall_seconds=round(time.perf_counter() - wall, 3),
                    cpu_seconds=round(time.process_time() - cpu, 3),
                    peak_memory_bytes=peak_memory(),
                )
            )


def peak_memory() -> int:
    """Peak resident memory of this process in bytes, since the last reset where the system can reset it."""
    try:
        for line in STATUS.read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _reset_peak_memory() -> None:
    """Linux lets a process start its peak anew; elsewhere the peak is that since the start."""
    if os.access(CLEAR_REFS, os.W_OK):
        try:
            CLEAR_REFS.write_text("5", encoding="ascii")
        except OSError:
            return
