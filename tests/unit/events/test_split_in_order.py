"""A split in one pass gives what the sorting one gives, wherever row groups end."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nextcart.config import SplitConfig
from nextcart.errors import InputError
from nextcart.events import split as splitting
from nextcart.events import split_in_order
from nextcart.events.ingest import ingest
from nextcart.events.split import split
from nextcart.events.split_in_order import whole_sessions
from nextcart.events.store import Store
from tests.raw_files import START, event, line, stored, write

HOUR = 3_600_000

events = st.builds(
    lambda aid, hour, kind: (aid, START + hour * HOUR, kind),
    st.integers(0, 5),
    st.integers(0, 48),
    st.sampled_from(["clicks", "carts", "orders"]),
)
shops = st.lists(st.lists(events, min_size=1, max_size=9), min_size=2, max_size=12)


@given(st.lists(st.integers(1, 9), min_size=1, max_size=12), st.integers(1, 12), st.booleans())
@settings(max_examples=60, deadline=None)
def test_no_batch_ends_within_a_session(lengths: list[int], per_group: int, text: bool) -> None:
    ids = [f"s{n:02}" if text else n for n, length in enumerate(lengths) for _ in range(length)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.parquet"
        pq.write_table(pa.table({"session": ids, "ts": list(range(len(ids)))}), path, row_group_size=per_group)
        batches = [batch.to_pydict() for batch in whole_sessions(path)]
    assert [id_ for batch in batches for id_ in batch["session"]] == ids
    assert [ts for batch in batches for ts in batch["ts"]] == list(range(len(ids)))
    seen = [set(batch["session"]) for batch in batches]
    assert sum(map(len, seen)) == len(set().union(*seen))


def rewritten(root: Path, per_group: int) -> None:
    """The store's files with short row groups."""
    for path in root.glob("events/train/*.parquet"):
        table = pq.read_table(path)
        pq.write_table(table, path, row_group_size=per_group, use_dictionary=False)


@given(
    shops,
    st.booleans(),
    st.integers(1, 12),
    st.sampled_from([1, 5, split_in_order.ROWS_PER_GROUP]),
    st.sampled_from([SplitConfig(quantile=0.5), SplitConfig(quantile=0.8), SplitConfig(method="days", days=0.7)]),
)
@settings(max_examples=25, deadline=None)
def test_one_pass_gives_what_the_sort_gives(
    shop: list[list[tuple[int, int, str]]], text: bool, read_rows: int, written_rows: int, config: SplitConfig
) -> None:
    def name(value: int) -> int | str:
        return f"id-{value:03}" if text else value

    lines = [line(name(n), *(event(name(aid), ts, kind) for aid, ts, kind in rows)) for n, rows in enumerate(shop)]
    found: list[list[object]] = []
    for way in ("one pass", "sorted"):
        with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
            root = Path(folder) / "store"
            ingest([write(Path(folder) / "a.jsonl", lines)], root)
            rewritten(root, read_rows)
            patch.setattr(split_in_order, "ROWS_PER_GROUP", written_rows)
            if way == "sorted":
                patch.setattr(splitting, "overlapping", lambda _: True)
            try:
                summary = split(root, config).as_dict() | {"store": ""}
            except InputError as error:
                found.append([str(error)])
                continue
            manifest = Store.open(root).manifest
            facts = [
                manifest.splits[part].model_dump(exclude={"files": {"__all__": {"bytes"}}})
                for part in ("train_split", "val_split")
            ]
            found.append([summary, facts, stored(root, "train_split"), stored(root, "val_split")])
    assert found[0] == found[1]
