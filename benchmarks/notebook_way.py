"""The peer: the same job as one would write it in notebooks, with pandas, DuckDB, gensim, faiss and Python loops.

Each stage imports what it needs and no more, so that its process is not charged for another's libraries.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from measure import THREADS, Clock, Stage

TYPES = {"clicks": 0, "carts": 1, "orders": 2}
LINES_PER_CHUNK = 100_000
SESSIONS_PER_QUERY = 10_000
TOP_ITEMS = 10_000
ALL_ITEMS = 2**31


def ingest(folder: Path, clock: Clock) -> dict[str, Any]:
    """OTTO JSONL into Parquet: read_json in chunks, explode, json_normalize; no check and no sort."""
    import pandas as pd
    import pyarrow  # noqa: F401  # the Parquet engine, imported before the clock runs

    target = folder / "notebook" / "events"
    target.mkdir(parents=True, exist_ok=True)
    events = 0
    with clock.part("ingest"):
        for number, chunk in enumerate(pd.read_json(folder / "events.jsonl", lines=True, chunksize=LINES_PER_CHUNK)):
            exploded = chunk.explode("events", ignore_index=True)
            flat = pd.json_normalize(exploded["events"].tolist())
            flat.insert(0, "session", exploded["session"])
            flat["type"] = flat["type"].map(TYPES).astype("int8")
            flat.to_parquet(target / f"{number:04d}.parquet", index=False)
            events += len(flat)
    return {"events": events}


def split(folder: Path, clock: Clock) -> dict[str, Any]:
    """Sessions by the 0.9 quantile of their ends, into two Parquet files, and top sellers of the first, in DuckDB."""
    import duckdb

    events, target = f"'{folder}/notebook/events/*.parquet'", folder / "notebook"
    with clock.part("split"), duckdb.connect(config={"threads": THREADS}) as connection:
        connection.execute(f"create table ends as select session, max(ts) as end_ts from {events} group by session")
        cut = connection.execute("select quantile_disc(end_ts, 0.9) from ends").fetchone()
        assert cut is not None
        for name, side in (("train", "<="), ("val", ">")):
            connection.execute(
                f"copy (select e.* from {events} e join ends using (session) where end_ts {side} {cut[0]} "
                f"order by e.session, ts) to '{target}/{name}.parquet' (format parquet)"
            )
    with clock.part("top sellers"), duckdb.connect(config={"threads": THREADS}) as connection:
        connection.execute(
            f"copy (with newest as (select max(ts) as newest_ts from '{target}/train.parquet') select aid, "
            "sum([1, 3, 5][type + 1]::double * exp(-0.01 * (newest_ts - ts) / 86400000.0::double)) as score "
            f"from '{target}/train.parquet', newest group by aid order by score desc limit 10000) "
            f"to '{target}/top_sellers.parquet' (format parquet)"
        )
    return {}


def covisitation(folder: Path, clock: Clock) -> dict[str, Any]:
    """Pairs of later events by a DuckDB self-join, both items among the most frequent; the top 40 of each."""
    return _join(folder, clock, "covisitation", TOP_ITEMS)


def covisitation_all(folder: Path, clock: Clock) -> dict[str, Any]:
    """The same over all items, which the notebook does not do: for information."""
    return _join(folder, clock, "covisitation_all", ALL_ITEMS)


def _join(folder: Path, clock: Clock, name: str, items: int) -> dict[str, Any]:
    import duckdb

    train, target = folder / "train.parquet", folder / "notebook" / f"{name}.parquet"
    with clock.part("join"), duckdb.connect(config={"threads": THREADS}) as connection:
        connection.execute(COVISITATION.format(train=train, target=target, items=items))
    return {"items": items}


COVISITATION = """
copy (
    with top as (
        select aid from '{train}' group by aid order by count(*) desc, aid limit {items}
    ),
    tail as (
        select session, aid, ts, type from '{train}'
        qualify row_number() over (partition by session order by ts desc, position desc) <= 20
    ),
    known as (select * from tail semi join top using (aid)),
    pairs as (
        select a.aid as aid, b.aid as other,
            sum(case b.type when 0 then 1.0::double when 1 then 3.0::double else 5.0::double end
                * exp(-0.05 * (b.ts - a.ts) / 3600000.0::double)) as weight
        from known a join known b
            on a.session = b.session and b.ts > a.ts and b.ts <= a.ts + 43200000 and a.aid <> b.aid
        group by a.aid, b.aid
    )
    select aid, other, weight from pairs
    qualify row_number() over (partition by aid order by weight desc) <= 40
) to '{target}' (format parquet)
"""


class SqlSessions:
    """The sessions' items as gensim takes them, a query a batch of sessions, each epoch again."""

    def __init__(self, train: Path) -> None:
        import duckdb

        self._connection = duckdb.connect(config={"threads": THREADS})
        self._train = train
        found = self._connection.execute(f"select distinct session from '{train}' order by session").fetchall()
        self._sessions = [session for (session,) in found]

    def __iter__(self) -> Iterator[list[str]]:
        for start in range(0, len(self._sessions), SESSIONS_PER_QUERY):
            wanted = ", ".join(map(str, self._sessions[start : start + SESSIONS_PER_QUERY]))
            rows = self._connection.execute(
                f"select list(aid::varchar order by ts, position) from '{self._train}' "
                f"where session in ({wanted}) group by session order by session"
            ).fetchall()
            for (items,) in rows:
                yield items


