"""What two versions, or two models, differ by, and whether that is beyond what other sessions might have shown."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from nextcart.errors import InputError
from nextcart.evaluation.bootstrap import (
    MIN_SESSIONS_TO_JUDGE,
    Floats,
    Interval,
    estimate,
    interval,
    ratio,
    resampled,
    session_weights,
)
from nextcart.evaluation.protocols.multi_objective import add_total
from nextcart.evaluation.protocols.next_period import add_means
from nextcart.evaluation.report import Evaluation, Protocol
from nextcart.evaluation.sums import Asked
from nextcart.types import TYPE_NAMES, Float32s, Mode

BATCH_SESSIONS = 4096
SAME = ("protocol", "split", "data_fingerprint", "limited", "k", "history_events")
"""What two evaluations must share to have asked the same."""

Better = Literal["first", "second"]


@dataclass(frozen=True, slots=True)
class Side:
    """One side of a comparison.

    Attributes:
        version: its id.
        evaluation: its figures.
        sums: what they are made of, see `KeptSums`.
    """

    version: str
    evaluation: Evaluation
    sums: Float32s

    def names(self, model: str) -> list[Asked]:
        """What was asked of a model."""
        return [each for each in self._asked if each[0] == model]

    @property
    def _asked(self) -> tuple[Asked, ...]:
        kept = self.evaluation.kept
        return () if kept is None else kept.asked

    @property
    def figures(self) -> tuple[str, ...]:
        """The kept figures."""
        kept = self.evaluation.kept
        return () if kept is None else kept.figures

    @property
    def models(self) -> list[str]:
        """The models that were asked."""
        return list(dict.fromkeys(model for model, _ in self._asked))

    def of(self, asked: Asked) -> Float32s:
        """The sums of a model and mode; shape (n_sessions, 2 * n_figures)."""
        found: Float32s = self.sums[self._asked.index(asked)]
        return found


@dataclass(frozen=True, slots=True)
class Difference:
    """A figure on both sides, and first minus second.

    Attributes:
        first_model, second_model: what is compared.
        mode: next or discover.
        figure: its name.
        first, second: the figure on each side; None where there was nothing to measure it on.
        difference: first minus second.
        interval: the middle 95 % of the difference over resampled sessions, the same on both sides.
        sessions: those that had anything to measure it on; of a figure made of others, by the one with fewest.
        better: the side that is better beyond noise: the interval leaves 0 out, and there are
            `MIN_SESSIONS_TO_JUDGE` sessions.
    """

    first_model: str
    second_model: str
    mode: Mode
    figure: str
    first: float | None
    second: float | None
    difference: float | None
    interval: Interval | None
    sessions: int
    better: Better | None

    @property
    def too_few(self) -> bool:
        """Whether there are too few sessions to call either side better."""
        return self.sessions < MIN_SESSIONS_TO_JUDGE


def compare(first: Side, second: Side, pairs: Iterable[tuple[str, str]], *, rounds: int, seed: int) -> list[Difference]:
    """Hold pairs of models against each other, in every mode and figure that both were asked for.

    Args:
        first: one side.
        second: the other; may be the same.
        pairs: a model of each side.
        rounds: resamples.
        seed: of the resamples.

    Raises:
        InputError: the sides were not measured by the same questions on the same sessions, or lack a model.
    """
    _refuse_others(first, second)
    found = []
    for one, other in pairs:
        for side, model in ((first, one), (second, other)):
            if model not in side.models:
                raise InputError(
                    f"{side.version}: no model '{model}' in its {side.evaluation.protocol} evaluation; it has "
                    f"{', '.join(side.models)}; name one of them with {'--model' if side is first else '--against'}"
                )
        for mode in (mode for _, mode in first.names(one) if (other, mode) in second.names(other)):
            values = _values(first.of((one, mode)), second.of((other, mode)), rounds, seed)
            ours, theirs = (dict(zip(first.figures, each, strict=True)) for each in values)
            for figures in (ours, theirs):
                _derive(first.evaluation.protocol, figures)
            there = dict(zip(first.figures, _sessions(first.of((one, mode))), strict=True))
            found += [
                _difference(one, other, mode, name, ours[name], theirs[name], _fewest(there, name)) for name in ours
            ]
    return found


def _derive(protocol: Protocol, figures: dict[str, Floats]) -> None:
    """Add the figures that are made of others."""
    if protocol == "multi_objective":
        add_total(figures)
    if protocol == "next_period":
        add_means(figures)


def _sessions(sums: Float32s) -> list[int]:
    """How many sessions have a denominator, for each figure."""
    denominators = sums[:, sums.shape[1] // 2 :]
    return [int(n) for n in np.count_nonzero(denominators, axis=0)]


def _fewest(sessions: dict[str, int], figure: str) -> int:
    """The sessions of a figure, or of the part with the fewest that a total or mean is made of."""
    if figure in sessions:
        return sessions[figure]
    parts = [f"{kind}_recall" if figure == "total" else figure.replace("mean", kind) for kind in TYPE_NAMES]
    return min((sessions[part] for part in parts if sessions.get(part)), default=0)


def _difference(one: str, other: str, mode: Mode, figure: str, a: Floats, b: Floats, sessions: int) -> Difference:
    span = interval(a - b)
    better: Better | None = None
    if span is not None and (span[0] > 0 or span[1] < 0) and sessions >= MIN_SESSIONS_TO_JUDGE:
        better = "first" if span[0] > 0 else "second"
    return Difference(one, other, mode, figure, estimate(a), estimate(b), estimate(a - b), span, sessions, better)


def _values(one: Float32s, other: Float32s, rounds: int, seed: int) -> tuple[Floats, Floats]:
    """Each side's figures as they are and in each resample; both of shape (n_figures, 1 + rounds)."""
    width = one.shape[1]
    sums = np.zeros((1 + rounds, 2 * width))
    for start in range(0, len(one), BATCH_SESSIONS):
        stop = min(start + BATCH_SESSIONS, len(one))
        both = np.hstack((one[start:stop], other[start:stop])).astype(np.float64)
        sums += resampled(both, session_weights(start, stop, rounds, seed))
    half = width // 2
    first = ratio(sums[:, :half], sums[:, half:width])
    return first.T, ratio(sums[:, width : width + half], sums[:, width + half :]).T


def _refuse_others(first: Side, second: Side) -> None:
    """Only what was asked the same of the same sessions can be held against each other."""
    for name in SAME:
        one, other = getattr(first.evaluation, name), getattr(second.evaluation, name)
        if one != other:
            raise InputError(_refusal(first, second, f"{name} is {one} there and {other} here"))
    if first.figures != second.figures or first.sums.shape[1:] != second.sums.shape[1:]:
        raise InputError(_refusal(first, second, "they hold other figures or sessions"))
    half = len(first.figures)
    if first is not second and not np.array_equal(first.sums[0, :, half:], second.sums[0, :, half:]):
        raise InputError(
            f"{first.version} and {second.version} were asked other questions of the same sessions, since they know "
            "other items or drew with another seed; train both on the same events and evaluate both with the same "
            "settings"
        )


def _refusal(first: Side, second: Side, reason: str) -> str:
    evaluation = first.evaluation
    again = f"--protocol {evaluation.protocol} --split {evaluation.split}"
    return (
        f"{first.version} and {second.version} were not measured on the same sessions ({reason}); run 'nextcart "
        f"evaluate {again} --version VERSION' for both, on the same store and with the same settings"
    )
