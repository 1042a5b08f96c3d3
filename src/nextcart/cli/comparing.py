"""The command that holds versions, or models, against each other: compare."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, cast

import typer

from nextcart.cli.options import MODELS, ConfigOption, JsonOption, ModelsOption, one_of
from nextcart.cli.output import counted, metric, out, print_json, table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nextcart.evaluation.comparison import Difference
    from nextcart.evaluation.report import Protocol
    from nextcart.pipeline.comparing import Comparison


def compare(
    first: Annotated[str, typer.Argument(help="A version, the start of one, an alias, or 'latest'.")],
    second: Annotated[
        str | None, typer.Argument(help="Another; left out, --model names a model of the first to compare.")
    ] = None,
    protocol: Annotated[
        str | None,
        typer.Option("--protocol", help="One protocol; default: all that 'nextcart evaluate' measured both by."),
    ] = None,
    split: Annotated[
        str | None, typer.Option("--split", help="test or val_split; default: all that both were measured on.")
    ] = None,
    model: Annotated[str | None, typer.Option("--model", help="One model of the first; default: all.")] = None,
    against: Annotated[
        str | None, typer.Option("--against", help="Model of the second; default: the same, or in one version each.")
    ] = None,
    models: ModelsOption = MODELS,
    config: ConfigOption = None,
    json: JsonOption = False,
) -> None:
    """Say by how much one version or model is better than another, and whether that is beyond noise.

    Of two versions, what answers by default in each comes first, then each model that both have. Both must have been
    evaluated on the same sessions. The interval is of the paired difference over resampled sessions; beyond noise means
    that it leaves 0 out, which one in twenty does by chance, and that there are at least 100 sessions.

    Example: nextcart compare production candidate --protocol next_click
    """
    from nextcart.config import load_settings
    from nextcart.evaluation.report import PROTOCOLS
    from nextcart.pipeline.comparing import compare_versions

    chosen = None if protocol is None else cast("Protocol", one_of(protocol, PROTOCOLS, "--protocol"))
    found = compare_versions(
        models,
        first,
        second,
        load_settings(config).evaluation,
        protocol=chosen,
        split=split,
        model=model,
        against=against,
    )
    if json:
        from msgspec import to_builtins

        print_json({"comparisons": [to_builtins(each) for each in found]})
        return
    for comparison in found:
        heads = ("model", "mode", "figure", "first", "second", "difference", "95 %", "beyond noise")
        out.print(table(_title(comparison), heads, map(_row, comparison.differences), left=3))
        for line in _verdict(comparison):
            out.print(line, markup=False, soft_wrap=True)


def _title(comparison: Comparison) -> str:
    measured = f"{comparison.protocol}, {comparison.split}, {counted(comparison.sessions, 'session')}"
    if comparison.first == comparison.second:
        return f"{measured}: models of {comparison.first}"
    return f"{measured}: first {comparison.first}, second {comparison.second}"


def _row(each: Difference) -> tuple[str, ...]:
    span = "–" if each.interval is None else f"{each.interval[0]:+.4f} to {each.interval[1]:+.4f}"
    difference = "–" if each.difference is None else f"{each.difference:+.4f}"
    better = f"{each.better} better" if each.better else "too few sessions" if each.too_few else "no"
    return (_models(each), each.mode, each.figure, metric(each.first), metric(each.second), difference, span, better)


def _models(each: Difference) -> str:
    if each.first_model == each.second_model:
        return each.first_model
    return f"{each.first_model} / {each.second_model}"


def _verdict(comparison: Comparison) -> Iterator[str]:
    """What is beyond noise, what cannot be judged, and what was not compared; in words."""
    from nextcart.evaluation.bootstrap import MIN_SESSIONS_TO_JUDGE

    won: dict[str, list[str]] = {}
    for each in comparison.differences:
        if each.better:
            won.setdefault(f"{_models(each)}, {each.mode}: {each.better} better in", []).append(each.figure)
    yield "beyond noise:" + ("" if won else " nothing")
    for who, what in won.items():
        yield f"  {who} {', '.join(what)}"
    few = dict.fromkeys(f"{each.figure} ({each.sessions})" for each in comparison.differences if each.too_few)
    if few:
        yield f"too few sessions to judge (at least {MIN_SESSIONS_TO_JUDGE}): {', '.join(few)}"
    if comparison.defaults:
        ours, theirs = comparison.defaults
        where = "both" if ours == theirs else f"the first, {theirs} in the second"
        yield f"where no model is named, {ours} answers in {where}"
    for side, names in (("first", comparison.only_first), ("second", comparison.only_second)):
        if names:
            yield f"only the {side} has {', '.join(names)}; --model and --against compare it with a model of the other"
