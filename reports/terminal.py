"""The table for the terminal."""

from collections.abc import Sequence
from dataclasses import replace

from rich import box
from rich.console import Console, Group
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from advbench.records import Row

from .grid import Grid, grid

_SHORTEST_LABEL = 10


def print_table(rows: Sequence[Row], console: Console) -> None:
    """Print the table with its caption and its notes, as wide as the console, and never a number cut short.

    Where the console is too narrow, cells are broken at their interval; where that is not enough, lines
    are longer than the console.
    """
    room = console.width
    wide, narrow = (grid(rows, breaks) for breaks in ((" ", "\n"), ("\n", "\n")))
    words = wide if _least_width(wide, console) <= room else narrow
    notes = Text("\n".join(words.notes), style="dim")
    console.print(Group(Text(words.caption), Text()))
    console.width = max(room, _least_width(words, console))  # rich would crop at the console's own width
    console.print(_table(words))
    console.width = room
    console.print(Group(Text(), notes))


def _table(words: Grid) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1), show_edge=False)
    for number, title in enumerate(words.header):
        if number < words.labels:
            longest = max(len(title), *(len(line[number]) for line in words.lines))
            table.add_column(title, overflow="fold", min_width=min(longest, _SHORTEST_LABEL))
        else:
            width = _width(words, number)
            table.add_column(title, justify="right", no_wrap=True, min_width=width, max_width=width)
    for line in words.lines:
        table.add_row(*map(Text, line))
    return table


def _width(words: Grid, column: int) -> int:
    cells = [words.header[column], *(line[column] for line in words.lines)]
    return max(len(part) for cell in cells for part in cell.split("\n"))


def _least_width(words: Grid, console: Console) -> int:
    """The width at which every number is whole; labels fold, which rich's own measure does not count on."""
    folded = [
        [cell[:_SHORTEST_LABEL] for cell in line[: words.labels]] + line[words.labels :]
        for line in words.lines
    ]
    table = _table(replace(words, lines=folded))
    return Measurement.get(console, console.options.update(width=10_000), table).minimum
