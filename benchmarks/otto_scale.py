"""The whole workload at OTTO's shape: each stage at several scales, its growth, its floor, and peers at a thirtieth.

    python benchmarks/otto_scale.py [--scales 0.01 0.1 1.0] [--peer-scale X | --no-peers] [--ranker-alone] [--seed N]
        [--folder DIR] [--output FILE]

Scale 1.0 is 12.9 M sessions and 215 M events: some 15 minutes on two cores, and 20 GB of disk. Prints tables and writes
JSON after every scale. ``benchmarks/README.md`` says how to read it, ``docs/benchmarks.md`` has the figures.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import tempfile
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

from measure import Measured, measure
from pipeline import environment

DEFAULT_OUTPUT = Path(__file__).parent / "results" / "otto_scale.json"

STAGES = (
    "ingest",
    "split",
    "top_sellers",
    "covisitation",
    "bought_together",
    "item2vec",
    "ann",
    "evaluate",
    "whole",
    "matrices",
    "neighbours",
    "log_bilinear",
    "ranker",
    "with_ranker",
)
"""``ingest`` and ``split`` end with the training arrays on disk; ``item2vec`` has its neighbours, ``ann`` is these
alone; ``whole`` goes from raw JSONL to a published, evaluated version without a ranker. Beyond it, for the ranker:
co-visitation with all its matrices, session neighbours, log-bilinear, the ranker with its sources fitted on the past,
and in ``with_ranker`` all of a training of these."""
TARGETS = {
    "ingest": (5.0, 200.0, 3.0),
    "split": (2.0, 30.0, 3.0),
    "covisitation": (6.0, 60.0, 5.0),
    "item2vec": (20.0, 500.0, 4.0),
    "ann": (5.0, 150.0, 4.0),
    "evaluate": (100.0, 120.0, 4.0),
    "whole": (None, 1000.0, 8.0),
    "with_ranker": (None, 3000.0, 10.0),
}
"""Least ratio to the peer, most CPU seconds and GB of peak memory at scale 1.0; 3,000 are 25 minutes of two cores."""


def main() -> None:
    """Parse the command line, run the scales, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scales", type=float, nargs="+", default=[0.01, 0.1, 1.0])
    parser.add_argument("--peer-scale", type=float, default=1 / 30, help="where the notebook does the same")
    parser.add_argument("--ranker-scale", type=float, default=0.1, help="the largest scale with a ranker")
    parser.add_argument("--ranker-alone", action="store_true", help="of each scale only the ranker, once it is split")
    parser.add_argument("--no-peers", action="store_true", help="leave out the notebook's side")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--folder", type=Path, help="where to work; default: a temporary folder")
    parser.add_argument("--output", type=Path, default=DEFAULT_OUTPUT)
    options = parser.parse_args()
    report: dict[str, Any] = {"created_at": datetime.now(UTC).isoformat(), "seed": options.seed}
    report |= {"environment": environment(), "scales": {}, "peers": None}
    with tempfile.TemporaryDirectory(prefix="nextcart-scale-", dir=options.folder) as work:
        folder = _folder(Path(work) / "warm", 0.002, options.seed)
        run_scale(folder, with_ranker=options.ranker_alone)
        report["memory_bytes_per_s"] = measure("neutral", "memory", folder).facts["bytes_per_s"]
        if not options.no_peers:
            peers = _folder(Path(work) / "peers", options.peer_scale, options.seed)
            report["peers"] = run_scale(peers, with_peers=True)
            show_peers(report["peers"])
        for scale in sorted(options.scales):
            folder = _folder(Path(work) / f"{scale}", scale, options.seed)
            if options.ranker_alone:
                report["scales"][str(scale)] = run_ranker(folder)
                print(json.dumps(report["scales"][str(scale)], indent=1))
            else:
                report["scales"][str(scale)] = run_scale(folder, with_ranker=scale <= options.ranker_scale)
                show_scales(report)
            shutil.rmtree(folder)
            options.output.parent.mkdir(parents=True, exist_ok=True)
            options.output.write_text(json.dumps(report, indent=1) + "\n")
    print(f"\nwritten: {options.output}")


