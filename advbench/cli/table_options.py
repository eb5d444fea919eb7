"""The options that say how tables look, which `attack`, `sweep` and `report` share."""

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from advbench.reports.style import Style

_TABLES = "Tables"

Columns = Annotated[
    str | None,
    typer.Option(
        help="Columns for reading, comma-separated: model, dataset, threat, attack, defense, substitute, "
        "clean, shattered, bpda and other rungs, gap. CSV and JSON have all.",
        rich_help_panel=_TABLES,
        show_default="what says something",
    ),
]
Sort = Annotated[
    str,
    typer.Option(
        help="Order the rows by a column; -NAME for the largest first.",
        rich_help_panel=_TABLES,
        show_default="as they were run",
    ),
]
Percent = Annotated[
    bool,
    typer.Option(
        "--percent/--fraction",
        help="How to print accuracies. CSV and JSON have fractions.",
        rich_help_panel=_TABLES,
    ),
]
Digits = Annotated[
    int | None,
    typer.Option(
        help="Digits after the point. CSV and JSON have all.",
        rich_help_panel=_TABLES,
        show_default="1; of fractions 3",
    ),
]


def read_style(
    columns: str | None,
    sort: str,
    *,
    percent: bool,
    digits: int | None,
    caption: str = "",
    label: str | None = None,
) -> "Style":
    """The style that the options ask for.

    Raises:
        SpecError: a column that there is not, or digits out of range.
    """
    from advbench.reports.style import PLAIN, Style  # noqa: PLC0415  # imports pandas; --help must not

    return Style(
        columns=tuple(each.strip() for each in (columns or "").split(",") if each.strip()),
        sort=sort.strip(),
        percent=percent,
        digits=digits,
        caption=caption,
        label=PLAIN.label if label is None else label,
    )
