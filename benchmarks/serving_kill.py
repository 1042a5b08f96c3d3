"""The section that asks what is kept: events posted over HTTP while workers are killed with ``kill -9``."""

from __future__ import annotations

import json
import random
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import psutil
from event_log_kill import names
from serving_servers import API_KEY, Server, nextcart
from serving_shop import START_MS, shop_ids
from serving_speed import Run, check

EVENTS, BODY, CALLERS, SESSIONS = 100_000, 2, 8, 4_000
KILL_AFTER_SECONDS = 0.5
"""The mean time from one kill to the next; a worker that was killed takes some seconds to come again."""
GIVE_UP_SECONDS = 60.0
SEED = 1


def kill(run: Run) -> dict[str, Any]:
    """Two workers, one of which is killed at random moments; whoever gets no answer posts the same events again."""
    ids = shop_ids(run.items).tolist()
    bodies = [_body(ids, first) for first in range(0, EVENTS, BODY)]
    with nextcart(run.models, run.folder, SERVING__WORKERS=2) as ours:
        ended, kills = threading.Event(), [0]
        killer = threading.Thread(target=_kill, args=(ours, ended, kills))
        began = time.monotonic()
        killer.start()
        try:
            address = f"http://127.0.0.1:{ours.port}"
            with (
                httpx.Client(base_url=address, headers={"x-api-key": API_KEY}) as client,
                ThreadPoolExecutor(CALLERS) as callers,
            ):
                tries = list(callers.map(lambda body: _post(client, body), bodies))
        finally:
            ended.set()
            killer.join()
        seconds = time.monotonic() - began
    found = Counter(names(run.folder / f"state-{ours.port}" / "event_log"))
    lost, twice = len(set(range(EVENTS)) - found.keys()), sum(count > 1 for count in found.values())
    return {
        "events": EVENTS,
        "kills": kills[0],
        "posted_again": sum(tries) - len(bodies),
        "wall_s": round(seconds, 1),
        "checks": [
            check("acknowledged events that are not in the log", lost, "0", lost == 0),
            check("events that are in it twice", twice, "0", twice == 0),
            check("workers killed", kills[0], ">= 10", kills[0] >= 10),
        ],
    }


def _body(ids: list[int], first: int) -> bytes:
    numbers = range(first, first + BODY)
    events = [
        {
            "session_id": number % SESSIONS,
            "aid": ids[number % len(ids)],
            "ts": START_MS + number,
            "type": "clicks",
            "event_id": f"id-{number}",
        }
        for number in numbers
    ]
    return json.dumps({"events": events}).encode()


def _post(client: httpx.Client, body: bytes) -> int:
    """Post until it is acknowledged; how often that took."""
    until = time.monotonic() + GIVE_UP_SECONDS
    tries = 0
    while time.monotonic() < until:
        tries += 1
        try:
            answer = client.post("/v1/events", content=body)
        except httpx.TransportError:
            continue
        if answer.status_code == 202:
            told = answer.json()
            if told["accepted"] + told["duplicates"] != BODY:
                raise SystemExit(f"events were not taken: {told}")
            return tries
        time.sleep(0.05)
    raise SystemExit(f"no answer within {GIVE_UP_SECONDS:g} s")


def _kill(server: Server, ended: threading.Event, kills: list[int]) -> None:
    moments = random.Random(SEED)  # noqa: S311 - moments to kill at, no secrets
    while not ended.wait(moments.expovariate(1 / KILL_AFTER_SECONDS)):
        workers = server.process.children()
        if len(workers) < 2:
            # The last one goes on, or nobody would be there to be asked.
            continue
        try:
            moments.choice(workers).kill()
            kills[0] += 1
        except psutil.NoSuchProcess:
            continue