def run_ranker(folder: Path) -> dict[str, Any]:
    """A training with a ranker at one scale, and how well it finds what comes next."""
    (folder / "nextcart").mkdir(exist_ok=True)
    stages = (
        ("neutral", "make_otto"),
        ("nextcart", "ingest_with_arrays"),
        ("nextcart", "split"),
        ("nextcart", "ranker"),
    )
    runs = [measure(side, stage, folder) for side, stage in stages]
    made, trained = runs[0], runs[-1]
    return {
        "shop": made.facts,
        "cpu_s": {name: round(value, 3) for name, value in _ranker_cpu(trained.parts).items()},
        "wall_s": trained.wall_s,
        "peak_gb": round(trained.peak_mib / 1024, 2),
        "recall": {name: modes["next"]["recall"] for name, modes in trained.facts["metrics"].items()},
        "parts": trained.parts,
    }


def run_scale(folder: Path, *, with_peers: bool = False, with_ranker: bool = False) -> dict[str, Any]:
    """All stages at one scale; with the peers, each beside the notebook's; with the ranker, that too."""

    def run(side: str, stage: str) -> Measured:
        print(f"  {folder.name}: {side} {stage} …", flush=True)
        return measure(side, stage, folder)

    made = run("neutral", "make_otto")
    (folder / "nextcart").mkdir(exist_ok=True)
    ours = {"ingest": run("nextcart", "ingest_with_arrays"), "split": run("nextcart", "split")}
    ours["publish"] = run("nextcart", "publish")
    ours["ann"] = run("nextcart", "ann")
    ours["api"] = run("nextcart", "api")
    if with_ranker:
        ours["ranker"] = run("nextcart", "ranker")
    published = ours["publish"].facts
    events = published["events"]
    result: dict[str, Any] = {
        "shop": made.facts,
        "cpu_s": _cpu(ours),
        "wall_s": {name: each.wall_s for name, each in ours.items()} | {"synth": made.wall_s},
        "peak_gb": {name: round(each.peak_mib / 1024, 2) for name, each in ours.items()},
        "bytes_read": _bytes(folder, events),
        "training_events": events,
        "evaluated_sessions": published["sessions"],
        "recall": {name: modes["next"]["recall"] for name, modes in published["metrics"].items()},
        "served": ours["api"].facts,
        "stages": {name: each.as_dict() for name, each in ours.items()},
    }
    if with_ranker:
        metrics = ours["ranker"].facts["metrics"]
        result["recall_with_ranker"] = {name: modes["next"]["recall"] for name, modes in metrics.items()}
    if with_peers:
        (folder / "notebook").mkdir(exist_ok=True)
        run("nextcart", "train")
        run("neutral", "share_parts")
        run("neutral", "share_models")
        theirs = {
            name: run("notebook", name)
            for name in ("ingest", "split", "covisitation_all", "item2vec", "item2vec_corpus", "hnsw", "evaluation")
        }
        run("nextcart", "item2vec")
        result["peer_cpu_s"] = {
            "ingest": theirs["ingest"].work(),
            "split": theirs["split"].work(),
            "covisitation": theirs["covisitation_all"].work(),
            "item2vec": theirs["item2vec"].parts["train"],
            "item2vec, corpus_file": theirs["item2vec_corpus"].parts["train"],
            "ann": theirs["hnsw"].work(),
            "evaluate": theirs["evaluation"].work("setup"),
        }
        result["item2vec_recall"] = run("neutral", "compare_item2vec").facts
        result["peer_stages"] = {name: each.as_dict() for name, each in theirs.items()}
    return result


def _cpu(ours: dict[str, Measured]) -> dict[str, float]:
    """CPU seconds of each stage's work; ``split`` counts top sellers too, as its target does."""
    train = ours["publish"].parts
    seconds = {
        "ingest": ours["ingest"].work(),
        "split": ours["split"].work() + train["read"] + train["top_sellers"],
        "top_sellers": train["top_sellers"],
        "covisitation": train["covisitation"],
        "bought_together": train["bought_together"],
        "item2vec": train["item2vec"],
        "ann": ours["ann"].work(),
        "evaluate": train["evaluate"],
        # The arrays of all events, which ingest makes, are not used where the training part's are.
        "whole": ours["ingest"].work() + ours["split"].work() + sum(train.values()),
    }
    if "ranker" in ours:
        seconds |= _ranker_cpu(ours["ranker"].parts)
    return {name: round(value, 3) for name, value in seconds.items()}


