"""The report of a version: what the repository keeps of it, and a look at sessions that it has not seen."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from nextcart.config import Settings
from nextcart.errors import ArtifactCorrupt, InputError, StoreMissing
from nextcart.evaluation.comparison import Side, compare
from nextcart.evaluation.looking import Look, look
from nextcart.evaluation.report import Evaluation
from nextcart.evaluation.report_data import Facts, Lead, Report
from nextcart.evaluation.report_page import render_report
from nextcart.evaluation.report_tables import best_first, ranked_by, ranking_name
from nextcart.events.page import refuse_folder, write_whole
from nextcart.events.profile_text import number_text, time_text
from nextcart.events.store import Store, read_manifest
from nextcart.models.arrays import read_batch
from nextcart.models.ranker import Ranker
from nextcart.models.recommender import Recommender
from nextcart.pipeline.changed_settings import changed_settings
from nextcart.pipeline.model_card import MODELS
from nextcart.pipeline.record import StepRecord
from nextcart.pipeline.splits import held_out_split, refuse_leakage
from nextcart.pipeline.steps import RECORDS, full_disk_said
from nextcart.repository.manifest import Manifest
from nextcart.repository.repository import Repository
from nextcart.types import Id, Progress, no_progress


def write_report(
    models: Path,
    store: Path,
    output: Path,
    settings: Settings,
    *,
    version: str | None = None,
    limit: int = 1000,
    options: Sequence[str] = (),
    names: Callable[[Collection[Id]], Callable[[Id], str]] | None = None,
    progress: Progress = no_progress,
) -> tuple[str, Look | None, str]:
    """Write the page of a version.

    Args:
        models: the repository's folder.
        store: the event store; there may be none.
        output: the HTML file.
        settings: cut-off, lengths of histories, resamples.
        version: any name that the repository resolves; None is production.
        limit: at most so many held-out sessions are looked at.
        options: of the commands that the page names, such as where the store is.
        names: given the items that the page shows, what tells their names; None shows ids.
        progress: told of questions done.

    Returns:
        The version's id, what was seen on held-out sessions, and why nothing was where it is None.

    Raises:
        VersionMissing: there is no such version.
        RepositoryError, ArtifactCorrupt: the version, or an evaluation of it, cannot be read.
        InputError: `output` is a directory.
        RunFailed: the page cannot be written, or the disk is full.
    """
    refuse_folder(output)
    repository = Repository(models)
    chosen = repository.resolve(version)
    manifest = repository.manifest(chosen)
    with StepRecord("report", models / RECORDS) as record, full_disk_said(models):
        record.facts = {"version": chosen, "page": str(output)}
        with record.stage("load"):
            recommender = Recommender.load(repository.folder(chosen))
        with record.stage("look"):
            seen, why_not = _look(recommender, manifest, store, settings, limit, options, progress)
        with record.stage("page"):
            evaluations = repository.evaluations(chosen)
            ranker = recommender.models.get(Ranker.name)
            report = Report(
                facts=_facts(manifest, recommender, repository),
                evaluations=evaluations,
                leads=_leads(repository, chosen, evaluations, settings),
                importance=ranker.ranking.importance if isinstance(ranker, Ranker) else None,
                look=seen,
                why_not=why_not,
                measured_by=_measuring(manifest, store, options),
                item_name=str if names is None or seen is None else names(_items(seen)),
            )
            write_whole(render_report(report), output)
    return chosen, seen, why_not


def _look(
    recommender: Recommender,
    manifest: Manifest,
    store: Path,
    settings: Settings,
    limit: int,
    options: Sequence[str],
    progress: Progress,
) -> tuple[Look | None, str]:
    """A look at held-out sessions, or why there is none: what is missing must not keep the rest from a reader."""
    try:
        there = Store.open(store)
        split = held_out_split(there, None)
        refuse_leakage(there, manifest, split)
    except (StoreMissing, InputError) as error:
        again = shlex.join(("nextcart", "report", "--version", manifest.version, *options))
        return None, f"Not looked at: {error}. Then run '{again}'."
    sessions = read_batch(there, split, recommender.vocabulary, progress)
    return look(recommender, sessions, settings.evaluation, split=split, limit=limit, progress=progress), ""


def _items(seen: Look) -> set[Id]:
    """The items that the examples show."""
    found: set[Id] = set()
    for each in seen.examples:
        found |= {item for item, _ in (*each.shown, *each.listed)}
        found |= set() if each.target is None else {each.target}
    return found


def _facts(manifest: Manifest, recommender: Recommender, repository: Repository) -> Facts:
    data = manifest.data
    aliases = repository.aliases().model_dump()
    return Facts(
        version=manifest.version,
        named=tuple(alias for alias, version in aliases.items() if version == manifest.version),
        created_at=f"{manifest.created_at:%Y-%m-%d %H:%M}",
        code_version=manifest.code_version,
        default_model=recommender.default_model,
        models=[(name, MODELS[name]) for name in recommender.models],
        data=[
            ("split", "all training events" if data.split == "train" else f"{data.split}, the part before the cut"),
            ("events", number_text(data.events)),
            ("sessions", number_text(data.sessions)),
            ("items", number_text(data.items)),
            ("first event (UTC)", time_text(data.first_ts)),
            ("last event (UTC)", time_text(data.last_ts)),
            ("fingerprint of the store", data.fingerprint),
        ],
        window=(data.first_ts, data.last_ts),
        timings=[
            (each.stage, each.wall_seconds, each.cpu_seconds, each.peak_memory_bytes) for each in manifest.timings
        ],
        settings=changed_settings(manifest.config),
    )


def _leads(
    repository: Repository, version: str, evaluations: Sequence[Evaluation], settings: Settings
) -> dict[tuple[str, str, str], str]:
    """How far the best model of each full evaluation and mode is ahead of the second, or why that is not known."""
    leads: dict[tuple[str, str, str], str] = {}
    rounds, seed = settings.evaluation.rounds, settings.evaluation.seed
    for evaluation in evaluations:
        # The lists of next_period are no models to choose between.
        if evaluation.limited or evaluation.kept is None or evaluation.protocol == "next_period":
            continue
        modes = dict.fromkeys(mode for _, mode in evaluation.kept.asked)
        try:
            side = Side(version, evaluation, repository.session_sums(version, evaluation))
        except ArtifactCorrupt as error:
            leads |= {(evaluation.protocol, evaluation.split, mode): str(error) for mode in modes}
            continue
        for mode in modes:
            first, *others = best_first(evaluation, mode)
            for each in compare(side, side, [(first, other) for other in others[:1]], rounds=rounds, seed=seed):
                judged = (each.mode, each.figure) == (mode, ranked_by(evaluation.protocol))
                if judged and each.difference is not None and each.interval is not None:
                    lead = Lead(
                        ranking_name(evaluation.protocol, evaluation.k),
                        first,
                        each.second_model,
                        each.difference,
                        each.interval,
                        each.sessions,
                    )
                    leads[evaluation.protocol, evaluation.split, mode] = lead.sentence()
    return leads


def _measuring(manifest: Manifest, store: Path, options: Sequence[str]) -> Callable[[str], str]:
    """The commands that measure a version by a protocol; one of all events needs others to be measured on."""
    first, split = "", list[str]()
    if manifest.data.split == "train":
        split = ["--split", "test"]
        there = read_manifest(store)
        if there is None or "test" not in there.splits:
            first = shlex.join(("nextcart", "ingest", "FILE", *split, "--store", str(store))) + " && "
    evaluate = ("nextcart", "evaluate", "--version", manifest.version, *split, "--protocol")
    return lambda protocol: first + shlex.join((*evaluate, protocol, *options))
