"""Complements beside what anybody would count: raw counts, cosine and lift of pairs in carts and orders."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from accuracy_bench import read_lines

K, SEED, ROUNDS, DRAWS = 20, 42, 1000, 5
MINE = "bought_together"

Score = Callable[[float, float, float], float]
COUNTED: dict[str, Score] = {
    "raw counts": lambda both, _, __: both,
    "cosine": lambda both, a, b: both / math.sqrt(a * b),
    "lift": lambda both, a, b: both / (a * b),
}
"""By baskets with both items, with the given one, and with the other."""


def complete_baskets(split: Path, version: Path) -> dict[str, Any]:
    """recall@20 and MRR@20 of all that complete baskets, and by how much bought together is ahead of each.

    ``over_draws`` has the same by the means over several draws of the given items, which leaves less to chance.
    """
    from nextcart.evaluation.protocols.basket_completion import ASKED, complete, completions
    from nextcart.events.schema import Event, Session
    from nextcart.models.received import session_batch
    from nextcart.models.recommender import Recommender

    recommender = Recommender.load(version)
    rows = read_lines(split / "test_full.jsonl")
    sessions = [Session(number, [Event(**event) for event in row["events"]]) for number, row in enumerate(rows)]
    batch = session_batch(recommender.vocabulary, sessions)
    draws = [completions(batch, np.random.default_rng(SEED + n).random(len(batch))) for n in range(DRAWS)]
    ids = recommender.vocabulary.ids
    given = {item for asked in draws for item in ids(asked.history.items)}
    counted = _counted(read_lines(split / "train.jsonl"), given)
    values: dict[str, list[Any]] = {name: [] for name in (*ASKED, *counted)}
    for asked in draws:
        spans = zip(asked.targets.offsets, asked.targets.offsets[1:], strict=False)
        targets = [set(ids(asked.targets.items[first:stop])) for first, stop in spans]
        lists = {
            model: [ids(items[items >= 0]) for items in complete(recommender, asked.history, K, model)]
            for model in ASKED
        }
        lists |= {name: [by_item[item] for item in ids(asked.history.items)] for name, by_item in counted.items()}
        for name, each in lists.items():
            values[name].append([_score(*pair) for pair in zip(each, targets, strict=True)])
    first = {name: np.array(each[0]) for name, each in values.items()}
    return _held_against(first) | {
        "over_draws": _held_against({name: np.mean(v, axis=0) for name, v in values.items()})
    }


def _held_against(values: dict[str, Any]) -> dict[str, Any]:
    """Means of each system's (n_baskets, 2) values, and of the differences."""
    n = len(values[MINE])
    drawn = np.random.default_rng(SEED).integers(0, n, (ROUNDS, n))
    return {
        "questions": n,
        "figures": {
            name: dict(zip(("recall@20", "mrr@20"), _means(each), strict=True)) for name, each in values.items()
        },
        "ahead_of": {name: _ahead(values[MINE] - each, drawn) for name, each in values.items() if name != MINE},
    }


def _counted(rows: list[dict[str, Any]], given: set[Any]) -> dict[str, dict[Any, list[Any]]]:
    """The lists of the plain counts by item; more popular items first where scores are equal."""
    baskets = [{event["aid"] for event in row["events"] if event["type"] != "clicks"} for row in rows]
    popular = Counter(item for basket in baskets for item in basket)
    together: dict[Any, Counter[Any]] = {item: Counter() for item in given}
    for basket in baskets:
        for item in basket & together.keys():
            together[item].update(basket - {item})
    found: dict[str, dict[Any, list[Any]]] = {}
    for name, score in COUNTED.items():
        found[name] = {
            item: sorted(
                others, key=lambda b, o=others, a=item: (-score(o[b], popular[a], popular[b]), -popular[b], b)
            )[:K]
            for item, others in together.items()
        }
    return found


def _score(items: Sequence[Any], targets: set[Any]) -> tuple[float, float]:
    places = [place for place, item in enumerate(items) if item in targets]
    return len(places) / min(K, len(targets)), 1 / (places[0] + 1) if places else 0.0


def _means(values: Any) -> list[float]:
    return [round(float(mean), 6) for mean in values.mean(axis=0)]


def _ahead(differences: Any, drawn: Any) -> dict[str, Any]:
    """Mean paired differences with their intervals over resampled sessions."""
    ends = np.percentile(differences[drawn].mean(axis=1), [2.5, 97.5], axis=0).round(6)
    names = enumerate(("recall@20", "mrr@20"))
    means = _means(differences)
    return {name: {"value": means[number], "ci95": ends[:, number].tolist()} for number, name in names}
