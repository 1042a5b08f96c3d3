"""The notebook's models on a training log: its co-visitation and item2vec, as measured elsewhere, and their mixture."""

from __future__ import annotations

from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from gensim.models import KeyedVectors
from measure import measure
from notebook_models import Notebook, hnsw

from .log import Log, Session

MODELS = ("hybrid", "covisitation", "item2vec", "top_sellers")


def fit(log: Log, folder: Path) -> tuple[Notebook, float]:
    """Fit all models on a log, in ``folder``; with the CPU seconds of both fits."""
    (folder / "notebook").mkdir(parents=True)
    lengths = np.diff(log.offsets)
    columns = {
        "session": np.repeat(np.arange(len(log)), lengths),
        "aid": log.aids[log.events.items],
        "ts": log.events.ts,
        "type": log.events.types.astype(np.int8),
        "position": np.arange(lengths.sum()) - np.repeat(log.offsets[:-1], lengths),
    }
    pq.write_table(pa.table(columns), folder / "train.parquet")
    cpu_s = sum(measure("notebook", stage, folder).work() for stage in ("covisitation", "item2vec"))
    vectors = KeyedVectors(32)
    keys = [str(aid) for aid in np.load(folder / "notebook" / "vector_aids.npy")]
    vectors.add_vectors(keys, np.load(folder / "notebook" / "vectors.npy"))
    lists: dict[int, list[tuple[int, float]]] = {}
    with duckdb.connect() as connection:
        pairs = f"from '{folder}/notebook/covisitation.parquet' order by aid, weight desc"
        for aid, other, weight in connection.execute(pairs).fetchall():
            lists.setdefault(aid, []).append((other, weight))
        popular = [aid for (aid,) in connection.execute(POPULAR.format(train=folder / "train.parquet")).fetchall()]
    return Notebook(lists, {}, vectors, hnsw(vectors.get_normed_vectors()), popular), cpu_s


POPULAR = """
with newest as (select max(ts) as newest_ts from '{train}')
select aid from '{train}', newest group by aid
order by sum([1, 3, 5][type + 1] * exp(-0.01 * (newest_ts - ts) / 86400000.0)) desc, aid limit 10000
"""


def history(log: Log, session: Session) -> list[tuple[int, int]]:
    """A session as the notebook takes it: ids and types, of the items that training knows."""
    known = session.items >= 0
    return list(zip(log.aids[session.items[known]].tolist(), session.types[known].tolist(), strict=True))
