"""A table that stays readable in a narrow terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence

from rich.console import Console, ConsoleOptions, RenderResult
from rich.markup import escape
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text


class FittingTable:
    """A table whose first ``left`` columns are text and whose others are numbers.

    Where it is wider than the terminal, numbers are not broken over lines: they go on in further parts below, each with
    the text columns before it. Only where one number is too wide beside these, cells are folded.
    """

    def __init__(self, title: str | None, columns: Sequence[str], rows: Iterable[Sequence[str]], left: int) -> None:
        self.title = title
        self.columns = list(columns)
        self.rows = [list(row) for row in rows]
        self.left = left

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        title = self.title
        for numbers in self._parts(console, options):
            yield self._part(title, numbers)
            title = None

    def _parts(self, console: Console, options: ConsoleOptions) -> list[list[int]]:
        """The number columns of each part: as many as there is room for."""
        # What is measured is never said to be wider than the options allow.
        unbounded = options.update(max_width=sys.maxsize)

        def fits(numbers: Sequence[int]) -> bool:
            width = Measurement.get(console, unbounded, self._part(None, numbers)).maximum
            return width <= options.max_width

        numbers = range(self.left, len(self.columns))
        if not all(fits([number]) for number in numbers):
            return [[*numbers]]
        parts: list[list[int]] = [[]]
        for number in numbers:
            if fits([*parts[-1], number]):
                parts[-1].append(number)
            else:
                parts.append([number])
        return parts

    def _part(self, title: str | None, numbers: Sequence[int]) -> Table:
        made = Table(title=escape(title) if title else None, title_justify="left", header_style="bold")
        shown = [*range(self.left), *numbers]
        for column in shown:
            head, is_text = escape(self.columns[column]), column < self.left
            made.add_column(head, justify="left" if is_text else "right", overflow="fold")
        for row in self.rows:
            # As text: a file or an item may be named like rich's markup.
            made.add_row(*(Text(row[column]) for column in shown))
        return made
