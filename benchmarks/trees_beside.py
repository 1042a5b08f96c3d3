"""The ranker's trees on a machine of their own, and beside a program that keeps one core busy.

    python benchmarks/trees_beside.py [--rows N] [--threads N] [--output FILE]

Trains as `nextcart train` does, on made-up questions, with OpenMP's threads asleep while they wait (nextcart's way) and
spinning (OpenMP's own); each in a process of its own, in turns. Prints seconds and ratios, and writes JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from pipeline import environment

from nextcart.config import RankerConfig
from nextcart.models.examples import Examples
from nextcart.models.model import FitOptions
from nextcart.models.ranker_training import grow_trees

FEATURES, ROWS_A_QUESTION, TREES, RUNS = 80, 40, 100, 3
WAITING = {"asleep": {}, "spinning": {"GOMP_SPINCOUNT": "300000"}}
"""What is set in the environment; so many turns are what libgomp takes by itself."""
BUSY = {"alone": 0, "beside one": 1}
DEFAULT_OUTPUT = Path(__file__).parent / "results" / "trees_beside.json"


def main() -> None:
    """Parse the command line, and train once, or in all ways."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=400_000)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--output", type=Path, default=DEFAULT_OUTPUT)
    parser.add_argument("--once", action="store_true", help="train in this process and print the seconds as JSON")
    options = parser.parse_args()
    if options.once:
        print(json.dumps(train(options.rows, options.threads)))
        return
    found: dict[str, Any] = {busy: {way: [] for way in WAITING} for busy in BUSY}
    for _ in range(RUNS):
        for busy, programs in BUSY.items():
            for way, variables in WAITING.items():
                found[busy][way].append(_in_a_process(options, variables, programs))
    report: dict[str, Any] = {"created_at": datetime.now(UTC).isoformat(), "environment": environment()}
    report |= {"rows": options.rows, "threads": options.threads, "trees": TREES, "runs": found, "spinning/asleep": {}}
    for busy, ways in found.items():
        wall = {way: median(run["wall_s"] for run in runs) for way, runs in ways.items()}
        cpu = {way: median(run["cpu_s"] for run in runs) for way, runs in ways.items()}
        ratio = wall["spinning"] / wall["asleep"]
        report["spinning/asleep"][busy] = round(ratio, 2)
        print(
            f"{busy:10}  asleep {wall['asleep']:6.1f} s ({cpu['asleep']:6.1f} CPU)   "
            f"spinning {wall['spinning']:6.1f} s ({cpu['spinning']:6.1f} CPU)   x {ratio:.1f}"
        )
    options.output.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(f"written: {options.output}")


def train(rows: int, threads: int) -> dict[str, float]:
    """Wall and CPU seconds of the training alone."""
    asked = made_up(rows)
    config = RankerConfig(max_trees=TREES, patience=TREES)
    wall, cpu = time.perf_counter(), time.process_time()
    grow_trees(asked, config, FitOptions(threads=threads))
    return {"wall_s": round(time.perf_counter() - wall, 2), "cpu_s": round(time.process_time() - cpu, 2)}


def made_up(rows: int) -> Examples:
    """Questions of 40 rows, of which the one with the largest sum of five features and some noise came."""
    rng = np.random.default_rng(7)
    n = rows // ROWS_A_QUESTION
    features = rng.normal(size=(n * ROWS_A_QUESTION, FEATURES)).astype(np.float32)
    worth = features[:, :5].sum(axis=1) + rng.normal(size=len(features))
    labels = np.zeros((n, ROWS_A_QUESTION), np.uint8)
    labels[np.arange(n), worth.reshape(n, -1).argmax(axis=1)] = 1
    return Examples(features, labels.ravel(), np.full(n, ROWS_A_QUESTION))


def _in_a_process(options: argparse.Namespace, variables: dict[str, str], programs: int) -> dict[str, float]:
    """What one training takes beside so many programs that do nothing but count."""
    # In sessions of their own, as programs of others are: Linux gives each session the same share of a core.
    count = [sys.executable, "-c", "while True: pass"]
    busy = [subprocess.Popen(count, start_new_session=True) for _ in range(programs)]
    try:
        command = [sys.executable, __file__, "--once", "--rows", str(options.rows), "--threads", str(options.threads)]
        done = subprocess.run(command, env={**os.environ, **variables}, capture_output=True, text=True, check=True)
    finally:
        for program in busy:
            program.kill()
            program.wait()
    return dict(json.loads(done.stdout))


if __name__ == "__main__":
    main()
