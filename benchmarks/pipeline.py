"""nextcart's pipeline beside the same job done the notebook way: CPU seconds and peak memory a stage, in one run.

    python benchmarks/pipeline.py [--quick] [--data grocery|synth|all] [--synth-scale X] [--output FILE]

Prints a table a shop and writes JSON. ``benchmarks/README.md`` says what is compared and how to read it.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from measure import THREADS, Measured, measure
from table import show

SHOPS = ("grocery", "synth")
RUNS = 3
QUICK_SCALE, WARM_SCALE = 0.2, 0.05
RECALL_TOLERANCE = 0.005
"""How far a model's recall may lie apart where both sides have the same lists and vectors, but another index."""
SERVING_TARGET_US = 100.0
PACKAGES = ("nextcart", "numpy", "numba", "duckdb", "faiss-cpu", "pyarrow", "pandas", "gensim", "scipy")
DEFAULT_OUTPUT = Path(__file__).parent / "results" / "pipeline.json"


@dataclass(frozen=True, slots=True)
class Comparison:
    """One line of the table.

    Attributes:
        stage: what is compared.
        notebook: CPU seconds of the stage's work.
        nextcart: likewise.
        target: the least ratio wanted; None where the line only informs.
        holds: whether the target is met; None where there is none.
        process: CPU seconds of the whole processes, notebook's and nextcart's.
        peak_mib: most resident memory, notebook's and nextcart's.
    """

    stage: str
    notebook: float
    nextcart: float
    target: float | None
    holds: bool | None
    process: tuple[float, float] | None = None
    peak_mib: tuple[float, float] | None = None

    @property
    def ratio(self) -> float:
        """How many times less CPU nextcart takes."""
        return self.notebook / self.nextcart


def main() -> None:
    """Parse the command line, run the shops, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a fifth of the data, each stage once")
    parser.add_argument("--data", choices=(*SHOPS, "all"), default="all")
    parser.add_argument("--synth-scale", type=float, default=1.0, help="size of the synthetic shop, in million events")
    parser.add_argument("--output", type=Path, default=DEFAULT_OUTPUT)
    options = parser.parse_args()
    report: dict[str, Any] = {"created_at": datetime.now(UTC).isoformat(), "quick": options.quick}
    report |= {"environment": environment(), "shops": {}}
    with tempfile.TemporaryDirectory(prefix="nextcart-bench-") as work:
        measure("neutral", "warm", _folder(work, "warm", "synth", WARM_SCALE))
        for shop in SHOPS if options.data == "all" else (options.data,):
            scale = (options.synth_scale if shop == "synth" else 1.0) * (QUICK_SCALE if options.quick else 1.0)
            result = run_shop(shop, _folder(work, shop, shop, scale), quick=options.quick)
            show(shop, result)
            report["shops"][shop] = result
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(report, indent=1) + "\n")
    print(f"\nwritten: {options.output}")


def run_shop(shop: str, folder: Path, *, quick: bool) -> dict[str, Any]:
    """Run every stage of both sides on one shop's events, and check that they agree."""
    runs = 1 if quick else RUNS

    def run(side: str, stage: str, most_runs: int = runs) -> Measured:
        print(f"  {shop}: {side} {stage} …", flush=True)
        return measure(side, stage, folder, most_runs)

    run("neutral", "make", 1)
    stages: dict[str, dict[str, Measured]] = {"ingest": _both(run, "ingest")}
    stages["split"] = {"nextcart": run("nextcart", "split", 1)}
    events = run("neutral", "share_events", 1).facts
    stages["train"] = {"nextcart": run("nextcart", "train")}
    run("neutral", "share_models", 1)
    stages["covisitation"] = _both(run, "covisitation")
    checks = {"events": events, "covisitation": run("neutral", "compare_covisitation", 1).facts}
    stages["covisitation_all"] = {"notebook": run("notebook", "covisitation_all")}
    stages["item2vec"] = _both(run, "item2vec")
    stages["item2vec_list"] = {"notebook": run("notebook", "item2vec_list", 1)}
    checks["item2vec"] = run("neutral", "compare_item2vec", 1).facts
    stages["evaluation"] = _both(run, "evaluation")
    checks["evaluation"] = _agree({side: each.facts["metrics"] for side, each in stages["evaluation"].items()})
    stages["serving"] = {"nextcart": run("nextcart", "serving", 1)}
    lines = compare(stages, checks)
    return {
        "splits": events["splits"],
        "comparisons": [asdict(line) | {"ratio": round(line.ratio, 2)} for line in lines],
        "evaluation_us_per_session": {
            side: round(each.work("setup") / each.facts["sessions"] * 1e6, 1)
            for side, each in stages["evaluation"].items()
        },
        "serving": _serving(stages["serving"]["nextcart"]),
        "train_cpu_s": {"total": round(stages["train"]["nextcart"].work(), 4)} | stages["train"]["nextcart"].parts,
        "checks": checks,
        "stages": {name: {side: each.as_dict() for side, each in sides.items()} for name, sides in stages.items()},
    }


