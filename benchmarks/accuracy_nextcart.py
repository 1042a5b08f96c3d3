"""nextcart's side of the accuracy benchmark: the installed command line, as anybody would use it, and single calls."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
from accuracy_bench import TASKS, read_lines, write_lines, write_lists

SYSTEMS = ("ranker", "session_neighbours", "log_bilinear", "hybrid", "covisitation", "item2vec", "top_sellers")
TYPES = ("clicks", "carts", "orders")
CALLS = 2000
WITHOUT_RANKER = "session_neighbours"


class Nextcart:
    """A version trained on the training part of a split, with the default settings."""

    def __init__(self, split: Path, folder: Path) -> None:
        """Ingest, train and promote in ``folder``."""
        self._split, self._folder, self._models = split, folder, str(folder / "models")
        folder.mkdir()
        self.cpu_s = {
            "ingest": self._run("ingest", str(split / "train.jsonl"), "--store", str(folder / "store")),
            "train": self._run("train", "--store", str(folder / "store"), "--models", self._models),
        }
        self._run("promote", "--latest", "--models", self._models)
        self.version = next((folder / "models" / "versions").iterdir())
        manifest = json.loads((self.version / "manifest.json").read_text(encoding="utf-8"))
        self.timings: dict[str, float] = {each["stage"]: each["cpu_seconds"] for each in manifest["timings"]}
        for task in TASKS:
            rows = read_lines(split / f"{task}.prefixes.jsonl")
            self._write(task, ({"session": str(row["id"]), "events": row["events"]} for row in rows))

    def _write(self, task: str, rows: Any) -> Path:
        return write_lines(self._folder / f"{task}.jsonl", rows)

    def has(self, system: str) -> bool:
        """Whether the version has that model: a small log gets no ranker."""
        return (self.version / system).is_dir()

    def recommend(self, system: str, task: str, objective: str = "clicks") -> dict[str, list[int]]:
        """Lists of 20 for a task's prefixes, by their names."""
        answers = self._folder / "answers.jsonl"
        arguments = ["--models", self._models, "--model", system, "--objective", objective, "--limit", "20"]
        self._run("recommend", str(self._folder / f"{task}.jsonl"), *arguments, "--output", str(answers))
        return {row["session"]: row["items"] for row in read_lines(answers)}

    def lists(self, system: str, task: str, types: list[str]) -> Path:
        """Predictions for score.py: for the official task a list for each type, by that objective."""
        target = self._folder / f"{task}.{system}.jsonl"
        if task != "official":
            found = self.recommend(system, task)
            return write_lists(target, found, found.values())
        by_type = {kind: self.recommend(system, task, kind) for kind in types}
        names = list(by_type["clicks"] if "clicks" in by_type else by_type[types[0]])
        return write_lists(target, names, [{kind: by_type[kind][name] for kind in types} for name in names])

    def last_events(self, system: str, rows: list[dict[str, Any]]) -> float:
        """recall@20 in the notebook's own protocol: the last event of each session, from the five before it."""
        shown = ({"session": str(row["session"]), "events": row["events"][:-1][-5:]} for row in rows)
        self._write("last_event", shown)
        found = self.recommend(system, "last_event")
        return sum(row["events"][-1]["aid"] in found[str(row["session"])] for row in rows) / len(rows)

    def one_call(self) -> dict[str, dict[str, float]]:
        """CPU µs of one recommendation, a batch of one, with the ranker and without: median and p99."""
        from nextcart.events.schema import Event, Session
        from nextcart.models.received import session_batch
        from nextcart.models.recommender import Recommender

        recommender = Recommender.load(self.version)
        recommender.warm()
        rows = read_lines(self._split / "next_click.prefixes.jsonl")
        rows = rows[:: max(1, len(rows) // CALLS)][:CALLS]
        sessions = [Session(0, [Event(**event) for event in row["events"]]) for row in rows]
        batches = [session_batch(recommender.vocabulary, [session]) for session in sessions]
        taken: dict[str, dict[str, float]] = {}
        for system in (name for name in ("ranker", WITHOUT_RANKER, "log_bilinear", "hybrid") if self.has(name)):
            for batch in batches[:200]:
                recommender.recommend(batch, 20, model=system)
            cpu = np.empty(len(batches))
            for number, batch in enumerate(batches):
                began = time.process_time_ns()
                recommender.recommend(batch, 20, model=system)
                cpu[number] = (time.process_time_ns() - began) / 1000
            median, p99 = np.percentile(cpu, [50, 99])
            taken[system] = {"median_us": round(float(median), 1), "p99_us": round(float(p99), 1), "calls": len(cpu)}
        return taken

    def _run(self, *arguments: str) -> float:
        """CPU seconds of one command; leaves the run where it fails."""
        program = shutil.which("nextcart")
        assert program is not None, "nextcart is not installed"
        with (self._folder / "stderr.txt").open("w+", encoding="utf-8") as errors:
            process = subprocess.Popen([program, *arguments], stdout=subprocess.DEVNULL, stderr=errors)
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            errors.seek(0)
            if process.returncode:
                raise SystemExit(f"nextcart {arguments[0]} failed: {errors.read()[-500:]}")
        return round(usage.ru_utime + usage.ru_stime, 2)
