"""The table for papers: LaTeX that needs booktabs and nothing else."""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final, NamedTuple

from advbench.results.records import Rate, Row, Rung
from advbench.results.statistics import Interval

from .grid import MISSING, TITLES, Grid, Layout, draws_notes, layout, notes_of, of_all, verdicts_of
from .style import GAP, PLAIN, Style

_ESCAPES: Final[Mapping[str, str]] = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\char34{}",
    "`": r"\textasciigrave{}",
    "'": r"\char39{}",
    "–": "\\textendash{}",
    "—": "\\textemdash{}",
    "±": r"$\pm$",
    "×": r"$\times$",
    "≤": r"$\leq$",
    "≥": r"$\geq$",
    "∞": r"$\infty$",
    "ε": r"$\varepsilon$",
    "σ": r"$\sigma$",
    "µ": r"$\mu$",
    "μ": r"$\mu$",
}
_ACCENTED: Final = frozenset("\u0300\u0301\u0302\u0303\u0308\u030a\u0327\u030c")
"""Accents that every LaTeX sets over a Latin letter."""

_LIGATURES: Final = re.compile("([-,])(?=[-,])")
"""What would become one dash or a quotation mark."""

BOLD, BOLD_ITALIC = r"\textbf{%s}", r"\textbf{\textit{%s}}"


def latex_escaped(text: str) -> str:
    """Text that LaTeX prints as it is; characters that it may lack are spelt U+XXXX."""
    escaped = _LIGATURES.sub(r"\1{}", "".join(map(_escaped, " ".join(text.split()))))
    # At the beginning of a row a bracket would be the length that the line break before it may take.
    return f"{{[}}{escaped[1:]}" if escaped.startswith("[") else escaped


