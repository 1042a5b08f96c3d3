import errno
import gzip
import json
from collections import Counter, defaultdict
from itertools import pairwise
from math import ceil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from nextcart.errors import InputError, RunFailed
from nextcart.events import synth
from nextcart.events.synth import START_MS, SynthConfig, generate
from nextcart.events.synth_figures import OTTO, WEEKDAY_NAMES, Spread, compared_rows
from nextcart.events.synth_output import JsonlWriter, ParquetWriter

DAY_MS = 86_400_000


def read(path):
    with pa.input_stream(str(path), compression="detect") as file:
        return [json.loads(line) for line in file.read().splitlines()]


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    path = tmp_path_factory.mktemp("shop") / "shop.jsonl"
    summary = generate(SynthConfig(preset="otto", scale=0.001), path)
    return summary, read(path)


def test_the_same_seed_gives_the_same_bytes_and_another_seed_does_not(tmp_path):
    one, two, other = (tmp_path / name for name in ("one.jsonl.gz", "two.jsonl.gz", "other.jsonl.gz"))
    generate(SynthConfig(scale=0.02, seed=7), one)
    generate(SynthConfig(scale=0.02, seed=7), two)
    generate(SynthConfig(scale=0.02, seed=8), other)
    assert one.read_bytes() == two.read_bytes()
    assert one.read_bytes() != other.read_bytes()


def test_the_name_chooses_the_compression_of_the_same_lines(tmp_path):
    plain, gz, zst = (tmp_path / name for name in ("shop.jsonl", "shop.jsonl.gz", "shop.jsonl.zst"))
    for path in (plain, gz, zst):
        generate(SynthConfig(scale=0.01), path)
    text = plain.read_bytes()
    assert gzip.decompress(gz.read_bytes()) == text
    with pa.input_stream(str(zst), compression="zstd") as file:
        assert file.read() == text


@pytest.mark.parametrize("ids", ["int64", "string"])
def test_parquet_holds_the_events_of_the_jsonl_in_long_form(tmp_path, monkeypatch, ids):
    monkeypatch.setattr(synth, "SESSIONS_PER_CHUNK", 64)
    config = SynthConfig(scale=0.01, ids=ids)
    figures = [generate(config, tmp_path / name).figures for name in ("shop.jsonl", "shop.parquet", "again.parquet")]
    lines = read(tmp_path / "shop.jsonl")
    rows = [{"session": line["session"], **event} for line in lines for event in line["events"]]
    assert figures[0] == figures[1]
    assert pq.read_table(tmp_path / "shop.parquet").to_pylist() == rows
    assert pq.ParquetFile(tmp_path / "shop.parquet").num_row_groups == 4
    assert (tmp_path / "again.parquet").read_bytes() == (tmp_path / "shop.parquet").read_bytes()


@pytest.mark.parametrize("name", ["shop.jsonl", "shop.parquet"])
def test_the_bytes_do_not_depend_on_threads(tmp_path, name):
    threads, written = pa.cpu_count(), []
    try:
        for number in (1, 4):
            pa.set_cpu_count(number)
            generate(SynthConfig(scale=0.05), tmp_path / name)
            written.append((tmp_path / name).read_bytes())
    finally:
        pa.set_cpu_count(threads)
    assert written[0] == written[1]


def test_the_summary_counts_what_the_file_holds(shop):
    summary, sessions = shop
    events = [event for session in sessions for event in session["events"]]
    types = Counter(event["type"] for event in events)
    told = summary.as_dict()
    assert told.pop("figures") == summary.figures.as_dict()
    assert told.pop("otto") == OTTO.as_dict()
    assert told == {
        "output": summary.output,
        "bytes": Path(summary.output).stat().st_size,
        "sessions": len(sessions),
        "events": len(events),
        "items": len({event["aid"] for event in events}),
        **types,
        "first_ts": min(event["ts"] for event in events),
        "last_ts": max(event["ts"] for event in events),
    }


