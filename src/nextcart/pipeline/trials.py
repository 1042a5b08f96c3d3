"""The trials of a search: kept line by line as they end, and what to try after those that are there."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from nextcart.errors import InputError, RunFailed
from nextcart.pipeline.search_space import Choice, Parameter, Values

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

RANDOM_TRIALS = 8
"""So many trials are drawn at random before the sampler learns from them."""


class Trial(msgspec.Struct, frozen=True):
    """Settings that were tried, and how good they were.

    Attributes:
        number: 0 for the settings that the search began with.
        values: by path.
        recall: recall@k of the sessions that are searched by.
        mrr: their MRR@k.
        seconds: wall time that it took.
    """

    number: int
    values: Values
    recall: float
    mrr: float
    seconds: float

    @property
    def score(self) -> float:
        """What is searched for: the mean of recall and MRR."""
        return (self.recall + self.mrr) / 2


class Journal:
    """A JSON-lines file of ended trials; one that was killed while it was written is forgotten.

    Attributes:
        trials: those that are there, in the order of their numbers.
    """

    def __init__(self, file: Path) -> None:
        """Read what is there; the file is cut where a line is not whole.

        Raises:
            RunFailed: the file cannot be read or cut.
        """
        self._file = file
        self.trials: list[Trial] = []
        try:
            lines = file.read_bytes().splitlines(keepends=True) if file.exists() else []
            whole = self._read(lines)
            if whole < sum(map(len, lines)):
                os.truncate(file, whole)
        except OSError as error:
            raise unwritable(file, error) from error

    def add(self, trial: Trial) -> None:
        """Keep a trial, durably.

        Raises:
            RunFailed: it cannot be written; the trials before it stay.
        """
        try:
            with self._file.open("ab") as out:
                out.write(msgspec.json.encode(trial) + b"\n")
                out.flush()
                os.fsync(out.fileno())
        except OSError as error:
            raise unwritable(self._file, error) from error
        self.trials.append(trial)

    def known(self, values: Values) -> Trial | None:
        """An ended trial of the very same values."""
        return next((trial for trial in self.trials if trial.values == values), None)

    def best(self) -> Trial:
        """The best trial, the earliest of equals; at least one must have ended."""
        return max(self.trials, key=lambda trial: (trial.score, -trial.number))

    def _read(self, lines: list[bytes]) -> int:
        """Take the trials up to the first line that is not whole; returns the bytes that these take."""
        size = 0
        for line in lines:
            try:
                trial = msgspec.json.decode(line, type=Trial)
            except msgspec.DecodeError:
                break
            if not line.endswith(b"\n") or trial.number != len(self.trials):
                break
            self.trials.append(trial)
            size += len(line)
        return size


def unwritable(place: Path, error: OSError) -> RunFailed:
    """What to do where trials cannot be kept."""
    return RunFailed(
        f"{place}: cannot be written ({error.strerror}); free space or set its permissions, then run again"
    )


def require_optuna() -> None:
    """Say at once what is missing.

    Raises:
        InputError: Optuna is not installed.
    """
    try:
        import optuna  # noqa: F401  only whether it is there
    except ImportError:
        raise InputError("tuning needs Optuna; install it with: pip install 'nextcart[tune]'") from None


def propose(space: Sequence[Parameter], trials: Sequence[Trial], seed: int) -> Values:
    """What to try next, by a tree-structured Parzen estimator (Bergstra et al., NIPS 2011) over all settings at once.

    It depends on the space, the trials and the seed alone, so a search that was killed goes on as if it had not been.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    distributions = {parameter.path: _distribution(parameter) for parameter in space}
    sampler = optuna.samplers.TPESampler(
        seed=(seed + len(trials)) % 2**32, multivariate=True, n_startup_trials=RANDOM_TRIALS
    )
    study = optuna.create_study(direction="maximize", sampler=sampler)
    study.add_trials(
        optuna.trial.create_trial(params=trial.values, distributions=distributions, value=trial.score)
        for trial in trials
    )
    drawn = study.ask(distributions).params
    return {parameter.path: parameter.rounded(drawn[parameter.path]) for parameter in space}


def _distribution(parameter: Parameter) -> BaseDistribution:
    from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

    if isinstance(parameter, Choice):
        return CategoricalDistribution(parameter.values)
    if isinstance(parameter.low, float):
        return FloatDistribution(parameter.low, parameter.high, log=parameter.log)
    return IntDistribution(int(parameter.low), int(parameter.high), log=parameter.log)
