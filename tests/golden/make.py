"""Writes a golden artifact: a saved recommender, and what it answered on the day that it was written.

    python -m tests.golden.make v4

A golden folder is written once and then only read: `tests/unit/models/test_golden.py` loads every one that there is,
for what an older nextcart has published must keep loading and keep answering. So this is run when the format changes,
with a new name, and never over a folder that exists. `answers.json` beside the models holds the questions (sessions
of [aid, ts, type]) and the answers by kind.

The shop has about fifty items. The settings reach every array that a model can save: a named co-visitation matrix, and
cells for item2vec's neighbours although there are few vectors.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from nextcart.config import (
    DEFAULT_MATRICES,
    BoughtTogetherConfig,
    CovisitationConfig,
    Item2vecConfig,
    LogBilinearConfig,
    MatrixConfig,
    ModelsConfig,
    RankerConfig,
)
from nextcart.events.schema import Event, Session
from nextcart.models.model import FitOptions
from nextcart.models.received import session_batch
from nextcart.models.recommender import FALLBACKS, Recommender
from nextcart.types import TYPE_NAMES, Ranked
from tests.shop import make_shop

GOLDEN = Path(__file__).resolve().parent
K = 8
CLEAR = 1e-4
"""Scores of item2vec further apart than this come in the same order on any machine."""

RECENT = MatrixConfig(look_back_events=1, keep_diagonal=True, top_n=5)

CONFIG = ModelsConfig(
    covisitation=CovisitationConfig(matrices=DEFAULT_MATRICES | {"recent": RECENT}),
    bought_together=BoughtTogetherConfig(min_support=2),
    item2vec=Item2vecConfig(dim=12, min_count=2, exact_below=0),
    log_bilinear=LogBilinearConfig(dim=8, top_n=12, exact_below=0),
    ranker=RankerConfig(min_questions=20, min_leaf_rows=5, max_trees=10),
)


def main(name: str) -> None:
    """Fit, save and ask; refuses to write over an artifact, or one whose order another machine may not repeat."""
    folder = GOLDEN / name
    shop = make_shop(2026, clusters=5, items=50, sessions=250)
    fitted = Recommender.fit(shop.vocabulary, shop.arrays, CONFIG, FitOptions(seed=1, deterministic=True))
    folder.mkdir()
    fitted.save(folder)
    questions = _questions(fitted)
    document = {"questions": questions, "answers": answers(Recommender.load(folder), questions)}
    unclear = [kind for kind, rows in document["answers"].items() if "item2vec" in kind and not _clear(rows)]
    if unclear:
        raise SystemExit(f"scores too near to each other in {unclear}; change the seed")
    (folder / "answers.json").write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def answers(recommender: Recommender, questions: list[list[list[Any]]]) -> dict[str, list[dict[str, Any]]]:
    """What the recommender says to each question, by model and mode, and to single items and baskets."""
    sessions = [Session(i, [Event(*event) for event in question]) for i, question in enumerate(questions)]
    batch = session_batch(recommender.vocabulary, sessions)
    found: dict[str, list[dict[str, Any]]] = {}
    for model in recommender.models:
        for mode in ("next", "discover"):
            answer = recommender.recommend(batch, K, model=model, mode=mode)
            found[f"recommend {model} {mode}"] = [
                row | {"fallback": FALLBACKS[reason]}
                for row, reason in zip(_rows(recommender, answer.ranked), answer.fallback, strict=True)
            ]
    for objective in TYPE_NAMES:
        found[f"top_sellers {objective}"] = _rows(recommender, recommender.top_sellers(K, objective=objective))
    for row in (0, 7):
        for model in ("item2vec", "covisitation"):
            found[f"similar {model} {row}"] = _rows(recommender, recommender.similar(row, K, model=model))
        basket = np.array([row, row + 1], np.int32)
        found[f"bought_together {row}"] = _rows(recommender, recommender.bought_together(basket, K))
    return found


def _rows(recommender: Recommender, ranked: Ranked) -> list[dict[str, Any]]:
    columns = zip(ranked.items, ranked.scores, ranked.sources, strict=True)
    return [
        {
            "items": recommender.vocabulary.ids(items[items >= 0]),
            "scores": [round(score, 7) for score in scores[items >= 0].tolist()],
            "sources": sources[items >= 0].tolist(),
        }
        for items, scores, sources in columns
    ]


def _questions(recommender: Recommender) -> list[list[list[Any]]]:
    def session(*events: tuple[int, str]) -> Iterator[list[Any]]:
        for i, (row, kind) in enumerate(events):
            yield [recommender.vocabulary.ids(np.array([row], np.int32))[0] if row >= 0 else 1, 60_000 * i, kind]

    clicks = "clicks"
    return [
        [],
        list(session((-1, clicks))),
        list(session((0, clicks))),
        list(session((12, clicks), (17, clicks), (22, "carts"))),
        list(session((3, clicks), (-1, clicks), (8, clicks), (3, "orders"))),
        list(session(*((row, TYPE_NAMES[row % 3]) for row in range(12)))),
    ]


def _clear(rows: list[dict[str, Any]]) -> bool:
    own = [[s for s, bits in zip(row["scores"], row["sources"], strict=True) if bits != 1] for row in rows]
    return all((np.diff(scores) < -CLEAR).all() for scores in own)


if __name__ == "__main__":
    main(sys.argv[1])
