"""What a job took: measured a stage at a time, and written down even when the job fails."""

from __future__ import annotations

import json
import logging
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

from nextcart.events.lock import Holder
from nextcart.repository.manifest import Timing

CLEAR_REFS = Path("/proc/self/clear_refs")
STATUS = Path("/proc/self/status")
IO = Path("/proc/self/io")

log = logging.getLogger(__name__)


class StepRecord:
    """A context around a job that leaves ``<name>-<time>.json`` in a folder: status, duration, memory, bytes and facts.

    The record is there from the start, as ``running``, and renewed after each stage: that of a job that was killed
    says how far it came. A record that cannot be written never fails the job.

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
        self._process = Holder.here()
        self.file = folder / f"{name}-{self._began:%Y%m%dT%H%M%SZ}-{secrets.token_hex(2)}.json"

    def __enter__(self) -> Self:
        self._wall, self._cpu, self._bytes = time.perf_counter(), time.process_time(), _bytes_moved()
        self._write("running")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        problem = self._write("failed" if error else "done", f"{type(error).__name__}: {error}" if error else None)
        # A job that failed says one thing, its own; on a full disk both fail.
        if problem and not error:
            log.warning("%s: the record of this run cannot be written (%s)", self.file, problem.strerror or problem)

    def _write(self, status: str, error: str | None = None) -> OSError | None:
        moved = [now - before for now, before in zip(_bytes_moved(), self._bytes, strict=True)]
        document = {
            "step": self.name,
            "status": status,
            "error": error,
            "began_at": self._began.isoformat(),
            "process": self._process.pid,
            "host": self._process.host,
            "command": self._process.command,
            "wall_seconds": round(time.perf_counter() - self._wall, 3),
            "cpu_seconds": round(time.process_time() - self._cpu, 3),
            "peak_memory_bytes": max([timing.peak_memory_bytes for timing in self.timings], default=peak_memory()),
            "read_bytes": moved[0],
            "written_bytes": moved[1],
            "timings": [timing.model_dump() for timing in self.timings],
            "facts": self.facts,
        }
        beside = self.file.with_suffix(".tmp")
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            try:
                beside.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
                beside.rename(self.file)
            finally:
                beside.unlink(missing_ok=True)
        except OSError as problem:
            return problem
        return None

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
            self._write("running")


def peak_memory() -> int:
    """Peak resident memory of this process in bytes, since the last reset where the system can reset it."""
    try:
        for line in STATUS.read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _bytes_moved() -> tuple[int, int]:
    """Bytes that this process has read and written so far, mapped files apart; zeros where the system does not tell."""
    try:
        counts = dict(line.split(": ") for line in IO.read_text(encoding="ascii").splitlines())
    except OSError:
        return 0, 0
    return int(counts["rchar"]), int(counts["wchar"])


def _reset_peak_memory() -> None:
    """Linux lets a process start its peak anew; elsewhere the peak is that since the start."""
    if os.access(CLEAR_REFS, os.W_OK):
        try:
            CLEAR_REFS.write_text("5", encoding="ascii")
        except OSError:
            return
