"""From a log to recommendations in Python, in a folder of its own: the library behind the command line.

Run it with: python examples/python_api.py [FOLDER]
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import nextcart
from nextcart.events.synth import SynthConfig, generate

HOUR_MS = 3_600_000


def main(folder: Path) -> None:
    log, store_folder, models = folder / "shop.jsonl", folder / "store", folder / "models"
    settings = nextcart.load_settings()

    generate(SynthConfig(scale=0.2, seed=1), log)
    summary = nextcart.ingest([log], store_folder, config=settings.ingest)
    print(f"{summary.events:,} events of {summary.sessions:,} sessions")

    nextcart.split(store_folder, settings.split)
    store = nextcart.Store.open(store_folder)
    with store.connect() as sql:
        ((carted,),) = sql.sql("select count(*) from sessions where carts > 0").fetchall()
    print(f"sessions with something in the cart: {carted:,}")

    manifest = nextcart.train(store, models, settings)
    (evaluation,) = manifest.evaluations
    for model, by_mode in evaluation.metrics.items():
        print(f"{model:16} recall@{evaluation.k} {by_mode['next']['recall']:.3f}")

    repository = nextcart.Repository(models)
    repository.promote()
    recommender = nextcart.Recommender.load(repository.folder(repository.resolve()))

    # Any ids will do: unknown ones are passed over, and a session of nothing else gets top sellers.
    first, second = recommender.vocabulary.ids(recommender.top_sellers(2).items[0])
    events = [nextcart.Event(first, 0, "clicks"), nextcart.Event(second, HOUR_MS, "carts")]
    batch = nextcart.session_batch(recommender.vocabulary, [nextcart.Session("a visitor", events)])
    answer = recommender.recommend(batch, 5, mode="discover")
    print("next:", recommender.vocabulary.ids(answer.ranked.items[0]))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as scratch:
            main(Path(scratch))
