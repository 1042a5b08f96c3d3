"""The frame of an HTML page that needs nothing else: charts, figures and the code that draws them are inside."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any, Literal

import altair as alt
import vl_convert

from nextcart.errors import InputError, RunFailed

Spec = dict[str, Any]
"""A Vega-Lite specification, ready for JSON."""
Width = Literal["third", "half", "two-thirds", "full"]
Rows = Sequence[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Card:
    """One chart with its figures and what to look for in it."""

    title: str
    figures: Rows
    hint: str
    spec: Spec
    width: Width = "half"


def page(title: str, subtitle: str, tiles: Rows, body: str, specs: Iterable[Spec], footer: str) -> str:
    """The whole page.

    Args:
        title: plain text.
        subtitle: plain text.
        tiles: the figures above all others.
        body: HTML, with a place for each chart as `chart_place` gives it.
        specs: of the charts, in the order of their places.
        footer: HTML.
    """
    template = Template((files("nextcart.events") / "page_template.html").read_text(encoding="utf-8"))
    named = {f"chart-{number}": spec for number, spec in enumerate(specs)}
    return template.substitute(
        title=escape(title),
        subtitle=escape(subtitle),
        tiles="".join(map(_tile, tiles)),
        body=body,
        footer=footer,
        # Inside a script element only "<" could end it.
        specs=json.dumps(named, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c"),
        library=_library(),
    )


def card_html(card: Card, number: int) -> str:
    """A card with the place of the chart of that number."""
    return (
        f'<section class="card {card.width}"><h2>{escape(card.title)}</h2>'
        f'<dl class="figures">{definitions(card.figures)}</dl><div class="chart" id="chart-{number}"></div>'
        f'<p class="hint">{escape(card.hint)}</p></section>'
    )


def _tile(tile: tuple[str, str]) -> str:
    """A figure, or words, which are smaller since they are longer."""
    name, value = tile
    kind = "" if any(each.isdigit() for each in value) else ' class="words"'
    return f"<div><dt>{escape(name)}</dt><dd{kind}>{escape(value)}</dd></div>"


def definitions(rows: Rows) -> str:
    """Names and values as the inside of a ``dl`` element."""
    return "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>" for name, value in rows)


def drawable(chart: alt.Chart | alt.LayerChart | alt.FacetChart, description: str) -> Spec:
    """The chart as JSON, as wide as the page lets it be, without Altair's default look."""
    spec: Spec = chart.properties(width="container", description=description).to_dict()
    spec.pop("config", None)
    return {**spec, "autosize": {"type": "fit-x", "contains": "padding"}}


def write_whole(html: str, path: Path) -> None:
    """Write a page that was asked for by ``--output``, whole or not at all.

    Raises:
        InputError: `path` is a directory.
        RunFailed: the file cannot be written.
    """
    refuse_folder(path)
    partial = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            partial.write_text(html, encoding="utf-8")
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise RunFailed(
            f"--output {path}: cannot be written ({error.strerror}); free some space or name another file"
        ) from error


def refuse_folder(path: Path) -> None:
    """A page is a file.

    Raises:
        InputError: `path` is a directory.
    """
    if path.is_dir():
        raise InputError(f"--output {path}: is a directory; name a file")


@cache
def _library() -> str:
    """Vega-Lite as one script that sets `vegaEmbed`, in the version that Altair writes for; takes a second to make."""
    version = ".".join(alt.SCHEMA_VERSION.removeprefix("v").split(".")[:2])
    return str(vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", vl_version=version))
