"""What each protocol asks of whom, and which figures it makes: the parts that `replay` puts together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from nextcart.config import EvaluationConfig
from nextcart.evaluation.cutting import Questions
from nextcart.evaluation.metrics import SESSION_METRICS
from nextcart.evaluation.protocols import basket_completion as baskets
from nextcart.evaluation.protocols import multi_objective as objectives
from nextcart.evaluation.protocols.next_click import next_clicks
from nextcart.evaluation.protocols.next_event import last_events
from nextcart.evaluation.report import Protocol
from nextcart.evaluation.sums import Asked, Values
from nextcart.models.recommender import Recommender
from nextcart.models.shared import Shared
from nextcart.types import TYPE_NAMES, Int32s, Mode, Objective, SessionBatch

Ask = Callable[[Questions, Asked, Shared | None], Int32s]
"""The lists, shape (n_questions, k), of a model and mode."""


KEPT = ("recall", "ndcg", "mrr")
"""Of one target, the hit rate is the recall and MAP the MRR."""


@dataclass(frozen=True, slots=True)
class Group:
    """Questions whose figures stand together.

    Attributes:
        name: what their figures' names begin with; may be empty.
        questions: those of sessions ``first`` to ``stop``, so many at a time; their sessions count from ``first``.
        ask: answers them.
    """

    name: str
    questions: Callable[[int, int], Iterator[Questions]]
    ask: Ask


@dataclass(frozen=True, slots=True)
class Plan:
    """A protocol on held-out sessions.

    Attributes:
        protocol: its name.
        n_sessions: held-out sessions.
        asked: models and modes.
        groups: of questions.
        metrics: of each group.
        history_events: most events that are shown.
        derive: adds figures that are made of others.
    """

    protocol: Protocol
    n_sessions: int
    asked: tuple[Asked, ...]
    groups: tuple[Group, ...]
    metrics: tuple[str, ...]
    history_events: int
    derive: Callable[[Values], None] | None = None

    @property
    def kept(self) -> tuple[str, ...]:
        """The figures that a person reads first, whose sums by session are kept."""
        metrics = [metric for metric in self.metrics if metric in KEPT]
        return tuple(f"{group.name}_{metric}".lstrip("_") for group in self.groups for metric in metrics)


def plan(
    protocol: Protocol,
    recommender: Recommender,
    sessions: SessionBatch,
    config: EvaluationConfig,
    models: Sequence[str],
    modes: Sequence[Mode],
) -> Plan:
    """How a protocol asks these models about these sessions; `next_period` asks none, so it has no plan."""
    return PLANS[protocol](recommender, sessions, config, models, modes)


def _next_event(
    recommender: Recommender,
    sessions: SessionBatch,
    config: EvaluationConfig,
    models: Sequence[str],
    modes: Sequence[Mode],
) -> Plan:
    def questions(first: int, stop: int) -> Iterator[Questions]:
        yield last_events(sessions.slice(first, stop), config.history_events)

    return Plan(
        "next_event",
        len(sessions),
        tuple((name, mode) for name in models for mode in modes),
        (Group("", questions, _recommend(recommender, config.k)),),
        tuple(SESSION_METRICS),
        config.history_events,
    )


def _next_click(
    recommender: Recommender,
    sessions: SessionBatch,
    config: EvaluationConfig,
    models: Sequence[str],
    modes: Sequence[Mode],
) -> Plan:
    del modes
    known = sessions.known()

    def questions(first: int, stop: int) -> Iterator[Questions]:
        yield from next_clicks(known.slice(first, stop), config.last_positions, config.max_history_events)

    return Plan(
        "next_click",
        len(sessions),
        tuple((name, "next") for name in models),
        (Group("", questions, _recommend(recommender, config.k)),),
        ("recall", "mrr"),
        config.max_history_events,
    )


def _multi_objective(
    recommender: Recommender,
    sessions: SessionBatch,
    config: EvaluationConfig,
    models: Sequence[str],
    modes: Sequence[Mode],
) -> Plan:
    del modes
    known = sessions.known()
    cuts = objectives.draw_cuts(np.diff(known.offsets), config.seed)

    def group(objective: Objective) -> Group:
        def questions(first: int, stop: int) -> Iterator[Questions]:
            part = known.slice(first, stop)
            yield objectives.later_labels(part, cuts[first:stop], objective, config.max_history_events)

        return Group(objective, questions, _recommend(recommender, config.k, objective))

    return Plan(
        "multi_objective",
        len(sessions),
        tuple((name, "next") for name in models),
        tuple(group(objective) for objective in TYPE_NAMES),
        ("recall",),
        config.max_history_events,
        _add_totals,
    )


def _basket_completion(
    recommender: Recommender,
    sessions: SessionBatch,
    config: EvaluationConfig,
    models: Sequence[str],
    modes: Sequence[Mode],
) -> Plan:
    del modes
    known = sessions.known()
    draws = np.random.default_rng(config.seed).random(len(sessions))

    def questions(first: int, stop: int) -> Iterator[Questions]:
        yield baskets.completions(known.slice(first, stop), draws[first:stop])

    def ask(asked: Questions, of: Asked, shared: Shared | None) -> Int32s:
        del shared
        return baskets.complete(recommender, asked.history, config.k, of[0])

    # Top sellers are what the lift is over.
    names = [name for name in baskets.ASKED if name in models] + [baskets.ASKED[-1]]
    return Plan(
        "basket_completion",
        len(sessions),
        tuple((name, "discover") for name in dict.fromkeys(names)),
        (Group("", questions, ask),),
        ("recall", "mrr"),
        1,
        _add_lift,
    )


PLANS: dict[Protocol, Callable[..., Plan]] = {
    "next_event": _next_event,
    "next_click": _next_click,
    "multi_objective": _multi_objective,
    "basket_completion": _basket_completion,
}


def _recommend(recommender: Recommender, k: int, objective: Objective = "clicks") -> Ask:
    def ask(questions: Questions, asked: Asked, shared: Shared | None) -> Int32s:
        model, mode = asked
        answer = recommender.recommend(questions.history, k, model=model, mode=mode, objective=objective, shared=shared)
        return answer.ranked.items

    return ask


def _add_totals(values: Values) -> None:
    for figures in values.values():
        objectives.add_total(figures)


def _add_lift(values: Values) -> None:
    """How many times as many of the missing items a model's lists hold as the top sellers' do."""
    popular = values[baskets.ASKED[-1], "discover"]["recall"]
    for figures in values.values():
        figures["lift"] = np.divide(
            figures["recall"], popular, out=np.full(popular.shape, np.nan), where=~np.isnan(popular) & (popular > 0)
        )