def _ranker_cpu(parts: dict[str, float]) -> dict[str, float]:
    """CPU seconds of what a training with a ranker does."""
    return {
        "matrices": parts["covisitation"],
        "neighbours": parts["session_neighbours"],
        "log_bilinear": parts["log_bilinear"],
        "ranker": parts["ranker"],
        "with_ranker": sum(parts.values()) - parts["evaluate"],
    }


def _bytes(folder: Path, events: int) -> dict[str, int]:
    """Bytes that a stage cannot help reading once."""
    arrays = 13 * events
    stored = sum(file.stat().st_size for file in (folder / "nextcart" / "store" / "events" / "train").glob("*.parquet"))
    sizes = {"ingest": (folder / "events.jsonl").stat().st_size, "split": stored, "item2vec": 3 * 4 * events}
    sizes |= dict.fromkeys(("top_sellers", "covisitation", "bought_together"), arrays)
    return sizes


def show_scales(report: dict[str, Any]) -> None:
    """Print CPU seconds, peaks, growth and floors of the scales so far."""
    scales = report["scales"]
    columns = "".join(f"{scale:>10}" for scale in scales)
    print(f"\n{'CPU seconds':16}{columns}{'at most':>10}{'growth':>12}  floor")
    for stage in STAGES:
        values = [each["cpu_s"][stage] for each in scales.values() if stage in each["cpu_s"]]
        most = TARGETS.get(stage, (None, None, None))[1]
        steps = [
            math.log(b / a) / math.log(float(high) / float(low))
            for (low, a), (high, b) in pairwise(zip(scales, values, strict=False))
        ]
        growth = " ".join(f"{step:.2f}" for step in steps)
        read = list(scales.values())[-1]["bytes_read"].get(stage)
        floor = f"{read / report['memory_bytes_per_s']:.3f} s" if read else ""
        bound = f"{most:>10.0f}" if most else f"{'':10}"
        print(f"{stage:16}" + "".join(f"{value:>10.2f}" for value in values) + f"{bound}{growth:>12}  {floor}")
    print(f"\n{'peak GB':16}{columns}")
    for stage in ("ingest", "split", "publish", "ann", "ranker"):
        print(
            f"{stage:16}"
            + "".join(f"{each['peak_gb'][stage]:>10.2f}" for each in scales.values() if stage in each["peak_gb"])
        )
    walls = [sum(each["wall_s"][name] for name in ("ingest", "split", "publish")) for each in scales.values()]
    print(f"{'wall s, whole':16}" + "".join(f"{value:>10.1f}" for value in walls))
    for scale, each in scales.items():
        print(f"served at {scale}: {each['served']}")


def show_peers(result: dict[str, Any]) -> None:
    """Print nextcart beside its peers."""
    events = result["shop"]["events"]
    print(f"\nbeside the peers, {events:,} events{'CPU s':>16}{'nextcart':>10}{'ratio':>8}{'at least':>10}")
    for stage, peer in result["peer_cpu_s"].items():
        ours = result["cpu_s"][stage.split(",")[0]]
        least = 6.0 if stage.endswith("corpus_file") else TARGETS[stage][0]
        print(f"  {stage:38}{peer:>10.2f}{ours:>10.2f}{peer / ours:>8.1f}{least:>10.0f}")
    recall = result["item2vec_recall"]
    print(f"  item2vec, recall@20: {recall['notebook_exact']:.4f} and {recall['nextcart_exact']:.4f}, exact search")


def _folder(folder: Path, scale: float, seed: int) -> Path:
    (folder / "nextcart").mkdir(parents=True)
    (folder / "notebook").mkdir()
    (folder / "shop.json").write_text(json.dumps({"data": "otto", "scale": scale, "seed": seed}))
    return folder


if __name__ == "__main__":
    main()
