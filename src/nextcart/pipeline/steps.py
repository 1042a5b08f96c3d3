"""Every step from raw files to a published version and its metrics; each leaves a record, also when it fails."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from importlib.metadata import version as installed_version
from pathlib import Path

import duckdb

from nextcart.config import IngestConfig, Settings, SparkConfig, SplitConfig
from nextcart.errors import RunFailed
from nextcart.evaluation.merging import asked_alike, merged
from nextcart.evaluation.replay import Measured, evaluate, replay
from nextcart.evaluation.report import Evaluation, Protocol
from nextcart.events.engine import EngineOpener
from nextcart.events.id_types import IdChoice
from nextcart.events.ingest import IngestSplit
from nextcart.events.ingest import ingest as add
from nextcart.events.profile import Profile
from nextcart.events.profile import profile as look
from nextcart.events.schema import SplitFacts, SplitName
from nextcart.events.sources import disk_is_full
from nextcart.events.split import SplitSummary
from nextcart.events.split import split as cut
from nextcart.events.store import Store, first_line
from nextcart.events.summary import IngestSummary
from nextcart.models.arrays import read_batch, training_arrays
from nextcart.models.counted import counting
from nextcart.models.model import FitOptions
from nextcart.models.recommender import Recommender
from nextcart.pipeline.kinds import item_kinds, same_events
from nextcart.pipeline.model_card import MODEL_CARD, model_card
from nextcart.pipeline.record import StepRecord
from nextcart.pipeline.splits import TRAINING, VALIDATION, held_out_split, refuse_leakage, training_split
from nextcart.pipeline.unfinished import Unfinished, training_key, unfinished
from nextcart.repository.manifest import DataFacts, Manifest, VersionDraft, read_record
from nextcart.repository.repository import Repository
from nextcart.types import Progress, no_progress

RECORDS = "records"


def ingest(
    files: Sequence[Path],
    store: Path,
    *,
    split: IngestSplit = "train",
    columns: Mapping[str, str] | None = None,
    types: Mapping[str, str] | None = None,
    ids: IdChoice = "auto",
    config: IngestConfig | None = None,
    progress: Progress = no_progress,
    spark: SparkConfig | None = None,
) -> IngestSummary:
    """Add raw files to the store, as `nextcart.events.ingest.ingest` does.

    Raises:
        As `nextcart.events.ingest.ingest`.
    """
    with StepRecord("ingest", store / RECORDS) as record:
        record.facts = {"split": split, "files": [str(file) for file in files]}
        with record.stage("ingest"):
            summary = add(
                files,
                store,
                split=split,
                columns=columns,
                types=types,
                ids=ids,
                config=config,
                progress=progress,
                spark=spark,
            )
        record.facts |= {
            "events": summary.added_events,
            "duplicates": summary.duplicates,
            "rejects": sum(summary.rejects.values()),
            "events_now": summary.events,
            "sessions_now": summary.sessions,
        }
    return summary


def split(
    store: Path,
    config: SplitConfig,
    progress: Progress = no_progress,
    *,
    resources: IngestConfig | None = None,
    opener: EngineOpener | None = None,
) -> SplitSummary:
    """Cut the training events by time, and make the arrays that every training of the training part maps.

    ``opener`` opens another engine than DuckDB; a training by that one needs no arrays, so none are made.

    Raises:
        As `nextcart.events.split.split`.
    """
    Store.open(store).require("train")
    with StepRecord("split", store / RECORDS) as record, full_disk_said(store):
        record.facts = {"method": config.method}
        with record.stage("split"):
            summary = cut(store, config, progress, resources=resources, opener=opener)
        with record.stage("arrays"):
            if opener is None:
                training_arrays(Store.open(store), TRAINING, progress)
        record.facts |= {
            "events": summary.train_split.events + summary.val_split.events,
            "train_split_events": summary.train_split.events,
            "val_split_events": summary.val_split.events,
            "dropped_events": summary.dropped_events,
        }
    return summary


def profile(
    store: Path, split: str, page: Path, progress: Progress = no_progress, *, opener: EngineOpener | None = None
) -> Profile:
    """Look at a split's events, by DuckDB or the engine that ``opener`` opens, and write the page about them.

    Raises:
        StoreMissing: there is no store, or it lacks the split.
        InputError: `page` is a directory.
        RunFailed: the page cannot be written, or the disk is full.
    """
    # It brings the charts' library, which no other step needs.
    from nextcart.events.profile_page import write_page

    there = Store.open(store)
    facts = there.manifest.splits[there.require(split)]
    with StepRecord("profile", store / RECORDS) as record, full_disk_said(store):
        record.facts = {"split": split, "events": facts.events, "sessions": facts.sessions, "page": str(page)}
        with record.stage("profile"), opener(there) if opener else nullcontext() as engine:
            found = look(there, split, progress, engine=engine)
        with record.stage("page"):
            write_page(found, page)
    return found


def train(
    store: Store,
    models: Path,
    settings: Settings,
    *,
    on: str | None = None,
    only: Iterable[str] | None = None,
    fresh: bool = False,
    opener: EngineOpener | None = None,
    progress: Progress = no_progress,
) -> Manifest:
    """Fit the models, evaluate them on the validation split where there is one, and publish them as candidate.

    A run that died is gone on with: what it had fitted of the same models on the same events is taken, not fitted.

    Args:
        store: the events.
        models: the repository's folder.
        settings: the models' configs, the seed and the threads.
        on: "train" or "train_split"; None takes the training split where one was made, else all events.
        only: names of models; None fits all.
        fresh: fit every model, also those that a run that died had fitted.
        opener: opens the engine that counts; None leaves it to the kernels here.
        progress: told of each stage.

    Raises:
        StoreMissing: the store lacks the split.
        InputError: a name is no model, or the events cannot be learned from.
        RepositoryError: another process is at the same training.
        RunFailed: the version cannot be written, or the disk is full.
    """
    split = training_split(store, on)
    facts = store.manifest.splits[split]
    only = None if only is None else list(only)
    key = training_key(store, split, settings, only, counted_elsewhere=opener is not None)
    with (
        StepRecord("train", models / RECORDS) as record,
        full_disk_said(models),
        unfinished(models, key, progress, fresh=fresh) as kept,
        counting(opener, store, split) as counts,
    ):
        record.facts = {"split": split, "events": facts.events, "sessions": facts.sessions, "items": facts.items}
        record.facts["taken"] = kept.taken
        with record.stage("read"):
            vocabulary, arrays = counts.catalogue() if counts else training_arrays(store, split, progress)
        options = FitOptions(
            seed=settings.training.seed,
            threads=settings.training.threads,
            deterministic=settings.training.deterministic,
            progress=progress,
        )
        keep = counts.instead(kept.keep, settings.models, options) if counts else kept.keep
        recommender = Recommender.fit(vocabulary, arrays, settings.models, options, only, record.stage, keep)
        del arrays
        evaluations = []
        if split == TRAINING:
            with record.stage("evaluate"):
                limit = settings.training.evaluated_sessions
                evaluations.append(_evaluate(recommender, store, VALIDATION, settings, progress, limit=limit))
        progress("publishing", 0, 1)
        draft = VersionDraft(
            code_version=installed_version("nextcart"),
            # Spark's own settings may hold keys to a store of objects.
            config=settings.model_dump(mode="json", exclude={"spark"}),
            data=_data_facts(store, split, facts),
            evaluations=tuple(evaluations),
            timings=tuple(record.timings),
        )
        manifest = Repository(models).publish(partial(_write_version, kept, recommender, draft), draft)
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
    protocols: Sequence[Protocol] = ("next_event",),
    progress: Progress = no_progress,
) -> tuple[str, list[Evaluation]]:
    """Replay a split through a published version and keep each result beside its manifest as soon as it is there.

    Args:
        store: holds the split.
        models: the repository's folder.
        settings: cut-off, lengths of histories, resamples.
        version: any name that the repository resolves; None is production.
        split: None takes the held-out "test", or the validation split where there is no test.
        only: names of models; None takes all that the version has. What it keeps of the others stays: where these
            were measured otherwise, the new figures are not kept.
        limit: at most so many sessions, for a quick look.
        protocols: how questions are posed, one evaluation each.
        progress: told of sessions done.

    Returns:
        The version's id and its evaluations; one that was not kept has no ``kept``.

    Raises:
        InputError: the version was trained on events of that split, so the figures would flatter it; or `next_period`
            is asked for, and the store no longer holds what the version was trained on.
        VersionMissing: there is no such version.
        StoreMissing: the store lacks the split.
    """
    repository = Repository(models)
    chosen = repository.resolve(version)
    manifest = repository.manifest(chosen)
    name = held_out_split(store, split)
    refuse_leakage(store, manifest, name)
    with StepRecord("evaluate", models / RECORDS) as record, full_disk_said(models):
        record.facts = {"version": chosen, "split": name, "events": store.manifest.splits[name].events}
        with record.stage("load"):
            recommender = Recommender.load(repository.folder(chosen))
            trained_on = manifest.data.split if same_events(store, manifest) else None
            arrays = None
            if trained_on and "next_period" in protocols:
                arrays = training_arrays(store, trained_on, progress)[1]
            kinds = item_kinds(store, trained_on, recommender.vocabulary, settings.evaluation)
            sessions = read_batch(store, name, recommender.vocabulary, progress)
        evaluations = []
        for protocol in dict.fromkeys(protocols):
            with record.stage(protocol):
                measured = replay(
                    protocol,
                    recommender,
                    sessions,
                    settings.evaluation,
                    split=name,
                    data_fingerprint=store.manifest.fingerprint,
                    models=only,
                    limit=limit,
                    threads=settings.training.threads,
                    arrays=arrays,
                    kinds=kinds,
                    progress=progress,
                )
                evaluations.append(_kept(repository, chosen, measured, only))
            record.facts.setdefault("sessions", measured.evaluation.sessions)
    return chosen, evaluations


def _kept(repository: Repository, version: str, measured: Measured, only: Sequence[str] | None) -> Evaluation:
    """Keep an evaluation; some models' beside the figures that the version has of the others.

    Where those were measured otherwise, by another seed or by training, the two make no table, and the whole one stays.
    """
    found, sums = measured.evaluation, measured.sums
    for earlier in repository.evaluations(version) if only and not found.limited else ():
        same = (earlier.protocol, earlier.split, earlier.limited) == (found.protocol, found.split, found.limited)
        if same and earlier.metrics.keys() - found.metrics.keys():
            if not asked_alike(earlier, found):
                return found.model_copy(update={"kept": None})
            found, sums = merged(earlier, repository.session_sums(version, earlier), found, sums)
    file = repository.add_evaluation(version, found, sums)
    kept = read_record(file, Evaluation, "run 'nextcart evaluate' again")
    now = measured.evaluation
    return kept.model_copy(update={"metrics": now.metrics, "intervals": now.intervals})


@contextmanager
def full_disk_said(root: Path) -> Iterator[None]:
    """Turn a full disk into one line, whichever it was: that of the folder, of DuckDB's spilling, of compiled code."""
    try:
        yield
    except (duckdb.Error, OSError) as error:
        if not disk_is_full(error):
            raise
        raise RunFailed(
            f"{root}: the disk is full ({first_line(error)}); free some space and run the same command again"
        ) from error


def _write_version(kept: Unfinished, recommender: Recommender, draft: VersionDraft, folder: Path) -> None:
    kept.save(recommender, folder)
    (folder / MODEL_CARD).write_text(model_card(recommender, draft), encoding="utf-8")


def _evaluate(
    recommender: Recommender,
    store: Store,
    split: SplitName,
    settings: Settings,
    progress: Progress,
    *,
    limit: int | None = None,
) -> Evaluation:
    return evaluate(
        recommender,
        read_batch(store, split, recommender.vocabulary, progress),
        settings.evaluation,
        split=split,
        data_fingerprint=store.manifest.fingerprint,
        limit=limit,
        threads=settings.training.threads,
        kinds=item_kinds(store, TRAINING, recommender.vocabulary, settings.evaluation),
        progress=progress,
    )


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
