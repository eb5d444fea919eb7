"""Records to text, a format at a time."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal, assert_never

from advbench.errors import SpecError
from advbench.results.records import Row

from .frame import flat_rows, table_frame
from .grid import Grid, grid
from .latex import latex, latex_comment
from .style import PLAIN, Style, arranged

Format = Literal["csv", "markdown", "latex", "json"]

FILE_NAMES: dict[Format, str] = {
    "csv": "table.csv",
    "markdown": "table.md",
    "latex": "table.tex",
    "json": "table.json",
}

HTML: Final = "html"
"""The page: more than a table, and so no format of one."""

Origin = Mapping[str, str] | Sequence[Mapping[str, str]] | None


def formats_of(text: str, known: Sequence[str]) -> list[str]:
    """The formats of `--format a,b` or `--figures a,b`.

    Raises:
        SpecError: an unknown one.
    """
    formats = [form.strip() for form in text.split(",") if form.strip()]
    unknown = [form for form in formats if form not in known]
    if unknown:
        raise SpecError(f"there is no format {unknown[0]!r}; known: {', '.join(known)}.")
    return formats


def render(rows: Sequence[Row], form: Format, origin: Origin = None, style: Style = PLAIN) -> str:
    """The table as text; the same rows give the same bytes.

    Args:
        rows: the table, at least one row.
        form: `csv` and `json` hold every column, fractions in full precision; `markdown` and `latex` are
            for reading.
        origin: where the rows come from, a few words each: more columns in `csv` and `json`, a comment
            that readers do not see in `markdown` and `latex`. One for all, or one for each row.
        style: the order of the rows, and how the formats for reading look.
    """
    origins = [origin or {}] * len(rows) if origin is None or isinstance(origin, Mapping) else origin
    order = arranged(rows, style)
    rows, origins = [rows[place] for place in order], [origins[place] for place in order]
    names = list(dict.fromkeys(name for origin in origins for name in origin))
    match form:
        case "csv":
            columns = {name: [origin.get(name, "") for origin in origins] for name in names}
            return str(table_frame(rows).assign(**columns).to_csv(index=False, lineterminator="\n"))
        case "markdown":
            return markdown(rows, style) + markdown_comment(_origin_entries(origins, names))
        case "latex":
            return latex_comment(_origin_entries(origins, names)) + latex(rows, style)
        case "json":
            flat = (
                {**row, **{name: origin.get(name, "") for name in names}}
                for row, origin in zip(flat_rows(rows), origins, strict=True)
            )
            items = ",\n".join(map(_json_item, flat))
            return f"[\n{items}\n]\n" if items else "[]\n"
        case _:
            assert_never(form)


def _json_item(row: Mapping[str, Any]) -> str:
    """An item of a list, as `json.dumps(..., indent=2)` writes it; many rows are written one by one."""
    return "  " + json.dumps(row, indent=2, ensure_ascii=False).replace("\n", "\n  ")


def _origin_entries(origins: Sequence[Mapping[str, str]], names: Sequence[str]) -> dict[str, str]:
    """Where rows come from, each thing once."""
    entries = {name: dict.fromkeys(filter(None, (origin.get(name) for origin in origins))) for name in names}
    return {name: " | ".join(texts) for name, texts in entries.items()}


def markdown(rows: Sequence[Row], style: Style = PLAIN) -> str:
    """The table for GitHub and papers written in Markdown, with its caption and its notes."""
    return markdown_grid(grid(rows, style=style))


def markdown_grid(words: Grid) -> str:
    """Words as a table of Markdown."""
    align = [":--"] * words.labels + ["--:"] * (len(words.header) - words.labels)
    lines = [words.header, align, *words.lines]
    table = ["| " + " | ".join(map(markdown_escaped, cells)) + " |" for cells in lines]
    notes = [f"{markdown_escaped(note)}  " for note in words.notes]
    return "\n".join([markdown_escaped(words.caption), "", *table, "", *notes]) + "\n"


def markdown_comment(origin: Mapping[str, str]) -> str:
    """A comment of Markdown; what it holds cannot end it."""
    if not origin:
        return ""
    lines = [f"{name}: {' '.join(text.split())}".replace(">", "&gt;") for name, text in origin.items()]
    return "\n".join(["\n<!--", *lines, "-->"]) + "\n"


def markdown_escaped(text: str) -> str:
    """Text that Markdown shows as it is: no cell ends early, no tag or emphasis begins."""
    text = " ".join(text.split())
    for character in "\\|<>*_`":
        text = text.replace(character, {"<": "&lt;", ">": "&gt;"}.get(character, f"\\{character}"))
    return text
