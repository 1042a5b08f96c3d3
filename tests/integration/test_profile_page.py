import json
import re
from dataclasses import replace
from datetime import date, timedelta
from html.parser import HTMLParser
from pathlib import Path

import pytest
import vl_convert

from nextcart.errors import InputError, RunFailed
from nextcart.events.ingest import ingest
from nextcart.events.profile import Day, profile
from nextcart.events.profile_page import cards, render_page, write_page
from nextcart.events.profile_text import summary_rows
from nextcart.events.store import Store
from nextcart.events.synth import SynthConfig, generate

MONDAY = 1_659_312_000_000
DATA = Path(__file__).resolve().parents[2] / ".." / "shared" / "data"
LOADS = {"src", "href", "srcset", "data", "poster", "action", "background", "manifest", "formaction", "xlink:href"}


class Page(HTMLParser):
    """What a browser would see: elements, attributes and the text of each element."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.attributes, self.texts, self.inside = [], [], {}, []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        self.inside = [tag, dict(attrs).get("id")]

    def handle_data(self, data):
        for key in self.inside:
            self.texts[key] = self.texts.get(key, "") + data


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shop")
    generate(SynthConfig(scale=0.05), folder / "shop.jsonl")
    ingest([folder / "shop.jsonl"], folder / "store")
    return profile(Store.open(folder / "store"))


def of(folder, sessions):
    lines = [json.dumps({"session": n, "events": events}) for n, events in enumerate(sessions)]
    (folder / "events.jsonl").write_text("\n".join(lines), encoding="utf-8")
    ingest([folder / "events.jsonl"], folder / "store")
    return profile(Store.open(folder / "store"))


def drawable(profiled):
    """The number of charts, each of which Vega-Lite could compile."""
    specs = [card.spec for card in cards(profiled)]
    for spec in specs:
        assert vl_convert.vegalite_to_vega(spec, vl_version="6.4")["marks"]
    return len(specs)


def test_the_page_holds_every_chart_and_figure(seen, tmp_path):
    write_page(seen, tmp_path / "new" / "profile.html")
    html = (tmp_path / "new" / "profile.html").read_text(encoding="utf-8")
    page = Page(html)
    specs = json.loads(page.texts["specs"])
    places = {value for name, value in page.attributes if name == "id" and value.startswith("chart-")}
    assert specs.keys() == places
    assert len(specs) == drawable(seen) == 10
    for name, value in summary_rows(seen):
        assert name in page.texts["th"]
        assert value in page.texts["td"]
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["profile.html"]


def test_the_page_loads_nothing(seen):
    html = render_page(seen)
    page = Page(html)
    assert not LOADS & {name for name, _ in page.attributes}
    assert not {"link", "img", "iframe", "object", "embed", "base", "form"} & set(page.tags)
    policies = [value for name, value in page.attributes if name == "content" and "default-src" in value]
    assert policies == [
        "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline'; img-src data:"
    ]
    style = page.texts["style"]
    assert "url(" not in style
    assert "@import" not in style
    for spec in json.loads(page.texts["specs"]).values():
        assert '"url"' not in json.dumps(spec)


def test_the_page_stays_small(seen):
    assert len(render_page(seen).encode()) < 1_500_000


def test_the_library_draws_what_altair_writes(seen):
    schema = json.loads(Page(render_page(seen)).texts["specs"])["chart-0"]["$schema"]
    version = re.search(r"v(\d+\.\d+)", schema)[1]
    assert version in vl_convert.get_vegalite_versions()


@pytest.mark.parametrize(
    "name", ["</script><script>alert(1)</script>.jsonl", '"><img src=x onerror=alert(1)>.gz', "$title ${specs} &amp;"]
)
def test_names_cannot_become_part_of_the_page(seen, name):
    page = Page(render_page(replace(seen, sources=(name,))))
    assert page.tags.count("script") == 3
    assert "img" not in page.tags
    assert name in page.texts["p"]


def test_a_hostile_label_cannot_end_the_script_of_the_charts(seen):
    paths = tuple(replace(path, types=("</script><b>",)) for path in seen.paths)
    page = Page(render_page(replace(seen, paths=paths)))
    assert "b" not in page.tags
    assert "only </script><b>" in json.dumps(json.loads(page.texts["specs"]))


@pytest.mark.parametrize(
    "sessions",
    [
        [[{"aid": 1, "ts": MONDAY, "type": "orders"}, {"aid": 2, "ts": MONDAY, "type": "orders"}]],
        [[{"aid": 1, "ts": MONDAY, "type": "clicks"}]],
        [[{"aid": 1, "ts": MONDAY, "type": "carts"}], [{"aid": 1, "ts": MONDAY + 1, "type": "clicks"}]],
    ],
    ids=["orders only, one day", "one event", "carts without clicks"],
)
def test_shops_with_little_in_them_have_all_charts(tmp_path, sessions):
    profiled = of(tmp_path, sessions)
    assert drawable(profiled) == 10
    assert len(json.loads(Page(render_page(profiled)).texts["specs"])) == 10


def test_no_events_are_a_page_without_charts(seen):
    zero = dict.fromkeys(seen.events_by_type, 0)
    none = replace(
        seen,
        events=0,
        sessions=0,
        items=0,
        days=0,
        first_ts=None,
        last_ts=None,
        events_by_type=zero,
        items_by_type=zero,
    )
    page = Page(render_page(replace(none, daily=(), weekly=(), paths=(), funnel=(), long_tail=())))
    assert json.loads(page.texts["specs"]) == {}
    assert "no events" in page.texts["p"]


def test_ten_years_are_drawn_with_a_bounded_number_of_points(seen):
    start = date(2015, 1, 1)
    days = [Day((start + timedelta(days=n)).isoformat(), 5, 3, 1, 9, 9.0) for n in range(3653)]
    (spec,) = (
        card.spec for card in cards(replace(seen, daily=tuple(days), days=3653)) if card.title == "Events by day"
    )
    points = [row for rows in spec["datasets"].values() for row in rows]
    assert 500 < len(points) < 3000
    assert {row["to"] for row in points if "to" in row} == {5.0, 8.0, 9.0}


def test_a_page_that_cannot_be_written_is_named(seen, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(RunFailed, match=r"--output .*profile\.html: cannot be written .*; free some space"):
        write_page(seen, tmp_path / "file" / "profile.html")
    with pytest.raises(InputError, match=r"--output .*: is a directory; name a file"):
        write_page(seen, tmp_path)


@pytest.mark.parametrize("name", ["google_merch", "bol_serenade", "otto_official_sample"])
def test_pages_of_real_shops(tmp_path, name):
    raw = DATA / f"{name}.jsonl.gz"
    if not raw.is_file():
        pytest.skip(f"{raw} is not there")
    ingest([raw], tmp_path / "store")
    profiled = profile(Store.open(tmp_path / "store"))
    assert drawable(profiled) == 10
    assert len(render_page(profiled).encode()) < 1_500_000
