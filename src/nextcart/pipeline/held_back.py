"""The last sessions of the training events, held back: what settings are measured on when they are searched for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from nextcart.config import EvaluationConfig, ModelsConfig, NeighboursQueryConfig, Settings
from nextcart.errors import InputError
from nextcart.evaluation.bootstrap import Floats, Interval, interval, ratio, resampled, session_weights
from nextcart.evaluation.cutting import events_between
from nextcart.evaluation.protocols.next_click import positions
from nextcart.evaluation.replay import Measured, replay
from nextcart.evaluation.report import Protocol
from nextcart.models.covisitation import Covisitation
from nextcart.models.examples import fold_at
from nextcart.models.fitting import FittedModel, Keep
from nextcart.models.log_bilinear import LogBilinear
from nextcart.models.model import FitOptions, TrainingArrays
from nextcart.models.ranker import Ranking
from nextcart.models.recommender import Recommender
from nextcart.models.session_neighbours import SessionNeighbours
from nextcart.models.vocabulary import Vocabulary
from nextcart.types import Float32s, SessionBatch

HELD_BACK_SHARE = 0.2
MOST_SESSIONS = 20_000
LEAST_SESSIONS = 100
"""With fewer sessions that pose questions chance decides which settings are best."""

ROUNDS = 1000
"""Resamples where the evaluation is to make none: without an interval nothing could be adopted."""

FIGURES = ("recall", "mrr")
_ASKING = {
    SessionNeighbours.name: set(NeighboursQueryConfig.model_fields),
    Covisitation.name: {"query_events", "query_decay", "query_type_weights"},
    LogBilinear.name: {"query_events"},
}
"""Settings of a question alone: with others of them a fitted model need not be fitted again."""


@dataclass(frozen=True, slots=True)
class Gain:
    """What other settings are worth.

    Attributes:
        score: difference of the means of recall and MRR.
        interval: the middle 95 % of it over resampled sessions, the same for both; None where nothing was asked.
    """

    score: float
    interval: Interval | None

    @property
    def beyond_noise(self) -> bool:
        """Whether the interval lies above 0."""
        return self.interval is not None and self.interval[0] > 0


class HeldBack:
    """The sessions after a cut in two halves, every second one: one to search by, the other to check what was found.

    Attributes:
        past: all that was known at the cut; the only thing that anything is fitted on.
        cut_ts: Unix milliseconds.
        search: sessions to search by, rows of the past.
        check: sessions to check by.
        protocol: next_click, and in a log without clicks next_event.
    """

    def __init__(self, arrays: TrainingArrays, settings: Settings) -> None:
        """Cut the training sessions.

        Raises:
            InputError: there are too few of them.
        """
        self._settings = settings
        self.cut_ts = cut_of(arrays.sessions)
        fold = fold_at(arrays, self.cut_ts)
        self.past = fold.past
        if len(self.past.sessions) < LEAST_SESSIONS:
            raise _too_few(len(self.past.sessions), "lie before the held-back ones")
        self.search, self.check = _every_second(fold.later, 0), _every_second(fold.later, 1)
        asked = positions(fold.later.known(), settings.evaluation.last_positions)
        self.protocol: Protocol = "next_click" if len(asked) else "next_event"
        n_items = fold.past.n_items
        # Nothing here leaves the models, so items need no names of the shop's.
        self._vocabulary = Vocabulary("int64", np.arange(n_items, dtype=np.int64), fold.past.counts)
        self._fitted: dict[str, tuple[str, FittedModel]] = {}

    def found_by(self, model: str, config: ModelsConfig) -> tuple[float, float]:
        """Recall and MRR of a model on the sessions to search by; 0 where it learned nothing.

        Raises:
            InputError: too few sessions pose a question.
        """
        measured = self._measure(model, config, self.search)
        if measured is None:
            return 0.0, 0.0
        if measured.evaluation.sessions < LEAST_SESSIONS:
            raise _too_few(measured.evaluation.sessions, "of those to search by pose a question")
        recall, mrr = figures_of(measured, model)
        return recall, mrr

    def checked(self, model: str, config: ModelsConfig) -> Measured:
        """A model measured on the sessions to check by; it must have learned something on the others."""
        measured = self._measure(model, config, self.check)
        if measured is None:
            raise InputError(f"{model}: the held-back sessions cannot be asked about; ingest more sessions")
        return measured

    def _measure(self, model: str, config: ModelsConfig, sessions: SessionBatch) -> Measured | None:
        training = self._settings.training
        options = FitOptions(training.seed, training.threads, training.deterministic)
        recommender = Recommender.fit(
            self._vocabulary, self.past, config, options, only=[model], keep=self._keep(config)
        )
        if model not in recommender.models:
            return None
        return replay(
            self.protocol,
            recommender,
            sessions,
            self._settings.evaluation.model_copy(update={"rounds": 0}),
            split="train",
            data_fingerprint="",
            models=[model],
            modes=["next"],
            threads=training.threads,
        )

    def _keep(self, config: ModelsConfig) -> Keep:
        """Fits a source again only where settings of its fit changed since it was last fitted."""

        def keep(kind: type[FittedModel], fit: Callable[[], FittedModel]) -> FittedModel:
            if kind is Ranking:
                return fit()
            section = getattr(config, kind.name)
            decides = section.model_dump_json(exclude=_ASKING.get(kind.name))
            known, model = self._fitted.get(kind.name, ("", None))
            if model is None or known != decides:
                # The old one goes first: two need not find room.
                self._fitted.pop(kind.name, None)
                model = fit()
                self._fitted[kind.name] = (decides, model)
            if isinstance(model, SessionNeighbours):
                return SessionNeighbours(section, model.index)
            if isinstance(model, Covisitation):
                return Covisitation(section, model.matrices)
            if isinstance(model, LogBilinear):
                return LogBilinear(section, model.learned, model.nearest)
            return model

        return keep


def cut_of(sessions: SessionBatch) -> int:
    """When the last fifth of the sessions begins, or the last 40,000 where that is fewer; Unix milliseconds."""
    starts = np.sort(sessions.ts[sessions.offsets[:-1]])
    held_back = min(int(len(starts) * HELD_BACK_SHARE), 2 * MOST_SESSIONS)
    if held_back < 2 * LEAST_SESSIONS:
        raise _too_few(held_back, "would be held back")
    return int(starts[-held_back])


def figures_of(measured: Measured, model: str) -> tuple[float, float]:
    """Recall and MRR."""
    found = measured.evaluation.metrics[model]["next"]
    recall, mrr = (found[name] or 0.0 for name in FIGURES)
    return recall, mrr


def gain_of(base: Measured, other: Measured, config: EvaluationConfig) -> Gain:
    """What the other settings are worth on the same sessions."""
    weights = session_weights(0, base.sums.shape[1], config.rounds or ROUNDS, config.seed)
    difference = _scores(other, weights) - _scores(base, weights)
    return Gain(round(float(difference[0]), 6), interval(difference))


def _scores(measured: Measured, weights: Float32s) -> Floats:
    """The mean of recall and MRR, as it is, then in each resample; shape (1 + rounds,)."""
    assert measured.evaluation.kept is not None  # noqa: S101  replay always says what it kept
    names = measured.evaluation.kept.figures
    columns = [names.index(name) for name in FIGURES]
    sums = resampled(measured.sums[0].astype(np.float64), weights)
    found: Floats = ratio(sums[:, columns], sums[:, [len(names) + column for column in columns]]).mean(axis=1)
    return found


def _every_second(sessions: SessionBatch, first: int) -> SessionBatch:
    chosen = np.arange(first, len(sessions), 2)
    return events_between(sessions, sessions.offsets[chosen], sessions.offsets[chosen + 1])


def _too_few(count: int, which: str) -> InputError:
    return InputError(
        f"too few sessions to tune on: {count} {which}, {LEAST_SESSIONS} are needed; ingest more sessions, or train "
        "with the default settings"
    )
