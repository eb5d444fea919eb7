"""What training has come to: the same measurements of several models, side by side."""

import csv
import html
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, Literal, assert_never

import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from advbench.results.trained import Measured, Paired

from .formats import markdown_comment, markdown_escaped
from .grid import MISSING

NOTE = (
    "APART trains for accuracy on clean images, against noise in BatchNorm's statistics. It is no defense: "
    "what it does to corrupted and attacked images is measured here, not promised."
)
TrainingFormat = Literal["csv", "markdown", "json"]

TRAINING_FILES: Final[Mapping[TrainingFormat, str]] = {
    "csv": "table.csv",
    "markdown": "table.md",
    "json": "table.json",
}
"""What the tables of a training are called in its folder."""

COLUMNS = ("model", "measure", "setting", "n", "passes", "count", "accuracy", "low", "high")

_TITLES = {"before": "before", "plain": "plain", "apart": "APART"}


def training_lines(rows: Sequence[Measured]) -> list[list[str]]:
    """The table as words: a header, then a line a measurement, with every model's accuracy in per cent.

    The severities of a corruption are one line, their mean; files have each of them.

    Args:
        rows: of all models; what one of them lacks is a dash.
    """
    models = list(dict.fromkeys(row.model for row in rows))
    cells: dict[str, dict[str, str]] = {}
    for model in models:
        model_rows = [row for row in rows if row.model == model]
        for title, text in _cells(model_rows):
            cells.setdefault(title, {})[model] = text
    return [
        ["accuracy", *(_TITLES.get(model, model) for model in models)],
        *([title, *(texts.get(model, MISSING) for model in models)] for title, texts in cells.items()),
    ]


def paired_lines(pairs: Sequence[Paired]) -> list[str]:
    """The comparisons in pairs, a sentence each."""
    return [
        f"{_TITLES.get(pair.one, pair.one)} minus {_TITLES.get(pair.other, pair.other)}, on the same clean "
        f"images: {100 * pair.difference:+.1f} points "
        f"[{100 * pair.interval.low:+.1f}, {100 * pair.interval.high:+.1f}]; "
        f"{pair.only_one} right by {_TITLES.get(pair.one, pair.one)} alone, {pair.only_other} by "
        f"{_TITLES.get(pair.other, pair.other)} alone, {pair.both} by both."
        for pair in pairs
    ]


def print_training(caption: str, rows: Sequence[Measured], pairs: Sequence[Paired], console: Console) -> None:
    """Print the table, the comparisons in pairs, and what is to be thought of them."""
    header, *lines = training_lines(rows)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, padding=(0, 1), show_edge=False)
    for number, title in enumerate(header):
        table.add_column(title, justify="right" if number else "left", no_wrap=number > 0)
    for line in lines:
        table.add_row(*map(Text, line))
    console.print(Text(caption))
    console.print()
    console.print(table)
    console.print()
    for sentence in (*_notes(rows), *paired_lines(pairs), NOTE):
        console.print(Text(sentence, style="dim"))


def render_training(
    caption: str,
    rows: Sequence[Measured],
    pairs: Sequence[Paired],
    form: TrainingFormat,
    origin: Mapping[str, str],
) -> str:
    """The table as text; `csv` and `json` hold fractions in full precision, `markdown` is for reading.

    Args:
        caption: what holds for every row.
        rows: the measurements of all models.
        pairs: the comparisons on the same images.
        form: of the text.
        origin: where the weights come from, a few words each.
    """
    match form:
        case "csv":
            return training_csv(rows, origin)
        case "json":
            return training_json(rows, pairs, origin)
        case "markdown":
            return training_markdown(caption, rows, pairs, origin)
        case _:
            assert_never(form)


def training_frame(rows: Sequence[Measured]) -> pd.DataFrame:
    """One line a model and measurement, with the columns of the CSV."""
    return pd.DataFrame([_fields(row) for row in rows], columns=list(COLUMNS))


