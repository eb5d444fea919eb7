"""`advbench report`: tables, figures and a page from run folders, without a model."""

from pathlib import Path
from typing import Annotated

import typer

from advbench.cli.options import ReportOptions
from advbench.cli.table_options import Columns, Digits, Percent, Sort, read_style


def report(  # noqa: PLR0917  # typer reads options from parameters, and takes them by position
    context: typer.Context,
    runs: Annotated[
        list[Path],
        typer.Argument(
            help="Folders of runs or sweeps, and of trainings; finished ones without --watch.",
            show_default=False,
        ),
    ],
    baseline: Annotated[
        Path | None,
        typer.Option(
            help="A run to compare with, image by image: differences with intervals and McNemar's exact p.",
            show_default="none",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder to write to.", show_default="none; a single --format goes to stdout"),
    ] = None,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace files of another origin in --out.")
    ] = False,
    formats: Annotated[
        str | None,
        typer.Option(
            "--format",
            help="Tables: csv, markdown, latex, json; html: a page with figures and a gallery.",
            show_default="a table on the terminal; csv,markdown with --out",
        ),
    ] = None,
    figures: Annotated[
        str, typer.Option(help="Figures to write: pdf, svg, png; needs matplotlib.", show_default="none")
    ] = "",
    data_root: Annotated[
        Path | None,
        typer.Option(help="Where a gallery's data set is now.", show_default="as in the run"),
    ] = None,
    watch: Annotated[
        bool,
        typer.Option("--watch", help="Render again while runs go on, until they have ended."),
    ] = False,
    columns: Columns = None,
    sort: Sort = "",
    percent: Percent = True,
    digits: Digits = None,
    caption: Annotated[
        str, typer.Option(help="Of the LaTeX table.", show_default="what holds for every row")
    ] = "",
    label: Annotated[str, typer.Option(help="Of the LaTeX table.")] = "tab:advbench",
    json: Annotated[bool, typer.Option("--json", help="Print the rows as JSON.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the table and nothing else.")] = False,
    debug: Annotated[  # noqa: ARG001  # main() looks for it, so that it holds for every error
        bool, typer.Option("--debug", help="Show a traceback if something fails.")
    ] = False,
) -> None:
    """Redraw and merge the tables of finished runs: what differs between them becomes a column.

    Everything is counted anew from the runs' records; no model is loaded and nothing is attacked.
    """
    from advbench.cli.report_session import run  # noqa: PLC0415  # imports pandas; --help must not

    style = read_style(columns, sort, percent=percent, digits=digits, caption=caption, label=label)
    run(
        ReportOptions(
            command=("advbench", *(context.obj or ())),
            runs=tuple(runs),
            baseline=baseline,
            out=out,
            overwrite=overwrite,
            formats=formats,
            figures=figures,
            data_root=data_root,
            watch=watch,
            style=style,
            json=json,
            quiet=quiet,
        )
    )