def item2vec(folder: Path, clock: Clock) -> dict[str, Any]:
    """Gensim's skip-gram fed from SQL, then an HNSW index over the normalised vectors."""
    import faiss
    import numpy as np
    from gensim.models import Word2Vec  # noqa: F401  # imported before the clock runs
    from notebook_models import hnsw

    with clock.part("train"):
        model = _word2vec(SqlSessions(folder / "train.parquet"))
    with clock.part("index"):
        vectors = model.wv.get_normed_vectors()
        index = hnsw(vectors)
    np.save(folder / "notebook" / "vectors.npy", vectors)
    np.save(folder / "notebook" / "vector_aids.npy", np.array([int(key) for key in model.wv.index_to_key]))
    faiss.write_index(index, str(folder / "notebook" / "hnsw.faiss"))
    return {"vectors": len(vectors)}


def item2vec_list(folder: Path, clock: Clock) -> dict[str, Any]:
    """The same with all sessions in a list, read once, which the notebook does not do: for information."""
    from gensim.models import Word2Vec  # noqa: F401  # imported before the clock runs
    from notebook_models import hnsw

    with clock.part("train"):
        model = _word2vec(list(SqlSessions(folder / "train.parquet")))
    with clock.part("index"):
        hnsw(model.wv.get_normed_vectors())
    return {}


def item2vec_corpus(folder: Path, clock: Clock) -> dict[str, Any]:
    """Gensim's fastest way: a text file of all sessions, written beforehand, that its own C code reads."""
    import duckdb
    from gensim.models import Word2Vec  # noqa: F401  # imported before the clock runs

    corpus = folder / "notebook" / "corpus.txt"
    with clock.part("write"), duckdb.connect(config={"threads": THREADS}) as connection:
        connection.execute(
            f"copy (select string_agg(aid, ' ' order by ts, position) from '{folder}/train.parquet' group by session "
            f"order by session) to '{corpus}' (header false, quote '', delimiter '\t')"
        )
    with clock.part("train"):
        _word2vec(corpus_file=str(corpus))
    return {}


def hnsw(folder: Path, clock: Clock) -> dict[str, Any]:
    """The notebook's index, 32 links and efConstruction 200, over nextcart's vectors."""
    import faiss
    import numpy as np

    vectors = np.load(folder / "given" / "vectors.npy")
    index = faiss.IndexHNSWFlat(vectors.shape[1], 32, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = 200
    with clock.part("build"):
        index.add(vectors)
    return {"vectors": len(vectors)}


def _word2vec(sessions: Iterable[list[str]] | None = None, corpus_file: str | None = None) -> Any:
    from gensim.models import Word2Vec

    return Word2Vec(
        sentences=sessions,
        corpus_file=corpus_file,
        sg=1,
        vector_size=32,
        window=3,
        negative=3,
        min_count=5,
        epochs=3,
        workers=THREADS,
        seed=42,
    )


def evaluation(folder: Path, clock: Clock) -> dict[str, Any]:
    """Replay the held-out sessions one by one, with each model and mode in turn.

    Lists and vectors are nextcart's, so that both sides must agree.
    """
    import duckdb
    import numpy as np
    from gensim.models import KeyedVectors
    from notebook_models import MODES, Notebook, hnsw, replay

    given = folder / "given"
    with clock.part("setup"), duckdb.connect(config={"threads": THREADS}) as connection:
        vectors = KeyedVectors(32)
        vectors.add_vectors([str(aid) for aid in np.load(given / "vector_aids.npy")], np.load(given / "vectors.npy"))
        sessions = connection.execute(
            f"select list(aid order by ts, position), list(type order by ts, position) from '{folder}/val.parquet' "
            "group by session order by session"
        ).fetchall()
        notebook = Notebook(
            _lists(connection, given / "covisitation.parquet"),
            _lists(connection, given / "bought_together.parquet"),
            vectors,
            hnsw(vectors.get_normed_vectors()),
            np.load(given / "top_sellers.npy").tolist(),
        )
        catalogue = connection.execute(f"select count(distinct aid) from '{folder}/train.parquet'").fetchone()
    assert catalogue is not None
    metrics: dict[str, dict[str, dict[str, float]]] = {model: {} for model in notebook.models}
    for model in notebook.models:
        for mode in MODES:
            with clock.part(f"{model}, {mode}"):
                metrics[model][mode] = replay(notebook, model, mode, sessions, catalogue[0])
    return {"sessions": len(sessions), "metrics": metrics}


def _lists(connection: Any, file: Path) -> dict[int, list[tuple[int, float]]]:
    """Neighbours of each item as a dict of lists."""
    lists: dict[int, list[tuple[int, float]]] = {}
    for aid, other, weight in connection.execute(f"select aid, other, weight from '{file}'").fetchall():
        lists.setdefault(aid, []).append((other, weight))
    return lists


STAGES: dict[str, Stage] = {
    "ingest": ingest,
    "split": split,
    "covisitation": covisitation,
    "covisitation_all": covisitation_all,
    "item2vec": item2vec,
    "item2vec_list": item2vec_list,
    "item2vec_corpus": item2vec_corpus,
    "hnsw": hnsw,
    "evaluation": evaluation,
}
