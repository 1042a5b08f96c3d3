"""Two published versions, or two models of one, held against each other by what their evaluations kept."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from nextcart.config import EvaluationConfig
from nextcart.errors import InputError
from nextcart.evaluation.comparison import Difference, Side, compare
from nextcart.evaluation.report import PROTOCOLS, Evaluation, Protocol
from nextcart.repository.repository import Repository
from nextcart.types import DEFAULT_MODELS

ASKED_BY_DEFAULT: tuple[Protocol, ...] = ("next_event", "next_click", "multi_objective")
"""The protocols that ask for what a session wants next, which one model of a version answers where none is named."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """The differences by one protocol on one split.

    Attributes:
        protocol: how questions were posed.
        split: the part that both were measured on.
        sessions: sessions that posed questions.
        first, second: ids of the versions.
        differences: first minus second, figure by figure; those of what answers by default come first.
        defaults: what answers in each version where no model is named, and both were asked; None elsewhere, and
            where models were named.
        only_first, only_second: models that the other version lacks; none where models were named.
    """

    protocol: Protocol
    split: str
    sessions: int
    first: str
    second: str
    differences: list[Difference]
    defaults: tuple[str, str] | None
    only_first: list[str]
    only_second: list[str]


def compare_versions(
    models: Path,
    first: str,
    second: str | None,
    config: EvaluationConfig,
    *,
    protocol: Protocol | None = None,
    split: str | None = None,
    model: str | None = None,
    against: str | None = None,
) -> list[Comparison]:
    """Hold two versions, or two models, against each other by every protocol and split that both were measured by.

    Args:
        models: the repository's folder.
        first: any name that the repository resolves.
        second: as `first`; None compares models of the first.
        config: rounds and seed of the resamples.
        protocol: one alone; None takes all.
        split: one alone; None takes all.
        model: of the first version; None compares what answers by default in each, then each model with itself in
            the second.
        against: of the second version; None is the same model, or within one version every other.

    Raises:
        InputError: there is nothing to compare, or the two were not measured on the same sessions.
        VersionMissing: there is no such version.
        RepositoryError, ArtifactCorrupt: what an evaluation kept is missing or differs.
    """
    if model is None and (second is None or against is not None):
        raise InputError("give two versions, or --model and --against to compare models")
    repository = Repository(models)
    one, other = repository.resolve(first), repository.resolve(first if second is None else second)
    ours, theirs = _full(repository, one, protocol, split), _full(repository, other, protocol, split)
    shared = sorted((key for key in ours if key in theirs), key=lambda key: (PROTOCOLS.index(key[0]), key[1]))
    if not shared:
        raise InputError(_nothing(one if not ours else other, protocol, split))
    if protocol is None:
        # Those of training keep no sums; where others do, these alone are compared.
        shared = [key for key in shared if ours[key].kept and theirs[key].kept] or shared
    ours_best, theirs_best = (_default_model(repository, version) for version in (one, other))
    found = []
    for key in shared:
        left = Side(one, ours[key], repository.session_sums(one, ours[key]))
        right = left if one == other else Side(other, theirs[key], repository.session_sums(other, theirs[key]))
        pairs = _pairs(left, right, model, against, within=second is None)
        by_default = None
        if model is None and key[0] in ASKED_BY_DEFAULT and ours_best in left.models and theirs_best in right.models:
            by_default = (ours_best, theirs_best)
            pairs = list(dict.fromkeys([by_default, *pairs]))
        alone: tuple[list[str], list[str]] = ([], []) if model else _alone(left, right)
        if protocol is None:
            # Not every model answers every protocol.
            pairs = [pair for pair in pairs if pair[0] in left.models and pair[1] in right.models]
        made = compare(left, right, pairs, rounds=config.rounds, seed=config.seed)
        if made:
            found.append(Comparison(*key, ours[key].sessions, one, other, made, by_default, *alone))
    if not found:
        raise InputError(f"no evaluation of {one} and {other} has these models; 'nextcart models' lists what there is")
    return found


def _pairs(left: Side, right: Side, model: str | None, against: str | None, *, within: bool) -> list[tuple[str, str]]:
    if model is None:
        return [(name, name) for name in left.models if name in right.models]
    if against is not None:
        return [(model, against)]
    return [(model, name) for name in right.models if name != model] if within else [(model, model)]


def _default_model(repository: Repository, version: str) -> str:
    """What answers a session where no model is named."""
    folders = {artifact.path.split("/")[0] for artifact in repository.manifest(version).artifacts}
    return next(name for name in DEFAULT_MODELS if name in folders)


def _alone(left: Side, right: Side) -> tuple[list[str], list[str]]:
    """The models that one side has and the other lacks."""
    ours, theirs = set(left.models), set(right.models)
    return [name for name in left.models if name not in theirs], [name for name in right.models if name not in ours]


def _full(
    repository: Repository, version: str, protocol: Protocol | None, split: str | None
) -> dict[tuple[Protocol, str], Evaluation]:
    """A version's evaluations of all sessions, by protocol and split."""
    return {
        (each.protocol, each.split): each
        for each in repository.evaluations(version)
        if not each.limited and protocol in (None, each.protocol) and split in (None, each.split)
    }


def _nothing(version: str, protocol: str | None, split: str | None) -> str:
    options = f"--version {version} --protocol {protocol or 'all'}" + (f" --split {split}" if split else "")
    return f"{version} has no evaluation of all sessions to compare by; run 'nextcart evaluate {options}'"
