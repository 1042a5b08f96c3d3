"""Searching for settings inside the training events, in trials that a killed run goes on with."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import nextcart
from nextcart.config import ModelsConfig, Settings
from nextcart.errors import InputError, RepositoryError, RunFailed
from nextcart.events.lock import held
from nextcart.events.schema import SplitName
from nextcart.events.store import Store
from nextcart.models.arrays import training_arrays
from nextcart.pipeline.held_back import FIGURES, Gain, HeldBack, figures_of, gain_of
from nextcart.pipeline.record import StepRecord
from nextcart.pipeline.search_space import SPACES, Parameter, Values, as_toml, space_of, values_in, with_values
from nextcart.pipeline.splits import training_split
from nextcart.pipeline.steps import RECORDS, full_disk_said
from nextcart.pipeline.trials import Journal, Trial, propose, require_optuna, unwritable
from nextcart.pipeline.unfinished import training_key
from nextcart.types import Progress, no_progress

TUNING = "tuning"
_CODE_OF_A_TRIAL = ("evaluation", "pipeline")


@dataclass(frozen=True, slots=True)
class TunedModel:
    """What the search for one model's settings came to.

    Attributes:
        model: its name.
        trials: that have ended, the default settings first.
        taken: of these, by an earlier run.
        default: recall and MRR of the settings that it began with, on the sessions to check by.
        best: of the best ones found, on the same sessions.
        gain: best over default; on sessions that the search did not see, so that it is not flattered.
        values: the best settings, where they differ from the default ones.
        adopted: whether the gain is beyond noise; else the default settings stay.
    """

    model: str
    trials: int
    taken: int
    default: tuple[float, float]
    best: tuple[float, float]
    gain: Gain
    values: Values
    adopted: bool


@dataclass(frozen=True, slots=True)
class Tuned:
    """What a tuning came to.

    Attributes:
        split: the events that it saw.
        protocol: by which it measured.
        k: cut-off of recall and MRR.
        cut_ts: what is fitted knows nothing from here on, Unix milliseconds.
        fitted_sessions: before the cut.
        search_sessions, check_sessions: after it.
        models: in the order in which they were tuned; each takes what was adopted of those before.
        toml: the adopted settings.
    """

    split: SplitName
    protocol: str
    k: int
    cut_ts: int
    fitted_sessions: int
    search_sessions: int
    check_sessions: int
    models: list[TunedModel]
    toml: str


def tune(
    store: Store,
    models: Path,
    settings: Settings,
    *,
    output: Path,
    on: str | None = None,
    only: Sequence[str] | None = None,
    trials: int = 40,
    seconds: float = 1800.0,
    fresh: bool = False,
    progress: Progress = no_progress,
) -> Tuned:
    """Search for better settings of some models, and write those that are better beyond noise.

    Trials are kept below ``models/tuning`` as they end. The same call goes on from there, to the same result.

    Args:
        store: the events.
        models: the repository's folder; no version is made in it.
        settings: where the search begins, and the seed.
        output: a part of ``nextcart.toml``; written beside and renamed.
        on: "train" or "train_split"; None takes the training split where one was made, else all events.
        only: names of models; None takes all that can be tuned.
        trials: of each model, those of earlier runs among them.
        seconds: no trial begins after so many, the first of each model apart; shared evenly by the models.
        fresh: forget the trials of earlier runs.
        progress: told of trials.

    Raises:
        InputError: there are too few sessions; a model cannot be tuned; Optuna is missing; the output is a folder.
        RepositoryError: another process is at the same tuning.
        RunFailed: what was found cannot be written.
    """
    require_optuna()
    names = _tunable(only)
    if output.is_dir():
        raise InputError(f"--output {output}: is a directory; name a file")
    split = training_split(store, on)
    end = time.monotonic() + seconds
    with (
        StepRecord("tune", models / RECORDS) as record,
        full_disk_said(models),
        _journals(models / TUNING / tuning_key(store, split, settings), fresh) as folder,
    ):
        record.facts = {"split": split, "events": store.manifest.splits[split].events}
        with record.stage("read"):
            held_back = HeldBack(training_arrays(store, split, progress)[1], settings)
        config, found = settings.models, []
        for place, model in enumerate(names):
            with record.stage(model):
                left = (end - time.monotonic()) / (len(names) - place)
                one = _tune_model(held_back, model, config, folder, settings, trials, left, progress)
            found.append(one)
            record.facts[model] = {"trials": one.trials, "gain": one.gain.score, "adopted": one.adopted}
            if one.adopted:
                config = with_values(config, one.values)
        adopted = {path: value for one in found if one.adopted for path, value in one.values.items()}
        tuned = Tuned(
            split=split,
            protocol=held_back.protocol,
            k=settings.evaluation.k,
            cut_ts=held_back.cut_ts,
            fitted_sessions=len(held_back.past.sessions),
            search_sessions=len(held_back.search),
            check_sessions=len(held_back.check),
            models=found,
            toml=as_toml(adopted),
        )
        _write(output, _commented(tuned))
    return tuned


def tuning_key(store: Store, split: SplitName, settings: Settings) -> str:
    """Digest of all that decides what a trial finds: events, where the search begins, seed, measure and code."""
    root = Path(nextcart.__file__).parent
    files = sorted(file for room in _CODE_OF_A_TRIAL for file in (root / room).rglob("*.py"))
    decides = [
        training_key(store, split, settings, None),
        settings.models.hybrid.model_dump(mode="json"),
        settings.evaluation.model_dump(mode="json"),
        [hashlib.sha256(file.read_bytes()).hexdigest() for file in files],
    ]
    return _digest(decides)


def _tune_model(
    held_back: HeldBack,
    model: str,
    config: ModelsConfig,
    folder: Path,
    settings: Settings,
    trials: int,
    seconds: float,
    progress: Progress,
) -> TunedModel:
    space = space_of(model, config)
    journal = Journal(folder / f"{model}-{_digest(config.model_dump(mode='json'))}.jsonl")
    taken = len(journal.trials)
    _search(held_back, model, config, space, journal, settings, trials, seconds, progress)
    best = journal.best()
    default = held_back.checked(model, config)
    other = held_back.checked(model, with_values(config, best.values)) if best.number else default
    gain = gain_of(default, other, settings.evaluation)
    before = journal.trials[0].values
    return TunedModel(
        model=model,
        trials=len(journal.trials),
        taken=taken,
        default=figures_of(default, model),
        best=figures_of(other, model),
        gain=gain,
        values={path: value for path, value in best.values.items() if value != before[path]},
        adopted=gain.beyond_noise,
    )


def _search(
    held_back: HeldBack,
    model: str,
    config: ModelsConfig,
    space: Sequence[Parameter],
    journal: Journal,
    settings: Settings,
    trials: int,
    seconds: float,
    progress: Progress,
) -> None:
    """Trials until there are enough or time is up; the first is that of the settings that the search begins with."""
    stage, end = f"tuning {model}", time.monotonic() + seconds
    progress(stage, min(len(journal.trials), trials), trials)
    while len(journal.trials) < trials and (not journal.trials or time.monotonic() < end):
        began, number = time.monotonic(), len(journal.trials)
        values = propose(space, journal.trials, settings.training.seed) if number else values_in(space, config)
        known = journal.known(values)
        recall, mrr = (known.recall, known.mrr) if known else held_back.found_by(model, with_values(config, values))
        if not number and recall + mrr == 0:
            raise InputError(
                f"{model}: nothing was learned or found before the held-back sessions; ingest more sessions, or name "
                f"other models with --only ({', '.join(SPACES)})"
            )
        journal.add(Trial(number, values, recall, mrr, round(time.monotonic() - began, 3)))
        progress(stage, number + 1, trials)


def _tunable(only: Sequence[str] | None) -> list[str]:
    """In the order in which they are tuned: sources before those that weigh them."""
    unknown = [name for name in only or () if name not in SPACES]
    if unknown:
        raise InputError(f"'{unknown[0]}' cannot be tuned; there are {', '.join(SPACES)}")
    return [name for name in SPACES if only is None or name in only]


@contextmanager
def _journals(folder: Path, fresh: bool) -> Iterator[Path]:
    """Hold the folder of a tuning's trials, which stay when it ends."""
    with ExitStack() as stack:
        try:
            stack.enter_context(held(folder, RepositoryError, "tuning the same models on the same events"))
            for file in folder.glob("*.jsonl") if fresh else ():
                file.unlink()
        except OSError as error:
            raise unwritable(folder, error) from error
        yield folder


def _commented(tuned: Tuned) -> str:
    """The file: where each setting comes from, then the settings."""
    figure = f"the mean of {' and '.join(FIGURES)}@{tuned.k}"
    lines = [f"Found by nextcart tune on '{tuned.split}'; gains of {figure} on held-back sessions:"]
    for one in tuned.models:
        said = f"{one.gain.score:+.4f}" + ("" if one.adopted else ", not beyond noise: the settings stay as they were")
        lines.append(f"{one.model}: {said}, {one.trials} trials")
    return "".join(f"# {line}\n" for line in lines) + (f"\n{tuned.toml}\n" if tuned.toml else "")


def _write(output: Path, text: str) -> None:
    beside = output.with_name(f".{output.name}.part")
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        try:
            with beside.open("w", encoding="utf-8") as stream:
                stream.write(text)
                stream.flush()
                os.fsync(stream.fileno())
            beside.replace(output)
        finally:
            beside.unlink(missing_ok=True)
    except OSError as error:
        raise RunFailed(
            f"--output {output}: cannot be written ({error.strerror}); free some space or name another file"
        ) from error


def _digest(document: object) -> str:
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()[:16]
