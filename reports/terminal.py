"""The table for the terminal."""

from collections.abc import Sequence

from rich import box
from rich.console import Console, Group
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from advbench.results.records import Row

from .grid import Grid, grid
from .style import GAP, PLAIN, Style, arranged

_SHORTEST_LABEL = 10


def print_table(rows: Sequence[Row], console: Console, style: Style = PLAIN) -> None:
    """Print the table with its caption and its notes, as wide as the console, and never a number cut short.

    Where the console is too narrow, cells are broken at their interval, and columns move together; where
    that is not enough, intervals are left out; and where that is not, lines are longer than the console. The
    interval of the masking gap is told where nothing has to give way to it, or where the gap is asked for.
    """
    rows = [rows[place] for place in arranged(rows, style)]
    asked, broken = GAP in style.columns, ("\n", "\n")
    whole = grid(rows, (" ", "\n"), style)
    fits = sum(_full_widths(whole)) + _frame(whole, console, 1) <= console.width
    wide, narrow = (grid(rows, breaks, style, gap_interval=asked or fits) for breaks in ((" ", "\n"), broken))
    print_grid([wide, narrow, grid(rows, broken, style, intervals=False)], console)


def print_grid(versions: Sequence[Grid], console: Console) -> None:
    """Print a table of words.

    Args:
        versions: the same table, each narrower than the one before; the first that fits is printed.
        console: where it is printed.
    """
    first, *others = versions
    room = console.width
    for words, gap in [(first, 1), *((words, gap) for words in others for gap in (1, 0))]:
        frame = _frame(words, console, gap)
        if sum(_least_widths(words)) + frame <= room:
            break
    widths = _widths(words, room - frame)
    notes = Text("\n".join(words.notes), style="dim")
    console.print(Group(Text(words.caption), Text()))
    console.width = max(room, sum(widths) + frame)  # rich would crop at the console's own width
    console.print(_table(words, widths, gap))
    console.width = room
    console.print(Group(Text(), notes))


def _table(words: Grid, widths: Sequence[int], gap: int) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, gap), show_edge=False)
    for number, (title, width) in enumerate(zip(words.header, widths, strict=True)):
        if number < words.labels:
            table.add_column(title, overflow="fold", min_width=width, max_width=width)
        else:
            table.add_column(title, justify="right", no_wrap=True, min_width=width, max_width=width)
    for line in words.lines:
        table.add_row(*map(Text, line))
    return table


def _widths(words: Grid, room: int) -> list[int]:
    """The width of each column: numbers are whole, and the longest labels fold until all fits."""
    widths, least = _full_widths(words), _least_widths(words)
    while sum(widths) > room:
        foldable = [number for number, width in enumerate(widths) if width > least[number]]
        if not foldable:
            break
        widths[max(foldable, key=lambda number: widths[number])] -= 1
    return widths


def _full_widths(words: Grid) -> list[int]:
    columns = zip(words.header, *words.lines, strict=True)
    return [max(len(part) for cell in column for part in cell.split("\n")) for column in columns]


def _least_widths(words: Grid) -> list[int]:
    """The widths at which every number is whole; labels fold."""
    return [
        min(width, _SHORTEST_LABEL) if number < words.labels else width
        for number, width in enumerate(_full_widths(words))
    ]


def _frame(words: Grid, console: Console, gap: int) -> int:
    """How wide a table is beside its cells, which differs among versions of rich."""
    widths = _full_widths(words)
    options = console.options.update(width=10_000)
    return Measurement.get(console, options, _table(words, widths, gap)).maximum - sum(widths)
