"""The table for the terminal."""

from collections.abc import Sequence

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from advbench.records import Row

from .grid import grid


def terminal_table(rows: Sequence[Row]) -> Group:
    """The table as something that rich prints within 80 columns, with its caption and its notes."""
    words = grid(rows, separator="\n")
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1), show_edge=False)
    for number, title in enumerate(words.header):
        label = number < words.labels
        table.add_column(title, justify="left" if label else "right", overflow="fold", no_wrap=not label)
    for line in words.lines:
        table.add_row(*map(Text, line))
    notes = Text("\n".join(words.notes), style="dim")
    return Group(Text(words.caption), Text(), table, Text(), notes)
