"""The synthetic shop at a hundredth of OTTO: its figures beside the published ones, and both formats through ingest."""

import json

import pyarrow.parquet as pq
import pytest

from nextcart.events.ingest import ingest
from nextcart.events.profile import profile
from nextcart.events.store import Store
from nextcart.events.synth import START_MS, SynthConfig, generate
from nextcart.events.synth_figures import OTTO
from tests.running import nextcart

SUNDAY = 6


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    path = tmp_path_factory.mktemp("shop") / "shop.parquet"
    return generate(SynthConfig(preset="otto", scale=0.01, seed=7), path), path


def test_the_figures_are_near_ottos(shop):
    seen = shop[0].figures
    assert (seen.sessions, seen.events) == (128_998, pytest.approx(OTTO.events / 100, rel=0.005))
    assert seen.items == pytest.approx(OTTO.items / 100, rel=0.01)
    for kind in ("clicks", "carts", "orders"):
        assert getattr(seen.percent, kind) == pytest.approx(getattr(OTTO.percent, kind), abs=0.2)
        assert getattr(seen.events_where_any, kind) == pytest.approx(getattr(OTTO.events_where_any, kind), rel=0.05)
    length = seen.session_events
    assert (length.min, length.p50, length.p90, length.max) == (2, 6, 39, 500)
    assert length.p99 == pytest.approx(176, abs=1)
    assert length.mean == pytest.approx(16.8, rel=0.005)
    assert seen.session_items == pytest.approx(10.4, rel=0.05)
    assert seen.item_events.mean == pytest.approx(116.79, rel=0.02)
    assert seen.item_events.p50 == pytest.approx(20, abs=1)
    assert seen.item_events.p90 == pytest.approx(183, rel=0.05)
    assert seen.item_events.p99 == pytest.approx(1678, rel=0.05)


def test_it_lasts_28_days_from_the_evening_that_otto_begins_on_and_peaks_on_sundays(shop):
    summary, path = shop
    seen = summary.figures
    assert 0 <= seen.first_ts - START_MS < 10 * 60_000
    assert 0 < START_MS + 28 * 86_400_000 - seen.last_ts < 10 * 60_000
    assert seen.busiest_weekday == "Sunday"
    # 1970-01-01 was a Thursday; by UTC's days, too.
    weekday = (pq.read_table(path, columns=["ts"]).column("ts").to_numpy() // 86_400_000 + 3) % 7
    by_weekday = [int((weekday == day).sum()) for day in range(7)]
    assert by_weekday[SUNDAY] > 1.1 * max(by_weekday[:SUNDAY])


@pytest.mark.parametrize("ids", ["int64", "string"])
def test_parquet_and_jsonl_of_a_shop_are_the_same_events_without_any_mapping(tmp_path, ids):
    for name in ("shop.jsonl", "shop.parquet"):
        nextcart("synth", "--scale", "0.05", "--ids", ids, "--output", name, cwd=tmp_path)
        nextcart("ingest", name, "--store", f"{name}.store", cwd=tmp_path)
    one, two = (Store.open(tmp_path / f"{name}.store") for name in ("shop.jsonl", "shop.parquet"))
    assert _events(one) == _events(two)
    assert one.manifest.splits["train"].events > 10_000


def _events(store):
    with store.connect() as connection:
        return connection.sql("from events_train order by session, ts, position").fetchall()


def test_the_figures_are_those_that_profile_finds(tmp_path):
    summary = generate(SynthConfig(scale=0.1), tmp_path / "shop.parquet")
    ingest([tmp_path / "shop.parquet"], tmp_path / "store")
    seen, told = profile(Store.open(tmp_path / "store")), summary.figures
    assert (seen.sessions, seen.events, seen.items) == (told.sessions, told.events, told.items)
    for theirs, ours in ((seen.session_events, told.session_events), (seen.item_events, told.item_events)):
        assert (theirs.p50, theirs.p90, theirs.p99, theirs.max) == (ours.p50, ours.p90, ours.p99, ours.max)
    assert told.session_items == pytest.approx(seen.session_items.mean)


def test_the_command_shows_both_sides_and_json_has_them(tmp_path):
    shown = nextcart("synth", "--scale", "0.01", "--output", "shop.parquet", cwd=tmp_path).stdout
    assert "this shop" in shown
    assert "distinct items per session, mean" in shown
    assert "216,716,096" in shown
    told = json.loads(nextcart("synth", "--scale", "0.01", "--output", "shop.jsonl", "--json", cwd=tmp_path).stdout)
    assert told["otto"]["session_events"]["p99"] == 176
    assert told["figures"]["sessions"] == told["sessions"] == 200
