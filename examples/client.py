"""A shop's own program talks to the service: recommend, tell what happened, recommend again, block, forget.

It makes a small shop in a folder of its own and serves it. Run it with: python examples/client.py [FOLDER]
"""

from __future__ import annotations

import os
import secrets
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nextcart
from nextcart.client import ApiError, Client, Event, Retries, SessionEvent
from nextcart.events.synth import SynthConfig, generate


def main(folder: Path) -> None:
    models = fit(folder)
    with serving(folder, models) as (url, key), Client(url, api_key=key) as shop:
        bestseller, *_ = shop.top_sellers(limit=3).aids
        now = int(time.time() * 1000)

        # A visitor looks at an item. The session's id is enough from then on: the service remembers.
        shown = shop.recommend([Event(bestseller, now, "clicks")], session_id="visitor-1", limit=5)
        print("after a click:", shown.aids)

        # What happened next is kept, with the answer that led to it. This returns once it is on disk.
        chosen = shown.aids[0]
        cart = SessionEvent("visitor-1", chosen, now + 1000, "carts", request_id=shown.request_id)
        print("events kept:", shop.post_events(cart).accepted)
        print("next:", shop.recommend(session_id="visitor-1", limit=5, mode="discover").aids)
        print("goes with it:", shop.bought_together(chosen, limit=3).aids)

        # Sold out: it never comes again, by any route.
        shop.block([chosen])
        assert chosen not in shop.recommend(session_id="visitor-1", limit=20).aids  # noqa: S101
        shop.unblock([chosen])

        # A problem names the field that is wrong.
        try:
            shop.recommend(limit=0)
        except ApiError as error:
            print("refused:", error)

        # The visitor wishes to be forgotten.
        receipt = shop.erase_session("visitor-1")
        print("session store:", receipt.gone["session_store"], "· event store:", receipt.gone["event_store"])


def fit(folder: Path) -> Path:
    """A promoted version of a synthetic shop."""
    log, store, models = folder / "shop.jsonl", folder / "store", folder / "models"
    settings = nextcart.load_settings()
    generate(SynthConfig(scale=0.1, seed=1, ids="string"), log)
    nextcart.ingest([log], store, config=settings.ingest)
    nextcart.train(nextcart.Store.open(store), models, settings, only=["covisitation", "bought_together"])
    nextcart.Repository(models).promote()
    return models


@contextmanager
def serving(folder: Path, models: Path) -> Iterator[tuple[str, str]]:
    """The service on a free port, ready; its address and a key that may do all."""
    key, port = secrets.token_urlsafe(24), free_port()
    environment = os.environ | {
        "NEXTCART_API_KEYS": f"shop:read+events+admin:{key}",
        "NEXTCART__SERVING__STATE": str(folder / "state"),
    }
    command = [sys.executable, "-m", "nextcart", "serve", "--models", str(models), "--port", str(port)]
    with subprocess.Popen(command, env=environment) as process:  # noqa: S603
        url = f"http://127.0.0.1:{port}"
        try:
            # It listens after a moment, and answers once the models are loaded.
            with Client(url, retries=Retries(attempts=100)) as client:
                client.ready()
            yield url, key
        finally:
            process.terminate()


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as scratch:
            main(Path(scratch))
