"""The table as HTML by itself, for notebooks."""

from collections.abc import Sequence
from html import escape

from advbench.results.records import Row

from .grid import grid
from .style import PLAIN, Style


def html_table(rows: Sequence[Row], style: Style = PLAIN) -> str:
    """The table with its caption and its notes; no script, and no style but the notebook's own.

    Args:
        rows: the table, at least one row.
        style: how it looks.
    """
    words = grid(rows, style=style)

    def cells(texts: Sequence[str], tag: str) -> str:
        sides = ["left"] * words.labels + ["right"] * (len(texts) - words.labels)
        return "".join(
            f'<{tag} style="text-align: {side}">{escape(text)}</{tag}>'
            for text, side in zip(texts, sides, strict=True)
        )

    lines = "".join(f"<tr>{cells(line, 'td')}</tr>" for line in words.lines)
    notes = "<br>".join(map(escape, words.notes))
    head = f"<thead><tr>{cells(words.header, 'th')}</tr></thead>"
    return (
        f"<table><caption>{escape(words.caption)}</caption>{head}<tbody>{lines}</tbody></table><p>{notes}</p>"
    )