def training_html(caption: str, rows: Sequence[Measured], pairs: Sequence[Paired]) -> str:
    """The table for a notebook."""
    header, *lines = training_lines(rows)
    table = pd.DataFrame(lines, columns=header).to_html(index=False, border=0)
    notes = "<br>".join(map(html.escape, (*_notes(rows), *paired_lines(pairs), NOTE)))
    return f"<p>{html.escape(caption)}</p>\n{table}\n<p><small>{notes}</small></p>\n"


def training_csv(rows: Sequence[Measured], origin: Mapping[str, str]) -> str:
    """One line a model and measurement, fractions in full precision, and where they come from."""
    text = io.StringIO()
    writer = csv.DictWriter(text, [*COLUMNS, *origin], lineterminator="\n")
    writer.writeheader()
    writer.writerows({**_fields(row), **origin} for row in rows)
    return text.getvalue()


def training_json(rows: Sequence[Measured], pairs: Sequence[Paired], origin: Mapping[str, str]) -> str:
    """The rows, the comparisons in pairs, and where they come from."""
    compared = [
        {**pair._asdict(), "difference": pair.difference, **pair.interval._asdict()} for pair in pairs
    ]
    whole = {"rows": [_fields(row) for row in rows], "pairs": compared, "origin": dict(origin)}
    return f"{json.dumps(whole, indent=2)}\n"


def training_markdown(
    caption: str, rows: Sequence[Measured], pairs: Sequence[Paired], origin: Mapping[str, str]
) -> str:
    """The table for a page, and where it comes from as a comment."""
    header, *lines = training_lines(rows)
    align = [":--", *["--:"] * (len(header) - 1)]
    table = [f"| {' | '.join(map(markdown_escaped, line))} |" for line in (header, *lines)]
    table.insert(1, f"| {' | '.join(align)} |")
    notes = [f"{markdown_escaped(line)}  " for line in (*_notes(rows), *paired_lines(pairs), NOTE)]
    text = "\n".join([markdown_escaped(caption), "", *table, "", *notes])
    return f"{text}\n{markdown_comment(origin)}"


def _cells(rows: Sequence[Measured]) -> Iterator[tuple[str, str]]:
    spoilt = [row for row in rows if row.measure == "corruption"]
    groups: dict[str, list[Measured]] = {}
    for row in rows:
        groups.setdefault(_title(row), []).append(row)
        if spoilt and row is spoilt[-1]:
            groups["all corruptions"] = spoilt
    for title, group in groups.items():
        yield title, _accuracy(group)


def _title(row: Measured) -> str:
    match row.measure:
        case "clean":
            return "clean"
        case "statistics":
            return f"statistics ± {row.setting}"
        case "corruption":
            return row.setting.partition("/")[0]
        case "attack":
            return row.setting


def _accuracy(group: Sequence[Measured]) -> str:
    """Per cent, with the interval where each image was judged once."""
    if len(group) == 1 and group[0].passes == 1:
        low, high = group[0].interval
        return f"{100 * group[0].accuracy:.1f} [{100 * low:.1f}, {100 * high:.1f}]"
    return f"{100 * sum(row.accuracy for row in group) / len(group):.1f}"


def _notes(rows: Sequence[Measured]) -> list[str]:
    sentences = [f"Accuracy in per cent of {rows[0].n} test images, [95 % Wilson interval]."]
    noisy = [row for row in rows if row.measure == "statistics"]
    if noisy:
        sentences.append(
            "Statistics of BatchNorm are off by that part of themselves, up or down at random: mean of "
            f"{noisy[0].passes} draws."
        )
    if any(row.measure == "corruption" for row in rows):
        sentences.append("Corruptions: mean of five severities.")
    return sentences


def _fields(row: Measured) -> dict[str, object]:
    low, high = row.interval
    values = {name: getattr(row, name) for name in COLUMNS if name not in ("low", "high")}
    return {**values, "low": low, "high": high}
