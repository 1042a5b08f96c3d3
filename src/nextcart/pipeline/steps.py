"""Split, train and evaluate: from the event store to a published version, and from a version to its metrics."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from importlib.metadata import version as installed_version
from pathlib import Path

from nextcart.config import IngestConfig, Settings, SplitConfig
from nextcart.errors import InputError
from nextcart.evaluation.replay import evaluate
from nextcart.evaluation.report import Evaluation
from nextcart.events.schema import SplitFacts, SplitName
from nextcart.events.split import SplitSummary
from nextcart.events.split import split as cut
from nextcart.events.store import Store
from nextcart.models.arrays import read_batch, training_arrays
from nextcart.models.model import FitOptions
from nextcart.models.recommender import Recommender
from nextcart.pipeline.record import StepRecord
from nextcart.repository.manifest import DataFacts, Manifest, VersionDraft
from nextcart.repository.repository import Repository
from nextcart.types import Progress, no_progress

RECORDS = "records"
TRAINING: SplitName = "train_split"
VALIDATION: SplitName = "val_split"


def split(
    store: Path, config: SplitConfig, progress: Progress = no_progress, *, resources: IngestConfig | None = None
) -> SplitSummary:
    """Cut the training events by time, and make the arrays that every training of the training part maps.

    Raises:
        As `nextcart.events.split.split`.
    """
    summary = cut(store, config, progress, resources=resources)
    training_arrays(Store.open(store), TRAINING, progress)
    return summary


def train(
    store: Store,
    models: Path,
    settings: Settings,
    *,
    on: str | None = None,
    only: Iterable[str] | None = None,
    progress: Progress = no_progress,
) -> Manifest:
    """Fit the models, evaluate them on the validation split where there is one, and publish them as candidate.

    Args:
        store: the events.
        models: the repository's folder.
        settings: the models' configs, the seed and the threads.
        on: "train" or "train_split"; None takes the training split where one was made, else all events.
        only: names of models; None fits all.
        progress: told of each stage.

    Raises:
        StoreMissing: the store lacks the split.
        InputError: a name is no model, or the events cannot be learned from.
        RunFailed: the version cannot be written.
    """
    split = _training_split(store, on)
    facts = store.manifest.splits[split]
    with StepRecord("train", models / RECORDS) as record:
        record.facts = {"split": split, "events": facts.events, "sessions": facts.sessions, "items": facts.items}
        with record.stage("read"):
            vocabulary, arrays = training_arrays(store, split, progress)
        options = FitOptions(
            seed=settings.training.seed,
            threads=settings.training.threads,
            deterministic=settings.training.deterministic,
            progress=progress,
        )
        recommender = Recommender.fit(vocabulary, arrays, settings.models, options, only, record.stage)
        del arrays
        evaluations = []
        if split == TRAINING:
            with record.stage("evaluate"):
                evaluations.append(_evaluate(recommender, store, VALIDATION, settings, progress=progress))
        progress("publishing", 0, 1)
        draft = VersionDraft(
            code_version=installed_version("nextcart"),
            config=settings.model_dump(mode="json"),
            data=_data_facts(store, split, facts),
            evaluations=tuple(evaluations),
            timings=tuple(record.timings),
        )
        manifest = Repository(models).publish(recommender.save, draft)
        progress("publishing", 1, 1)
        record.facts["version"] = manifest.version
    return manifest


def evaluate_version(
    store: Store,
    models: Path,
    settings: Settings,
    *,
    version: str | None = None,
    split: str | None = None,
    only: Sequence[str] | None = None,
    limit: int | None = None,
    progress: Progress = no_progress,
) -> tuple[str, Evaluation]:
    """Replay a split through a published version and keep the result beside its manifest.

    Args:
        store: holds the split.
        models: the repository's folder.
        settings: cut-off and length of the history.
        version: any name that the repository resolves; None is production.
        split: None takes the held-out "test", or the validation split where there is no test.
        only: names of models; None takes all that the version has.
        limit: at most so many sessions, for a quick look.
        progress: told of sessions done.

    Returns:
        The version's id and its evaluation.

    Raises:
        InputError: the version was trained on events of that split, so the figures would flatter it.
        VersionMissing: there is no such version.
        StoreMissing: the store lacks the split.
    """
    repository = Repository(models)
    chosen = repository.resolve(version)
    manifest = repository.manifest(chosen)
    name = store.require(split or ("test" if "test" in store.splits() else VALIDATION))
    _refuse_leakage(store, manifest, name)
    with StepRecord("evaluate", models / RECORDS) as record:
        record.facts = {"version": chosen, "split": name}
        with record.stage("load"):
            recommender = Recommender.load(repository.folder(chosen))
        with record.stage("evaluate"):
            evaluation = _evaluate(recommender, store, name, settings, only=only, limit=limit, progress=progress)
        repository.add_evaluation(chosen, evaluation)
    return chosen, evaluation


def _evaluate(
    recommender: Recommender,
    store: Store,
    split: SplitName,
    settings: Settings,
    *,
    only: Sequence[str] | None = None,
    limit: int | None = None,
    progress: Progress,
) -> Evaluation:
    return evaluate(
        recommender,
        read_batch(store, split, recommender.vocabulary, progress),
        settings.evaluation,
        split=split,
        data_fingerprint=store.manifest.fingerprint,
        models=only,
        limit=limit,
        threads=settings.training.threads,
        progress=progress,
    )


def _training_split(store: Store, on: str | None) -> SplitName:
    """The split to train on; test and validation events are never trained on."""
    if on is None:
        on = TRAINING if TRAINING in store.splits() else "train"
    aliases = {"all": "train"}
    split = store.require(aliases.get(on, on))
    if split not in ("train", "train_split"):
        raise InputError(f"split '{on}' is held out; train on 'all' or 'train_split'")
    return split


def _data_facts(store: Store, split: SplitName, facts: SplitFacts) -> DataFacts:
    return DataFacts(
        fingerprint=store.manifest.fingerprint,
        split="train" if split == "train" else "train_split",
        sessions=facts.sessions,
        events=facts.events,
        items=facts.items,
        first_ts=facts.first_ts,
        last_ts=facts.last_ts,
        session_type=store.manifest.session_type,
        aid_type=store.manifest.aid_type,
    )


def _refuse_leakage(store: Store, manifest: Manifest, split: SplitName) -> None:
    """Evaluation on what a version has learned would flatter it."""
    if split == "test":
        return
    if split != VALIDATION or manifest.data.split == "train":
        raise InputError(
            f"version {manifest.version} was trained on '{manifest.data.split}', which holds events of '{split}'; "
            "evaluate on 'test', or train on 'train_split' and evaluate on 'val_split'"
        )
    now = store.manifest.splits[TRAINING]
    then = manifest.data
    if (now.events, now.sessions, now.first_ts, now.last_ts) != (
        then.events,
        then.sessions,
        then.first_ts,
        then.last_ts,
    ):
        raise InputError(
            f"version {manifest.version} was trained on an earlier split, which may hold sessions of today's "
            "'val_split'; run 'nextcart train' and evaluate the new version"
        )
