"""What one worker does over HTTP: CPU a request, latency at a constant rate, sessions, events, swaps, memory.

    python benchmarks/serving.py [--quick] [--only NAME,…] [--soak SECONDS] [--items N] [--seconds S] [--rounds N]
        [--models DIR] [--output FILE]

Over a shop of 1.86 million items (random tables). CPU is that of the server's process, user and system, between the
first and the last request. Wants ``wrk`` and ``redis-server`` on the path, a quiet machine and two cores: one for the
server, one for what asks. Sections that are measured replace those of the output file; the others stay. README.md says
how to read the tables.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pipeline import environment
from serving_kill import kill
from serving_requests import write_requests
from serving_shop import shop
from serving_speed import EVENT_SIZES, Run, closed, events, open_, redis
from serving_state import soak, swap, workers
from serving_table import show

ITEMS, SECONDS, ROUNDS = 1_860_000, 10.0, 3
QUICK_ITEMS, QUICK_SECONDS, QUICK_ROUNDS = 50_000, 2.0, 1
DEFAULT_OUTPUT = Path(__file__).parent / "results" / "serving.json"
PACKAGES = ("nextcart", "uvicorn", "uvloop", "httptools", "fastapi", "pydantic", "msgspec", "numba", "numpy", "redis")
SECTIONS: dict[str, Callable[[Run], dict[str, Any]]] = {
    "closed": closed,
    "open": open_,
    "redis": redis,
    "events": events,
    "workers": workers,
    "swap": swap,
    "kill": kill,
    "soak": soak,
}
USUAL = tuple(name for name in SECTIONS if name != "soak")


def main() -> None:
    """Measure, print and write."""
    options = _options()
    items = options.items or (QUICK_ITEMS if options.quick else ITEMS)
    seconds = options.seconds or (QUICK_SECONDS if options.quick else SECONDS)
    rounds = options.rounds or (QUICK_ROUNDS if options.quick else ROUNDS)
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work)
        models = options.models or folder / "models"
        shop(models, items, 2 if "swap" in options.only else 1)
        run = Run(
            models.resolve(),
            folder,
            write_requests(folder, items, EVENT_SIZES),
            seconds,
            rounds,
            options.soak or 0.0,
            items,
        )
        for name in options.only:
            found[name] = {
                "created_at": datetime.now(UTC).isoformat(),
                "environment": environment(PACKAGES),
                "items": items,
                "seconds": seconds,
                "rounds": rounds,
                **SECTIONS[name](run),
            }
    show(found)
    held = json.loads(options.output.read_text())["sections"] if options.output.is_file() else {}
    merged = {name: (held | found)[name] for name in SECTIONS if name in held | found}
    options.output.write_text(json.dumps({"sections": merged}, indent=1) + "\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="50,000 items, 2 seconds, one round: does it run at all")
    parser.add_argument("--only", type=_names, help=f"sections by name, of {', '.join(SECTIONS)}; all but the soak")
    parser.add_argument("--soak", type=float, metavar="SECONDS", help="the soak; alone, unless --only names others")
    parser.add_argument("--items", type=int)
    parser.add_argument("--seconds", type=float, help="of each measurement")
    parser.add_argument("--rounds", type=int, help="of the closed loops")
    parser.add_argument("--models", type=Path, help="folder of the shop's versions, made where it is missing and kept")
    parser.add_argument("--output", type=Path, default=DEFAULT_OUTPUT)
    options = parser.parse_args()
    if options.only is None:
        options.only = ["soak"] if options.soak else list(USUAL)
    if options.soak and "soak" not in options.only:
        options.only.append("soak")
    if "soak" in options.only and not options.soak:
        options.soak = 600.0
    return options


def _names(text: str) -> list[str]:
    names = text.split(",")
    if unknown := [name for name in names if name not in SECTIONS]:
        raise argparse.ArgumentTypeError(f"no section is named {', '.join(unknown)}; there are {', '.join(SECTIONS)}")
    return names


if __name__ == "__main__":
    main()
