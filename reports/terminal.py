"""The table for the terminal."""

import re
from collections.abc import Sequence
from typing import Final

from rich import box
from rich.console import Console, Group
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from advbench.results.records import Row

from .grid import Grid, grid
from .style import GAP, PLAIN, Style, arranged

_SHORTEST_LABEL = 10

_TABULAR: Final = 80
"""Columns from which on a table that goes to a file is drawn as one even where its lines are longer."""

_PIECES: Final = re.compile(r"(?<!= )(?<=[ :,;+@/])(?=[^ :,;+@/=])")
"""Where a name may be broken: behind the signs of its grammar, but not beside an equals sign: `n = 20`."""

_PARTS: Final = re.compile(r"(?<=\w-)(?=\w)")
"""Where a piece that is too long for its column may be broken: behind its hyphens."""


def print_table(rows: Sequence[Row], console: Console, style: Style = PLAIN) -> None:
    """Print the table with its caption and its notes, as wide as the console, and never a number cut short.

    Where the console is too narrow, cells are broken at their interval, and columns move together; where
    that is not enough, intervals are left out; and where that is not, each row becomes a block. To a file of
    80 columns and more, lines go that are longer instead. The interval of the masking gap is told where
    nothing has to give way to it, or where the gap is asked for.
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
        versions: the same table, each narrower than the one before; the first that fits is printed. Where
            none fits a terminal, or less than 80 columns, the first or the last is printed a block a row.
        console: where it is printed.
    """
    first, *others = versions
    room = console.width
    for words, gap in [(first, 1), *((words, gap) for words in others for gap in (1, 0))]:
        frame = _frame(words, console, gap)
        if sum(_least_widths(words)) + frame <= room:
            break
    else:
        if room < _TABULAR or console.is_terminal:
            blocks = [_blocks(words, room) for words in (first, versions[-1])]
            fits = max(map(len, blocks[0])) <= room
            _print_blocks(*((first, blocks[0]) if fits else (versions[-1], blocks[1])), console)
            return
    widths = _widths(words, room - frame)
    notes = Text("\n".join(words.notes), style="dim")
    console.print(Group(Text(in_phrases(words.caption, room)), Text()))
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
        labels = [folded(cell, width) for cell, width in zip(line[: words.labels], widths, strict=False)]
        table.add_row(*map(Text, [*labels, *line[words.labels :]]))
    return table


def _blocks(words: Grid, room: int) -> list[str]:
    """The lines of a block a row: its names, and below them a line a column; an empty line before each."""
    titles = [title.replace("-\n", "-").replace("\n", " ") for title in words.header]
    names = [place for place in range(words.labels) if titles[place] != "substitute"] or [0]
    others = [place for place in range(len(titles)) if place not in names]
    margin = max((len(titles[place]) for place in others), default=0) + 4
    lines: list[str] = []
    for cells in words.lines:
        lines += ["", *folded(" / ".join(cells[place] for place in names), room).splitlines()]
        lines += [f"  {titles[place]}".ljust(margin) + cells[place].replace("\n", " ") for place in others]
    return lines


def _print_blocks(words: Grid, lines: Sequence[str], console: Console) -> None:
    notes = Text("\n".join(words.notes), style="dim")
    console.print(
        Group(Text(in_phrases(words.caption, console.width)), Text("\n".join(lines)), Text(), notes)
    )


def in_phrases(caption: str, room: int) -> str:
    """A caption `a: b; c: d` on lines of at most `room` characters, broken behind semicolons if possible."""
    return _on_lines(re.split(r"(?<=;) ", caption), room, " ")


def folded(label: str, width: int) -> str:
    """A name on lines of at most `width` characters, broken behind the signs of its grammar where it can be.

    A piece that is longer than that is broken behind its hyphens; what is still longer, the table breaks.
    """
    return "\n".join(_on_lines(_pieces(line, width), width) for line in label.split("\n"))


def _pieces(line: str, width: int) -> list[str]:
    """What of a name stays together on lines of at most `width` characters."""
    pieces = _PIECES.split(line)
    return [
        part for piece in pieces for part in (_PARTS.split(piece) if len(piece.rstrip()) > width else [piece])
    ]


def _on_lines(pieces: Sequence[str], room: int, between: str = "") -> str:
    lines = [""]
    for piece in pieces:
        longer = f"{lines[-1]}{between if lines[-1] else ''}{piece}"
        if lines[-1] and len(longer.rstrip()) > room:
            lines.append(piece)
        else:
            lines[-1] = longer
    return "\n".join(line.rstrip() for line in lines)


def _widths(words: Grid, room: int) -> list[int]:
    """The width of each column: numbers are whole, and the longest labels fold until all fits."""
    widths = _full_widths(words)
    for least in (_whole_pieces(words), _least_widths(words)):
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


def _whole_pieces(words: Grid) -> list[int]:
    """The widths at which every number is whole, and every piece of a label."""
    columns = zip(words.header, *words.lines, strict=True)
    longest = [
        max(len(piece.rstrip()) for cell in column for piece in _PIECES.split(cell)) for column in columns
    ]
    return [max(pair) for pair in zip(longest, _least_widths(words), strict=True)]


def _frame(words: Grid, console: Console, gap: int) -> int:
    """How wide a table is beside its cells, which differs among versions of rich."""
    widths = _full_widths(words)
    options = console.options.update(width=10_000)
    return Measurement.get(console, options, _table(words, widths, gap)).maximum - sum(widths)