def test_an_order_follows_a_cart_of_the_item_and_a_cart_follows_a_click(shop):
    needed = {"carts": "clicks", "orders": "carts"}
    for session in shop[1]:
        seen = set()
        for event in session["events"]:
            before = needed.get(event["type"])
            assert before is None or (event["aid"], before) in seen
            seen.add((event["aid"], event["type"]))


def test_times_ascend_in_the_range_and_no_event_stands_twice(shop):
    for session in shop[1]:
        times = [event["ts"] for event in session["events"]]
        assert times == sorted(times)
        assert times[0] >= START_MS
        assert times[-1] < START_MS + 28 * DAY_MS
        assert len({tuple(event.values()) for event in session["events"]}) == len(times)


def test_the_items_of_an_order_share_a_time(shop):
    together = 0
    for session in shop[1]:
        for one, two in pairwise(session["events"]):
            if one["type"] == two["type"] == "orders":
                together += one["ts"] == two["ts"]
            else:
                assert one["ts"] < two["ts"]
    assert together > 100


def test_the_figures_are_those_of_plain_counting(shop):
    summary, sessions = shop
    figures = summary.figures
    lengths = sorted(len(session["events"]) for session in sessions)
    frequency = sorted(Counter(event["aid"] for session in sessions for event in session["events"]).values())
    assert (figures.sessions, figures.events, figures.items) == (len(sessions), sum(lengths), len(frequency))
    for spread, values in ((figures.session_events, lengths), (figures.item_events, frequency)):
        p50, p90, p99 = (values[ceil(percent * len(values) / 100) - 1] for percent in (50, 90, 99))
        assert spread == Spread(sum(values) / len(values), values[0], p50, p90, p99, values[-1])
    distinct = sum(len({event["aid"] for event in session["events"]}) for session in sessions)
    assert figures.session_items == distinct / len(sessions)
    for kind in ("clicks", "carts", "orders"):
        numbers = [sum(event["type"] == kind for event in session["events"]) for session in sessions]
        assert getattr(figures.percent, kind) == pytest.approx(100 * sum(numbers) / sum(lengths))
        assert getattr(figures.events_where_any, kind) == pytest.approx(sum(numbers) / len(list(filter(None, numbers))))
    days = Counter((event["ts"] - START_MS) // DAY_MS % 7 for session in sessions for event in session["events"])
    assert figures.busiest_weekday == WEEKDAY_NAMES[days.most_common(1)[0][0]]


def test_the_figures_stand_beside_ottos(shop):
    rows = {name: (ours, theirs) for name, ours, theirs in compared_rows(shop[0].figures)}
    assert rows["sessions"] == ("12,900", "12,899,779")
    assert rows["events per session, p90"] == ("39", "39")
    assert rows["carts, % of events"][1] == "7.80"
    assert rows["first event (UTC)"][1] == "2022-07-31 22:00"


def test_what_comes_next_can_be_learned(shop):
    sessions = shop[1]
    learned, held_out = [s for s in sessions if s["session"] % 5], [s for s in sessions if s["session"] % 5 == 0]
    following, popular = defaultdict(Counter), Counter()
    for session in learned:
        items = [event["aid"] for event in session["events"]]
        popular.update(items)
        for one, two in pairwise(items):
            following[one][two] += 1
    top = {item for item, _ in popular.most_common(20)}
    pairs = [tuple(event["aid"] for event in session["events"][-2:]) for session in held_out]
    by_successor = sum(two in dict(following[one].most_common(20)) for one, two in pairs)
    by_popularity = sum(two in top for _, two in pairs)
    assert by_successor > 2 * by_popularity


def test_baskets_hold_complements_more_often_than_chance(shop):
    baskets = [{e["aid"] for e in session["events"] if e["type"] == "carts"} for session in shop[1]]
    baskets = [basket for basket in baskets if 2 <= len(basket) <= 20]
    alone = Counter(item for basket in baskets for item in basket)
    pairs = Counter((one, two) for basket in baskets for one in basket for two in basket if one < two)
    lifts = [n * len(baskets) / (alone[one] * alone[two]) for (one, two), n in pairs.most_common(100)]
    assert sum(lifts) / len(lifts) > 2  # chance is 1


def test_string_ids_are_uuids_and_skus(tmp_path):
    path = tmp_path / "shop.jsonl"
    generate(SynthConfig(scale=0.005, ids="string"), path)
    sessions = read(path)
    assert len({session["session"] for session in sessions}) == 100
    assert all(len(session["session"]) == 36 for session in sessions)
    assert all(event["aid"].startswith("SKU-") for session in sessions for event in session["events"])


def test_sessions_number_on_over_chunks_and_start_in_order(tmp_path, monkeypatch):
    monkeypatch.setattr(synth, "SESSIONS_PER_CHUNK", 64)
    told = []
    path = tmp_path / "shop.jsonl"
    generate(SynthConfig(scale=0.01), path, lambda *step: told.append(step))
    sessions = read(path)
    assert [session["session"] for session in sessions] == list(range(200))
    assert told == [("synth", 64, 200), ("synth", 128, 200), ("synth", 192, 200), ("synth", 200, 200)]
    days = [session["events"][0]["ts"] // DAY_MS for session in sessions]
    assert sum(days[:100]) < sum(days[100:])


@given(
    scale=st.floats(1e-6, 0.01),
    days=st.integers(1, 400),
    seed=st.integers(0, 2**63 - 1),
    ids=st.sampled_from(["int64", "string"]),
)
@settings(max_examples=25, deadline=None)
def test_any_settings_make_a_shop_inside_its_days(tmp_path_factory, scale, days, seed, ids):
    path = tmp_path_factory.mktemp("shop") / "shop.jsonl"
    config = SynthConfig(scale=scale, days=days, seed=seed, ids=ids)
    summary = generate(config, path)
    assert len(read(path)) == config.n_sessions == summary.figures.sessions
    assert START_MS <= summary.figures.first_ts <= summary.figures.last_ts < START_MS + days * DAY_MS


@pytest.mark.parametrize("wrong", [{"scale": 0}, {"days": 0}, {"seed": -1}, {"preset": "large"}, {"sede": 1}])
def test_a_wrong_setting_is_refused(wrong):
    with pytest.raises(ValidationError):
        SynthConfig(**wrong)


def test_an_output_that_cannot_be_made_is_named(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="is a directory"):
        generate(SynthConfig(scale=0.001), tmp_path)
    with pytest.raises(InputError, match=r"shop\.jsonl: cannot be created"):
        generate(SynthConfig(scale=0.001), tmp_path / "file" / "shop.jsonl")
    with pytest.raises(InputError, match=r"shop\.csv: its name tells no format; let it end in one of \.jsonl, "):
        generate(SynthConfig(scale=0.001), tmp_path / "shop.csv")


@pytest.mark.parametrize("name", ["shop.jsonl", "shop.jsonl.gz", "shop.jsonl.zst", "shop.parquet"])
def test_a_full_disk_leaves_what_was_there(tmp_path, monkeypatch, name):
    writer = ParquetWriter if name.endswith(".parquet") else JsonlWriter
    write = writer.write

    def no_space(self, chunk):
        if chunk.first:
            raise OSError(errno.ENOSPC, "No space left on device")
        write(self, chunk)

    path = tmp_path / name
    path.write_bytes(b"before")
    monkeypatch.setattr(synth, "SESSIONS_PER_CHUNK", 64)
    monkeypatch.setattr(writer, "write", no_space)
    with pytest.raises(RunFailed, match="No space left"):
        generate(SynthConfig(scale=0.01), path)
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]
