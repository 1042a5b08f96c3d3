"""What the ranker's trees take to score one session's candidates: three ways, side by side.

    python benchmarks/forest.py [--rows N] [--output FILE]

Grows trees as `nextcart train` does, on made-up questions, and scores 150 rows a call: by LightGBM's own predict, by
walking each row down each tree, and by the kernel of complete trees, which is nextcart's way. Ways are timed in turns,
in CPU microseconds a call on one thread. Prints the ratios and writes JSON. All three must agree.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from pipeline import environment
from trees_beside import made_up

from nextcart.config import RankerConfig
from nextcart.kernels.forest import score_forest
from nextcart.models.forest import Forest
from nextcart.models.model import FitOptions
from nextcart.models.ranker_training import boosted

CANDIDATES, CALLS, TURNS = 150, 400, 7
DEFAULT_OUTPUT = Path(__file__).parent / "results" / "forest.json"


def main() -> None:
    """Parse the command line, grow the trees, and time the ways."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=400_000, help="rows that the trees are grown from")
    parser.add_argument("--output", type=Path, default=DEFAULT_OUTPUT)
    options = parser.parse_args()
    asked = made_up(options.rows)
    config = RankerConfig(patience=RankerConfig().max_trees)
    booster = boosted(asked, config, FitOptions(threads=1))
    forest = Forest.from_lightgbm(booster)
    ways: dict[str, Callable[[Any], Any]] = {
        "lightgbm": lambda rows: 1 / (1 + np.exp(-booster.predict(rows, raw_score=True, num_threads=1))),
        "walked": lambda rows: score_forest(rows, *forest.arrays("").values()),
        "complete": forest.score,
    }
    rows = asked.features[: CANDIDATES * CALLS]
    for name, way in ways.items():
        np.testing.assert_allclose(way(rows), forest.score(rows), atol=1e-5, err_msg=name)
    turns: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(TURNS):
        for name, way in ways.items():
            turns[name].append(_microseconds(way, rows))
    report: dict[str, Any] = {"created_at": datetime.now(UTC).isoformat(), "environment": environment()}
    report |= {"trees": len(forest.roots), "nodes": len(forest.features), "features": rows.shape[1]}
    report |= {"rows_a_call": CANDIDATES, "cpu_us_a_call": turns, "ratio_to_complete": {}}
    for name, found in turns.items():
        ratio = median(found) / median(turns["complete"])
        report["ratio_to_complete"][name] = round(ratio, 2)
        print(f"{name:9}  {median(found):7.1f} us of CPU for {CANDIDATES} rows   x {ratio:.1f}")
    options.output.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(f"written: {options.output}")


def _microseconds(way: Callable[[Any], Any], rows: Any) -> float:
    """CPU microseconds a call, of all calls in a row."""
    began = time.process_time()
    for start in range(0, len(rows), CANDIDATES):
        way(rows[start : start + CANDIDATES])
    return round((time.process_time() - began) / (len(rows) // CANDIDATES) * 1e6, 1)


if __name__ == "__main__":
    main()