def compare(stages: dict[str, dict[str, Measured]], checks: dict[str, Any]) -> list[Comparison]:
    """The lines of the table, from what was measured."""
    ingest, covisitation, item2vec = stages["ingest"], stages["covisitation"], stages["item2vec"]
    evaluation = stages["evaluation"]
    arrays = stages["split"]["nextcart"].parts["arrays"]
    recall = checks["item2vec"]
    as_good = recall["nextcart_index"] >= recall["notebook_index"]

    def inform(stage: str, notebook: float, nextcart: float) -> Comparison:
        return Comparison(stage, notebook, nextcart, None, None)

    return [
        _line("ingest", ingest, 3.0),
        inform("  with nextcart's training arrays", ingest["notebook"].work(), ingest["nextcart"].work() + arrays),
        _line("co-visitation", covisitation, 5.0),
        inform(
            "  with nextcart's training arrays",
            covisitation["notebook"].work(),
            covisitation["nextcart"].work() + arrays,
        ),
        inform(
            "  notebook over all items", stages["covisitation_all"]["notebook"].work(), covisitation["nextcart"].work()
        ),
        _line("item2vec", item2vec, 5.0, also=as_good),
        inform(
            "  notebook's gensim fed from a list",
            stages["item2vec_list"]["notebook"].work(),
            item2vec["nextcart"].work(),
        ),
        _line("evaluation", evaluation, 50.0, "setup"),
        inform("  with the set-up of both", evaluation["notebook"].work(), evaluation["nextcart"].work()),
    ]


def _line(stage: str, sides: dict[str, Measured], target: float, *without: str, also: bool = True) -> Comparison:
    notebook, nextcart = sides["notebook"], sides["nextcart"]
    work = notebook.work(*without), nextcart.work(*without)
    return Comparison(
        stage,
        *work,
        target,
        also and work[0] / work[1] >= target,
        (notebook.process_cpu_s, nextcart.process_cpu_s),
        (notebook.peak_mib, nextcart.peak_mib),
    )


def _both(run: Callable[[str, str], Measured], stage: str) -> dict[str, Measured]:
    return {side: run(side, stage) for side in ("notebook", "nextcart")}


def _agree(metrics: dict[str, dict[str, dict[str, dict[str, float]]]]) -> dict[str, Any]:
    """Both sides' metrics of every model and mode, which must be near one another."""
    ours, theirs = metrics["nextcart"], metrics["notebook"]
    apart = {
        f"{model}, {mode}": round(abs(figures["recall"] - theirs[model][mode]["recall"]), 6)
        for model, modes in ours.items()
        for mode, figures in modes.items()
    }
    for name, difference in apart.items():
        assert difference <= RECALL_TOLERANCE, f"recall of {name} differs by {difference:.4f} between the two sides"
    return {"recall_apart": apart} | metrics


def _serving(measured: Measured) -> dict[str, Any]:
    facts = measured.facts
    return facts | {"target_us": SERVING_TARGET_US, "holds": facts["score"]["median_us"] < SERVING_TARGET_US}


def environment(packages: Sequence[str] = PACKAGES) -> dict[str, Any]:
    """The machine and the packages, for the record."""
    models = [line.split(":")[1].strip() for line in _cpu_lines() if line.startswith("model name")]
    return {
        "cpu": models[0] if models else platform.processor(),
        "cores": os.cpu_count(),
        "threads": THREADS,
        "python": platform.python_version(),
        "packages": {name: version(name) for name in packages},
    }


def _cpu_lines() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.is_file() else []


def _folder(work: str, name: str, data: str, scale: float) -> Path:
    """A folder for one shop, with a note of which shop it is and how large."""
    folder = Path(work) / name
    (folder / "notebook").mkdir(parents=True)
    (folder / "nextcart").mkdir()
    (folder / "shop.json").write_text(json.dumps({"data": data, "scale": scale}))
    return folder


if __name__ == "__main__":
    main()
