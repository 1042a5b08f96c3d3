"""What the report of a version is made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from nextcart.evaluation.bootstrap import MIN_SESSIONS_TO_JUDGE, Interval
from nextcart.evaluation.looking import Look
from nextcart.evaluation.report import Evaluation
from nextcart.evaluation.report_tables import signed
from nextcart.events.page import Rows
from nextcart.types import Id


@dataclass(frozen=True, slots=True)
class Facts:
    """What a version's manifest says of it.

    Attributes:
        version: its id.
        named: aliases that stand for it.
        created_at: when it was published, UTC, as text.
        code_version: of the nextcart that fitted it.
        default_model: the model that answers where none is named.
        models: names, and what each recommends.
        data: names and values about the training events, ready to show.
        window: oldest and newest training event, Unix milliseconds.
        timings: stage, wall seconds, CPU seconds and peak bytes.
        settings: those that differ from the defaults: name, value, default.
    """

    version: str
    named: tuple[str, ...]
    created_at: str
    code_version: str
    default_model: str
    models: Rows
    data: Rows
    window: tuple[int, int]
    timings: Sequence[tuple[str, float, float, int]]
    settings: Sequence[tuple[str, str, str]]


@dataclass(frozen=True, slots=True)
class Lead:
    """How far the best model of an evaluation is ahead of the second, on the same resampled sessions.

    Attributes:
        figure: by which it is, as people read it.
        first, second: the models.
        difference: of their figures, none of which is below 0.
        interval: of the difference.
        sessions: that the figure rests on; of a total, its rarest part.
    """

    figure: str
    first: str
    second: str
    difference: float
    interval: Interval
    sessions: int

    def sentence(self) -> str:
        """In words; of few sessions none is called ahead."""
        if self.sessions < MIN_SESSIONS_TO_JUDGE:
            told = f"{self.sessions} session{'' if self.sessions == 1 else 's'}"
            need = f"at least {MIN_SESSIONS_TO_JUDGE} are needed to judge"
            return f"Which model is ahead cannot be said: {self.figure} rests on {told}, and {need}."
        if signed(self.difference) == "0":
            return f"By {self.figure}, {self.first} and {self.second} are level."
        low, high = self.interval
        ahead = f"{self.first} is ahead of {self.second} by {self.difference:.4f} ({signed(low)} to {signed(high)})"
        return f"By {self.figure}, {ahead}: {'beyond noise' if low > 0 else 'within noise, either may be better'}."


@dataclass(frozen=True, slots=True)
class Report:
    """All that the page shows.

    Attributes:
        facts: of the version.
        evaluations: as they are kept with the version.
        leads: by protocol, split and mode, a `Lead` in words or why there is none; where sums by session were kept.
        importance: by objective, each feature's share of the gain; None where the version has no ranker.
        look: at held-out sessions; None where they could not be looked at.
        why_not: the reason and the remedy, where they could not.
        measured_by: the command that measures this version by a protocol.
        item_name: what people call an item, with its id; the id alone where they have no name for it.
    """

    facts: Facts
    evaluations: Sequence[Evaluation]
    leads: Mapping[tuple[str, str, str], str]
    importance: Mapping[str, Mapping[str, float]] | None
    look: Look | None
    why_not: str
    measured_by: Callable[[str], str]
    item_name: Callable[[Id], str] = str
