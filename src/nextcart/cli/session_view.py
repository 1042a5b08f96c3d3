"""How an unfolded session is shown on a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from nextcart.cli.output import moment, out
from nextcart.cli.tables import Names
from nextcart.pipeline.unfold import Step

RECENT_EVENTS = 5


def print_steps(steps: Sequence[Step], names: Names, limit: int) -> None:
    """Each step: the recent history and the next event, then the list with target and seen items marked."""
    for step in steps:
        out.print(_history(step, names))
        out.print(_list(step, names))
        where = f"rank {step.rank}" if step.rank else f"not among the {limit}"
        reason = f"; top sellers only: {step.fallback}" if step.fallback else ""
        out.print(f"the next event's item is {where}{reason}\n", style="green" if step.rank else "yellow")
    hits = sum(step.rank is not None for step in steps)
    out.print(f"{hits} of {len(steps)} next events were among the {limit} recommended")


def _history(step: Step, names: Names) -> Text:
    text = Text()
    hidden = len(step.history) - RECENT_EVENTS
    if hidden > 0:
        text.append(f"  … {hidden} earlier\n", style="dim")
    for event in step.history[-RECENT_EVENTS:]:
        text.append(f"  {moment(event.ts)}  {event.type:<6}  {names.of(event.aid)}\n")
    text.append(f"→ {moment(step.target.ts)}  {step.target.type:<6}  {names.of(step.target.aid)}", style="bold")
    return text


def _list(step: Step, names: Names) -> Table:
    table = Table(header_style="bold")
    for column in ("rank", "item", "score", "brought by", ""):
        table.add_column(column, justify="right" if column in ("rank", "score") else "left", overflow="fold")
    for place, item in enumerate(step.shown, 1):
        marks = [word for word, holds in (("← came next", item.target), ("seen", item.seen)) if holds]
        table.add_row(
            str(place),
            Text(names.of(item.aid)),
            f"{item.score:.4f}",
            ", ".join(item.sources),
            ", ".join(marks),
            style="bold green" if item.target else "dim" if item.seen else "",
        )
    return table