def _escaped(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    if character.isascii():
        return character if character.isprintable() else ""
    letter = unicodedata.normalize("NFD", character)
    if len(letter) == 2 and letter[0].isascii() and letter[1] in _ACCENTED and ord(character) < 0x180:
        return character
    return f"U+{ord(character):04X}"


def latex(rows: Sequence[Row], style: Style = PLAIN) -> str:
    """A `table` of booktabs: intervals as subscripts, the highest and the lowest of a column in bold.

    Args:
        rows: the table, at least one row, in their order.
        style: which columns, how numbers look, caption and label.
    """
    plan = layout(rows, style)
    marks = {rung: _marks(rows, rung) for rung in plan.rungs}
    lines = [
        _line(
            [
                *(latex_escaped(texts[number]) for texts in plan.names.values()),
                *(_rate(row.rates.get(rung), marks[rung].get(number), style) for rung in plan.rungs),
                *([_gap(row, style, plan)] if plan.gap else []),
            ]
        )
        for number, row in enumerate(rows)
    ]
    notes = [latex_escaped(note) for note in verdicts_of([replace(row, advice=()) for row in rows])]
    notes += [latex_escaped(f"{of_all(style)}; subscripts: 95 % Wilson interval.")] * bool(plan.rungs)
    notes += [latex_escaped(note) for note in draws_notes(rows, plan, style)]
    if any(marks.values()):
        notes.append(r"\textbf{Bold}: the highest of a column; \textbf{\textit{bold italic}}: the lowest.")
    notes += [latex_escaped(note) for note in notes_of(rows, plan, style)]
    head = _Head(style.caption or _sentence(plan.caption), style.label, _alignment(plan), _titles(plan))
    return _table(head, lines, notes)


def latex_grid(words: Grid, label: str) -> str:
    """Words as a `table` of booktabs."""
    alignment = "l" * words.labels + "r" * (len(words.header) - words.labels)
    head = _Head(_sentence(words.caption), label, alignment, [latex_escaped(title) for title in words.header])
    lines = [_line([latex_escaped(cell) for cell in cells]) for cells in words.lines]
    return _table(head, lines, [latex_escaped(note) for note in words.notes])


class _Head(NamedTuple):
    """What stands above the lines of a table."""

    caption: str
    label: str
    alignment: str
    titles: Sequence[str]


def _table(head: _Head, lines: Sequence[str], notes: Sequence[str]) -> str:
    return "\n".join(
        [
            "% \\usepackage{booktabs}",
            r"\begin{table}",
            r"  \centering",
            rf"  \caption{{{latex_escaped(head.caption)}}}",
            rf"  \label{{{_label(head.label)}}}",
            rf"  \begin{{tabular}}{{@{{}}{head.alignment}@{{}}}}",
            r"    \toprule",
            f"    {_line(head.titles)}",
            r"    \midrule",
            *(f"    {line}" for line in lines),
            r"    \bottomrule",
            r"  \end{tabular}",
            r"  \par\medskip",
            r"  \begin{minipage}{\linewidth}\footnotesize",
            *(f"    {note}\\par" for note in notes),
            r"  \end{minipage}",
            r"\end{table}",
            "",
        ]
    )


def latex_comment(origin: Mapping[str, str]) -> str:
    """Lines that LaTeX skips; what they hold cannot end them."""
    return "".join(f"% {name}: {' '.join(text.split())}\n" for name, text in origin.items())


def _line(cells: Sequence[str]) -> str:
    return " & ".join(cells) + r" \\"


def _alignment(plan: Layout) -> str:
    """An accuracy is two columns, so that points stand below one another whatever the intervals."""
    return "l" * len(plan.names) + "r@{}l" * len(plan.rungs) + _gap_columns(plan)


def _gap_columns(plan: Layout) -> str:
    return "" if not plan.gap else "r@{}l" if plan.gap_interval else "r"


def _titles(plan: Layout) -> list[str]:
    rungs = [rf"\multicolumn{{2}}{{c}}{{{latex_escaped(TITLES[rung])}}}" for rung in plan.rungs]
    gap = rf"\multicolumn{{2}}{{c}}{{{GAP}}}" if plan.gap_interval else GAP
    return [*map(latex_escaped, plan.names), *rungs, *([gap] if plan.gap else [])]


def _marks(rows: Sequence[Row], rung: Rung) -> dict[int, str]:
    """How to set the highest and the lowest accuracy among rows of the same images and threat."""
    groups: dict[tuple[str, ...], dict[int, float]] = {}
    for number, row in enumerate(rows):
        if rung in row.rates:
            key = (row.dataset, row.norm, row.eps)
            groups.setdefault(key, {})[number] = row.rates[rung].accuracy
    marks: dict[int, str] = {}
    for accuracies in groups.values():
        high, low = max(accuracies.values()), min(accuracies.values())
        if high > low:
            marks |= {number: BOLD for number, value in accuracies.items() if value == high}
            marks |= {number: BOLD_ITALIC for number, value in accuracies.items() if value == low}
    return marks


def _rate(rate: Rate | None, mark: str | None, style: Style) -> str:
    """An accuracy with its interval; counts stand in the other formats, where there is room."""
    if rate is None:
        return rf"\multicolumn{{2}}{{c}}{{{_ESCAPES[MISSING]}}}"
    number = style.number(rate.accuracy)
    return f"{mark % number if mark else number} & {_subscript(rate.interval, style)}"


def _gap(row: Row, style: Style, plan: Layout) -> str:
    missing, interval = _ESCAPES[MISSING], row.masking_gap_interval
    if not plan.gap_interval:
        return missing if row.masking_gap is None else f"${style.number(row.masking_gap)}$"
    if row.masking_gap is None:
        return rf"\multicolumn{{2}}{{c}}{{{missing}}}"
    beside = "" if interval is None else _subscript(interval, style)
    return f"${style.number(row.masking_gap)}$ & {beside}"


def _subscript(interval: Interval, style: Style) -> str:
    low, high = map(style.number, interval)
    return f"$_{{[{low},\\,{high}]}}$"


def _sentence(text: str) -> str:
    return f"{text}." if text else "Accuracy under attack."


def _label(text: str) -> str:
    """A label's name, from which TeX's own characters are left out."""
    return "".join(
        character
        for character in text
        if character.isascii() and (character.isalnum() or character in ":.-/_+ ")
    )
