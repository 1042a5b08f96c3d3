"""A stage in a process of its own: its CPU seconds, user and system, of all threads and children, and peak memory.

Run as a program, this module is that process: ``measure.py SIDE STAGE FOLDER RESULT``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from statistics import median
from typing import Any

SIDES = {"nextcart": "nextcart_way", "notebook": "notebook_way", "neutral": "neutral_ground"}
"""The modules that hold the stages of each side, in their ``STAGES``."""
THREADS = 2
SHORT_SECONDS = 12.0
"""A stage is run again while all its runs together took less wall time than this."""


class Clock:
    """CPU seconds of the named parts of a stage; what stands outside a part (imports, saving for a check) is no work.

    Attributes:
        parts: CPU seconds by the part's name.
    """

    def __init__(self) -> None:
        self.parts: dict[str, float] = {}

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Count what runs inside, in all threads of the process."""
        began = time.process_time()
        yield
        self.parts[name] = self.parts.get(name, 0.0) + time.process_time() - began


Stage = Callable[[Path, Clock], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Measured:
    """The median run of a stage.

    Attributes:
        runs: how often it was run.
        process_cpu_s: user and system seconds of the whole process, with the interpreter's start and imports.
        wall_s: of the whole process.
        peak_mib: most resident memory.
        parts: CPU seconds of the stage's parts.
        facts: what the stage said of itself, in its last run.
    """

    runs: int
    process_cpu_s: float
    wall_s: float
    peak_mib: float
    parts: dict[str, float]
    facts: dict[str, Any]

    def work(self, *without: str) -> float:
        """CPU seconds of all parts but those named."""
        return sum(seconds for name, seconds in self.parts.items() if name not in without)

    def as_dict(self) -> dict[str, Any]:
        """The fields by name, for JSON."""
        return asdict(self)


def measure(side: str, stage: str, folder: Path, most_runs: int = 1) -> Measured:
    """Run a stage, again while it is short and ``most_runs`` allows, and give the median of each figure."""
    runs: list[Measured] = []
    while len(runs) < most_runs and sum(run.wall_s for run in runs) < SHORT_SECONDS:
        runs.append(_run(side, stage, folder))
    return Measured(
        runs=len(runs),
        process_cpu_s=round(median(run.process_cpu_s for run in runs), 4),
        wall_s=round(median(run.wall_s for run in runs), 4),
        peak_mib=round(median(run.peak_mib for run in runs), 1),
        parts={name: round(median(run.parts[name] for run in runs), 4) for name in runs[0].parts},
        facts=runs[-1].facts,
    )


def _run(side: str, stage: str, folder: Path) -> Measured:
    result = folder / "result.json"
    command = [sys.executable, __file__, side, stage, str(folder), str(result)]
    began = time.perf_counter()
    process = subprocess.Popen(command, env=os.environ | {"OMP_NUM_THREADS": str(THREADS)})
    _, status, usage = os.wait4(process.pid, 0)
    wall_s = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{side} {stage} failed with exit code {process.returncode}; its error stands above")
    said = json.loads(result.read_text())
    result.unlink()
    cpu_s = usage.ru_utime + usage.ru_stime
    return Measured(1, cpu_s, wall_s, usage.ru_maxrss / 1024, said["parts"], said["facts"])


def main() -> None:
    """Run one stage here and write what it says of itself."""
    side, name, folder, result = sys.argv[1:]
    stages: dict[str, Stage] = import_module(SIDES[side]).STAGES
    clock = Clock()
    facts = stages[name](Path(folder), clock)
    Path(result).write_text(json.dumps({"parts": clock.parts, "facts": facts}))


if __name__ == "__main__":
    main()
