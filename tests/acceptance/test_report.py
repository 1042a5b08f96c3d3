"""`nextcart report`: one page a version, in a real browser, and what it says where something is missing."""

from __future__ import annotations

import hashlib
import json
import re
import shlex
import shutil
from pathlib import Path

import pytest

from tests.acceptance.conftest import Workplace
from tests.acceptance.test_pages import render
from tests.running import as_json, nextcart


@pytest.fixture(scope="module")
def measured(workplace: Workplace, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shop's store and its version in production, measured by every protocol."""
    folder = tmp_path_factory.mktemp("reported")
    shutil.copytree(workplace.folder / "var", folder / "var")
    nextcart("evaluate", "--protocol", "all", cwd=folder)
    return folder


def test_the_report_draws_every_chart(measured: Path, tmp_path: Path) -> None:
    done = nextcart("report", "--output", "out/report.html", "--limit", "60", cwd=measured, interpreter=True)
    assert "looked at 60 sessions of val_split, " in done.stdout
    html = (measured / "out" / "report.html").read_text(encoding="utf-8")
    dom, complaints = render(f"file://{measured / 'out' / 'report.html'}", tmp_path / "browser")
    assert complaints == []
    assert not re.findall(r"(?:src|href)\s*=\s*[\"']?(?:https?:)?//", html.split("<script>")[0])
    places = len(re.findall(r"id=\"chart-\d+\"", dom))
    assert places >= 8
    assert len(re.findall(r"<(?:svg|canvas)[^>]*class=\"marks\"", dom)) == places
    for part in ("Protocols", "Kinds of target", "Places of the hits", "The ranker", "Examples", "Training"):
        assert f'<h2 class="part">{part}</h2>' in dom
    assert "is ahead of" in dom
    for objective in ("the next click", "later carts", "later orders"):
        assert f"Calibration: {objective}" in dom
    assert "What it costs to drop a source" in dom
    assert "Not measured yet" not in dom


WIDTHS = """<script>
const wait = () => new Promise(done => setTimeout(done, 1500));
const shown = async widths => {
  const page = document.createElement("iframe");
  page.height = 9000;
  page.width = widths[0];
  document.body.append(page);
  await new Promise(done => { page.onload = done; page.srcdoc = PAGE; });
  for (const width of widths) {
    page.width = width;
    await wait();
  }
  let names = 0, cut = 0;
  for (const chart of page.contentDocument.querySelectorAll("svg.marks")) {
    const place = chart.getBoundingClientRect();
    for (const name of chart.querySelectorAll(".role-legend-label text")) {
      const at = name.getBoundingClientRect();
      names += 1;
      cut += at.top < place.top || at.right > place.right;
    }
  }
  page.remove();
  return { widths, names, cut };
};
onload = async () => {
  const found = [];
  for (const widths of [[340], [375], [450], [1024], [420, 900], [1200, 340]]) found.push(await shown(widths));
  document.body.textContent = JSON.stringify(found);
};
</script><body></body>"""
"""Shows the page in places of such widths, and counts the names in its legends and those that are cut off."""


def test_no_width_cuts_a_name_of_a_legend_off(measured: Path, tmp_path: Path) -> None:
    nextcart("report", "--output", tmp_path / "report.html", "--limit", "20", cwd=measured)
    page = json.dumps((tmp_path / "report.html").read_text(encoding="utf-8")).replace("</", "<\\/")
    (tmp_path / "widths.html").write_text(WIDTHS.replace("PAGE", page), encoding="utf-8")
    dom, _ = render(f"file://{tmp_path / 'widths.html'}", tmp_path / "browser", virtual_ms=60_000)
    told = re.search(r"<body>(\[.*\])</body>", dom)
    assert told
    found = json.loads(told[1])
    assert len(found) == 6
    assert all(each["names"] > 20 for each in found)
    assert [each for each in found if each["cut"]] == []


def test_without_a_store_the_page_says_what_to_run(workplace: Workplace, tmp_path: Path) -> None:
    shutil.copytree(workplace.folder / "var" / "models", tmp_path / "models")
    found = as_json("report", "--models", "models", "--store", "gone", "--output", "report.html", cwd=tmp_path)
    assert found["looked_at"] is None
    assert "Not looked at: " in found["why_not"]
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    version = found["version"]
    places = "--store gone --models models"
    assert f"<code>nextcart evaluate --version {version} --protocol next_click {places}</code>" in html
    assert f"nextcart report --version {version} {places}" in html
    assert "next_event on val_split" in html


def test_sessions_that_were_learned_from_are_not_looked_at(workplace: Workplace, tmp_path: Path) -> None:
    where = ("--store", workplace.folder / "var" / "store", "--models", tmp_path / "models")
    nextcart("train", "--on", "all", "--only", "top_sellers", *where, cwd=tmp_path)
    done = nextcart("report", "--version", "candidate", "--output", "report.html", *where, cwd=tmp_path)
    assert "was trained on 'train', which holds events of 'val_split'" in done.stdout
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "This version has no ranker: " in html
    assert "nextcart ingest FILE --split test --store " in html
    assert f"--split test --protocol next_click {shlex.join(map(str, where))}" in html
    assert "Settings that differ from the defaults" in html


def test_a_report_of_nothing_is_refused_in_one_line(measured: Path, tmp_path: Path) -> None:
    for arguments, says in (
        (("--version", "nothing"), "no version 'nothing'"),
        (("--output", str(tmp_path)), "is a directory; name a file"),
        (("--names", "nowhere.csv"), "--names nowhere.csv: "),
    ):
        done = nextcart("report", *arguments, cwd=measured, code=2)
        assert says in done.stderr
        assert "Traceback" not in done.stderr


def test_items_are_shown_by_their_names(measured: Path, tmp_path: Path) -> None:
    examples = re.compile(r"<span>(\d+)</span>")
    nextcart("report", "--limit", "40", "--output", tmp_path / "ids.html", cwd=measured)
    shown = set(examples.findall((tmp_path / "ids.html").read_text(encoding="utf-8")))
    assert shown
    rows = "".join(f"{aid},Item {aid}\n" for aid in sorted(shown))
    (tmp_path / "items.csv").write_text(f"aid,name\n{rows}")
    page = tmp_path / "names.html"
    nextcart("report", "--limit", "40", "--names", tmp_path / "items.csv", "--output", page, cwd=measured)
    html = page.read_text(encoding="utf-8")
    assert not examples.search(html)
    assert all(f"<span>Item {aid} ({aid})</span>" in html for aid in shown)


def test_the_model_card_is_an_artifact_of_the_version(measured: Path) -> None:
    versions = measured / "var" / "models" / "versions"
    (manifest,) = (json.loads(file.read_text()) for file in versions.glob("*/manifest.json"))
    (artifact,) = (each for each in manifest["artifacts"] if each["path"] == "model_card.md")
    card = (versions / manifest["version"] / "model_card.md").read_bytes()
    assert artifact["kind"] == "text"
    assert artifact["sha256"] == hashlib.sha256(card).hexdigest()
    text = card.decode()
    assert f"`{manifest['data']['fingerprint']}`" in text
    assert f"sessions on {manifest['data']['items']:,} items" in text
    recall = manifest["evaluations"][0]["metrics"]["covisitation"]["next"]["recall"]
    assert f"| covisitation | {recall:.4f} (" in text


def test_figures_whose_sums_are_gone_are_shown_all_the_same(measured: Path) -> None:
    (sums,) = (measured / "var" / "models" / "versions").glob("*/evaluations/next_click-val_split.npy")
    sums.unlink()
    nextcart("report", "--output", "out/less.html", "--limit", "5", cwd=measured)
    html = (measured / "out" / "less.html").read_text(encoding="utf-8")
    assert "next_click-val_split.npy: cannot be read" in html
    assert "is ahead of" in html
