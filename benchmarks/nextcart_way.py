"""nextcart's side: each stage is the call that its commands make.

Each stage imports what it needs and no more, as the stages of `notebook_way` do.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from measure import Clock, Stage

SERVED_SESSIONS = 1_000
SERVED_CALLS = 20_000
API_REQUESTS = 3_000
PLAIN_MODELS = ("hybrid", "bought_together")
"""With what they stand on: all models but the session neighbours and the ranker, which have a stage of their own."""
RANKED_SESSIONS = 20_000


def ingest(folder: Path, clock: Clock) -> dict[str, Any]:
    """OTTO JSONL into an empty event store: checked, sorted, committed."""
    from nextcart.events.ingest import ingest as run

    store = folder / "nextcart" / "store"
    shutil.rmtree(store, ignore_errors=True)
    with clock.part("ingest"):
        run([folder / "events.jsonl"], store)
    return {}


def ingest_with_arrays(folder: Path, clock: Clock) -> dict[str, Any]:
    """The same, and the arrays of all events."""
    from nextcart.events.store import Store
    from nextcart.models.arrays import training_arrays

    facts = ingest(folder, clock)
    _started()
    with clock.part("arrays"):
        training_arrays(Store.open(folder / "nextcart" / "store"), "train")
    return facts


def split(folder: Path, clock: Clock) -> dict[str, Any]:
    """Cut the events by time, and make the arrays that every training of the training part maps."""
    from nextcart.events.schema import DERIVED_SPLITS
    from nextcart.events.split import split as run
    from nextcart.events.store import Store
    from nextcart.models.arrays import training_arrays

    root = folder / "nextcart" / "store"
    with clock.part("split"):
        run(root)
    _started()
    with clock.part("arrays"):
        training_arrays(Store.open(root), DERIVED_SPLITS[0])
    return {}


def covisitation(folder: Path, clock: Clock) -> dict[str, Any]:
    """Map the training arrays and count the pairs of all items."""
    from nextcart.config import CovisitationConfig
    from nextcart.events.store import Store
    from nextcart.models.arrays import training_arrays
    from nextcart.models.covisitation import Covisitation
    from nextcart.models.model import FitOptions

    _started()
    with clock.part("read"):
        _, arrays = training_arrays(Store.open(folder / "nextcart" / "store"), "train_split")
    with clock.part("fit"):
        Covisitation.fit(arrays, CovisitationConfig(matrices={}), FitOptions())
    return {"items": arrays.n_items}


def item2vec(folder: Path, clock: Clock) -> dict[str, Any]:
    """Map the training arrays, train the vectors and build their index."""
    from nextcart.config import Item2vecConfig
    from nextcart.events.store import Store
    from nextcart.models.arrays import training_arrays
    from nextcart.models.item2vec import Item2vec
    from nextcart.models.model import FitOptions

    _started()
    with clock.part("read"):
        _, arrays = training_arrays(Store.open(folder / "nextcart" / "store"), "train_split")
    with clock.part("fit"):
        model = Item2vec.fit(arrays, Item2vecConfig(), FitOptions())
    model.save(_empty(folder / "nextcart" / "item2vec"))
    return {"vectors": len(model.vectors)}


def train(folder: Path, clock: Clock) -> dict[str, Any]:
    """Map the training arrays, fit the plain models and save them."""
    from nextcart.config import CovisitationConfig, ModelsConfig
    from nextcart.events.store import Store
    from nextcart.models.arrays import training_arrays
    from nextcart.models.model import FitOptions
    from nextcart.models.recommender import Recommender

    _started()
    with clock.part("read"):
        vocabulary, arrays = training_arrays(Store.open(folder / "nextcart" / "store"), "train_split")
    config = ModelsConfig(covisitation=CovisitationConfig(matrices={}))
    recommender = Recommender.fit(vocabulary, arrays, config, FitOptions(), PLAIN_MODELS, clock.part)
    with clock.part("save"):
        recommender.save(_empty(folder / "nextcart" / "model"))
    return {"items": arrays.n_items, "events": arrays.sessions.n_events}


def publish(folder: Path, clock: Clock) -> dict[str, Any]:
    """What ``nextcart train`` does: map the arrays, fit, replay every held-out session, publish a version."""
    from nextcart.config import CovisitationConfig, ModelsConfig, Settings, TrainingConfig
    from nextcart.events.store import Store
    from nextcart.pipeline.steps import train as run

    _started()
    began = time.process_time()
    settings = Settings(
        models=ModelsConfig(covisitation=CovisitationConfig(matrices={})),
        training=TrainingConfig(evaluated_sessions=2**62),
    )
    store, models = Store.open(folder / "nextcart" / "store"), _empty(folder / "nextcart" / "models")
    manifest = run(store, models, settings, only=PLAIN_MODELS)
    whole = time.process_time() - began
    clock.parts |= {timing.stage: timing.cpu_seconds for timing in manifest.timings}
    clock.parts["publish"] = whole - sum(clock.parts.values())
    (evaluation,) = manifest.evaluations
    return {
        "items": manifest.data.items,
        "events": manifest.data.events,
        "sessions": evaluation.sessions,
        "metrics": evaluation.metrics,
        "bytes": sum(artifact.bytes for artifact in manifest.artifacts),
    }


def ranker(folder: Path, clock: Clock) -> dict[str, Any]:
    """Fit the ranker and all that it stands on, and replay some of the held-out sessions."""
    from nextcart.config import EvaluationConfig, ModelsConfig
    from nextcart.evaluation.replay import evaluate
    from nextcart.events.store import Store
    from nextcart.models.arrays import read_batch, training_arrays
    from nextcart.models.model import FitOptions
    from nextcart.models.recommender import Recommender

    _started()
    store = Store.open(folder / "nextcart" / "store")
    with clock.part("read"):
        vocabulary, arrays = training_arrays(store, "train_split")
    recommender = Recommender.fit(vocabulary, arrays, ModelsConfig(), FitOptions(), ("ranker",), clock.part)
    del arrays
    with clock.part("save"):
        recommender.save(_empty(folder / "nextcart" / "ranker"))
    sessions = read_batch(store, "val_split", vocabulary)
    with clock.part("evaluate"):
        result = evaluate(
            recommender, sessions, EvaluationConfig(), split="val_split", data_fingerprint="", limit=RANKED_SESSIONS
        )
    return {"sessions": result.sessions, "metrics": result.metrics}


def api(folder: Path, clock: Clock) -> dict[str, Any]:
    """Serve the published version in a process of its own, and ask it one session after another over one connection."""
    import re
    import subprocess
    import sys

    import httpx
    import numpy as np

    bodies = _bodies(folder)
    command = [sys.executable, "-m", "nextcart", "serve", "--models", str(folder / "nextcart" / "models")]
    began = time.perf_counter()
    with subprocess.Popen(
        [*command, "--version", "latest", "--port", "0"], stderr=subprocess.PIPE, text=True
    ) as server:
        try:
            assert server.stderr is not None
            address = next(found[0] for line in server.stderr if (found := re.search(r"http://\S+", line)))
            with httpx.Client(base_url=address, timeout=60) as client:
                while client.get("/health/ready").status_code != 200:
                    time.sleep(0.05)
                ready_s = time.perf_counter() - began
                with clock.part("client"):
                    answers = [client.post("/v1/recommend", content=body).raise_for_status().json() for body in bodies]
            status = Path(f"/proc/{server.pid}/status").read_text()
        finally:
            server.terminate()
    took = np.array([answer["took_ms"] for answer in answers])
    resident = {name: int(kib) / 2**20 for name, kib in re.findall(r"(VmRSS|RssAnon|RssFile):\s+(\d+) kB", status)}
    return {
        "requests": len(bodies),
        "ready_s": round(ready_s, 1),
        "took_ms_median": round(float(np.median(took)), 3),
        "took_ms_p99": round(float(np.percentile(took, 99)), 3),
        "resident_gb": {name: round(value, 2) for name, value in resident.items()},
    }


def _bodies(folder: Path) -> list[bytes]:
    """Requests with the first five events of sessions of the raw file, from its start."""
    import json

    bodies = []
    with (folder / "events.jsonl").open("rb") as lines:
        for line in lines:
            events = json.loads(line)["events"][:5]
            if len(events) == 5:
                bodies.append(json.dumps({"events": events}).encode())
            if len(bodies) == API_REQUESTS:
                break
    return bodies


def ann(folder: Path, clock: Clock) -> dict[str, Any]:
    """Look for the neighbours of the trained vectors again."""
    from nextcart.config import Item2vecConfig
    from nextcart.models.ann import nearest_of_all
    from nextcart.models.item2vec import Item2vec
    from nextcart.models.model import FitOptions

    (saved,) = [
        *(folder / "nextcart").glob("model/item2vec"),
        *(folder / "nextcart").glob("models/versions/*/item2vec"),
    ]
    vectors, config = Item2vec.load(saved).vectors, Item2vecConfig()
    with clock.part("build"):
        nearest_of_all(
            vectors, config.top_n, exact_below=config.exact_below, nprobe=config.nprobe, options=FitOptions()
        )
    return {"vectors": len(vectors)}


def evaluation(folder: Path, clock: Clock) -> dict[str, Any]:
    """Replay all held-out sessions with every model in both modes."""
    from nextcart.config import EvaluationConfig
    from nextcart.evaluation.replay import evaluate
    from nextcart.events.store import Store
    from nextcart.models.arrays import read_batch
    from nextcart.models.recommender import Recommender

    _started()
    with clock.part("setup"):
        recommender = Recommender.load(folder / "nextcart" / "model")
        recommender.warm()
        sessions = read_batch(Store.open(folder / "nextcart" / "store"), "val_split", recommender.vocabulary)
    with clock.part("replay"):
        result = evaluate(recommender, sessions, EvaluationConfig(), split="val_split", data_fingerprint="")
    return {"sessions": result.sessions, "metrics": result.metrics}


def serving(folder: Path, clock: Clock) -> dict[str, Any]:
    """Time single calls for sessions of five events on one thread: the batch of one, the scoring, each model alone."""
    from nextcart.config import EvaluationConfig
    from nextcart.evaluation.protocols import next_event
    from nextcart.events.schema import Event, Session
    from nextcart.events.store import Store
    from nextcart.models.arrays import read_batch
    from nextcart.models.received import session_batch
    from nextcart.models.recommender import Recommender
    from nextcart.types import TYPE_NAMES

    recommender = Recommender.load(folder / "nextcart" / "model")
    recommender.warm()
    vocabulary, k = recommender.vocabulary, EvaluationConfig().k
    held_out = read_batch(Store.open(folder / "nextcart" / "store"), "val_split", vocabulary)
    shown = next_event(held_out, 5).history
    requests = []
    for i in range(len(shown)):
        one = shown.slice(i, i + 1)
        if one.n_events == 5 and (one.items >= 0).all() and len(requests) < SERVED_SESSIONS:
            fields = zip(vocabulary.ids(one.items), one.ts.tolist(), one.types.tolist(), strict=True)
            requests.append(Session(0, [Event(aid, ts, TYPE_NAMES[kind]) for aid, ts, kind in fields]))
    batches = [session_batch(vocabulary, [request]) for request in requests]
    models = ("covisitation", "item2vec", "top_sellers")
    with clock.part("calls"):
        return {
            "sessions": len(requests),
            "score": _times(lambda i: recommender.recommend(batches[i], k, model="hybrid"), len(batches)),
            "batch": _times(lambda i: session_batch(vocabulary, [requests[i]]), len(batches)),
            "both": _times(
                lambda i: recommender.recommend(session_batch(vocabulary, [requests[i]]), k, model="hybrid"),
                len(batches),
            ),
            "models": {
                name: _times(lambda i, m=name: recommender.recommend(batches[i], k, model=m), len(batches))
                for name in models
            },
        }


def _times(call: Callable[[int], object], n: int) -> dict[str, float]:
    """Microseconds a call: median and p99 of wall time, mean of the thread's CPU time."""
    import numpy as np

    for i in range(min(n, 200)):
        call(i)
    taken = np.empty(SERVED_CALLS)
    began = time.thread_time_ns()
    for place in range(SERVED_CALLS):
        start = time.perf_counter_ns()
        call(place % n)
        taken[place] = time.perf_counter_ns() - start
    cpu_ns = (time.thread_time_ns() - began) / SERVED_CALLS
    median, p99 = np.percentile(taken, [50, 99]) / 1000
    return {"median_us": round(float(median), 1), "p99_us": round(float(p99), 1), "cpu_us": round(cpu_ns / 1000, 1)}


def _started() -> None:
    """Run a first kernel and convert a first column: what numba and pyarrow then load belongs to the process's start.

    It is about half a CPU second a process, and part of the figures of the whole process, as imports are.
    """
    import pyarrow as pa

    from nextcart.models.vocabulary import Vocabulary

    Vocabulary.from_counts("int64", pa.table({"aid": [7, 9], "events": [2, 1]}))


def _empty(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder


STAGES: dict[str, Stage] = {
    "ingest": ingest,
    "ingest_with_arrays": ingest_with_arrays,
    "split": split,
    "covisitation": covisitation,
    "item2vec": item2vec,
    "train": train,
    "publish": publish,
    "ranker": ranker,
    "api": api,
    "ann": ann,
    "evaluation": evaluation,
    "serving": serving,
}
