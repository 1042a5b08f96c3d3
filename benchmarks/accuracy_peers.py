"""The peers' side of the accuracy benchmark: tuned on a split of the training part, then fitted on all of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from accuracy_bench import TASKS, Bench, read_lines, write_lists
from peers import notebook
from peers.log import Log, Session, read_log
from peers.neighbours import STAN, VSTAN, NeighbourMethod, SessionIndex, VMISkNN, VSkNN
from peers.rules import Rules, RulesIndex
from peers.tuning import K, Peer, Tuned, tune

METHODS: tuple[type[NeighbourMethod] | type[Rules], ...] = (VSkNN, STAN, VSTAN, VMISkNN, Rules)


class Peers:
    """All peers on one split.

    Attributes:
        files: predictions by task and name; "VSTAN" is tuned for recall, "VSTAN, for MRR" for that, where it differs.
        facts: settings, and CPU seconds of tuning, fitting and answering, by method.
    """

    def __init__(self, bench: Bench, split: Path, folder: Path, tuned_on: int) -> None:
        """Tune on at most ``tuned_on`` prefixes, fit, and answer all tasks."""
        self.files: dict[str, dict[str, Path]] = {task: {} for task in TASKS}
        self.facts: dict[str, Any] = {}
        self._split, self._folder = split, folder
        folder.mkdir()
        self._log = read_log(split / "train.jsonl")
        self._prefixes = {task: read_log(split / f"{task}.prefixes.jsonl", self._log.aids) for task in TASKS}
        bench.split(split / "train.jsonl", folder / "inner")
        tuned = self._tune(tuned_on)
        indexes = _indexes(self._log)
        for method in METHODS:
            self._answer(method, partial(method, indexes[method]), tuned[method])

    def _tune(self, most: int) -> dict[type, Tuned]:
        inner = self._folder / "inner"
        log = read_log(inner / "train.jsonl")
        prefixes = read_log(inner / "next_click.prefixes.jsonl", log.aids)
        labels = read_lines(inner / "next_click.labels.jsonl")
        drawn = np.sort(np.random.default_rng(42).permutation(len(prefixes))[:most])
        row_of = {aid: row for row, aid in enumerate(log.aids.tolist())}
        targets = np.array([row_of[labels[number]["target"]] for number in drawn], np.int64)
        sessions = [prefixes.session(number) for number in drawn]
        indexes = _indexes(log)
        return {method: tune(partial(method, indexes[method]), method.GRID, sessions, targets) for method in METHODS}

    def _answer(self, method: type[NeighbourMethod] | type[Rules], build: Callable[..., Peer], tuned: Tuned) -> None:
        began = time.process_time()
        picks = {method.name: tuned.for_recall}
        if tuned.for_mrr != tuned.for_recall:
            picks[f"{method.name}, for MRR"] = tuned.for_mrr
        for name, settings in picks.items():
            peer = build(**settings)
            for task in TASKS:
                self._write(task, name, [self._lists(peer, task, session) for session in self._prefixes[task]])
        self.facts[method.name] = {
            "for_recall": tuned.for_recall,
            "for_mrr": tuned.for_mrr,
            "settings_tried": tuned.tried,
            "tuning_cpu_s": tuned.cpu_s,
            "answering_cpu_s": round(time.process_time() - began, 2),
        }

    def _lists(self, peer: Peer, task: str, session: Session) -> Any:
        if task == "official" and isinstance(peer, Rules):
            by_type = {kind: peer.recommend(session, K, kind) for kind in ("carts", "orders")}
            by_type["clicks"] = peer.recommend(session, K)
            return {kind: self._log.aids[rows].tolist() for kind, rows in by_type.items()}
        return self._log.aids[peer.recommend(session, K)].tolist()

    def _write(self, task: str, name: str, lists: list[Any]) -> None:
        target = self._folder / f"{task}.{name}.jsonl".replace(" ", "_")
        names = [str(each) for each in self._prefixes[task].names]
        self.files[task][name] = write_lists(target, names, lists)

    def notebook(self, rows: list[dict[str, Any]]) -> dict[str, float]:
        """Answer all tasks by the notebook's models; give their recall@20 in the notebook's own protocol.

        Args:
            rows: the whole test sessions.
        """
        models, cpu_s = notebook.fit(self._log, self._folder / "fitted")
        began = time.process_time()
        for task, log in self._prefixes.items():
            shown = [notebook.history(log, session) for session in log]
            for model in notebook.MODELS:
                lists = [models.recommend(model, each, "next") for each in shown]
                self._write(task, f"notebook {model}", lists)
        answering = round(time.process_time() - began, 2)
        self.facts["notebook"] = {"fitting_cpu_s": round(cpu_s, 2), "answering_cpu_s": answering}
        return _replay(models, rows)


def _indexes(log: Log) -> dict[type, Any]:
    sessions = SessionIndex(log)
    return dict.fromkeys(METHODS, sessions) | {Rules: RulesIndex(log)}


def _replay(models: Any, rows: list[dict[str, Any]]) -> dict[str, float]:
    from notebook_models import replay
    from peers.log import TYPE_NAMES

    sessions = [
        ([event["aid"] for event in row["events"]], [TYPE_NAMES.index(event["type"]) for event in row["events"]])
        for row in rows
    ]
    return {name: replay(models, name, "next", sessions, 1)["recall"] for name in notebook.MODELS}
