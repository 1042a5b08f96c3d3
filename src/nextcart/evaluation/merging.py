"""Models that were measured by themselves, put beside those that an earlier evaluation of the same questions holds."""

from __future__ import annotations

import numpy as np

from nextcart.evaluation.comparison import SAME
from nextcart.evaluation.report import Evaluation, KeptSums
from nextcart.types import Float32s

ASKED_ALIKE = (*SAME, "sessions", "rounds", "seed")
"""What two evaluations of one version must share to have posed the same questions and drawn the same resamples."""


def asked_alike(one: Evaluation, other: Evaluation) -> bool:
    """Whether two evaluations of one version posed the same questions, and kept the same figures of them."""
    if one.kept is None or other.kept is None or one.kept.figures != other.kept.figures:
        return False
    return all(getattr(one, name) == getattr(other, name) for name in ASKED_ALIKE)


def merged(earlier: Evaluation, sums: Float32s, later: Evaluation, later_sums: Float32s) -> tuple[Evaluation, Float32s]:
    """The later evaluation, and what the earlier one holds of other models besides.

    Args:
        earlier: an evaluation.
        sums: what it is made of, see `KeptSums`.
        later: another of the same version, see `asked_alike`.
        later_sums: what that is made of.

    Returns:
        The evaluation of all these models in the order of the earlier one, and its sums.

    Raises:
        ValueError: one of them kept no sums.
    """
    if earlier.kept is None or later.kept is None:
        raise ValueError("an evaluation whose sums are not kept cannot be merged")
    anew = {model for model, _ in later.kept.asked}
    old = [(asked, sums[i]) for i, asked in enumerate(earlier.kept.asked) if asked[0] not in anew]
    new = [(asked, later_sums[i]) for i, asked in enumerate(later.kept.asked)]
    order = {name: i for i, name in enumerate(dict.fromkeys((*earlier.metrics, *later.metrics)))}
    rows = sorted([*old, *new], key=lambda row: order[row[0][0]])
    kept = KeptSums(asked=tuple(asked for asked, _ in rows), figures=later.kept.figures)
    metrics, spans = earlier.metrics | later.metrics, earlier.intervals | later.intervals
    figures = {"metrics": metrics, "intervals": spans, "kept": kept}
    return later.model_copy(update=figures), np.stack([each for _, each in rows])
