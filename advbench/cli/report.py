"""`advbench report` and `advbench export`: what run folders come to, without a model."""

import sys
from typing import TYPE_CHECKING, cast

from advbench.cli.typed import command
from advbench.errors import InputError
from advbench.jobs.settings.export import ExportSettings
from advbench.jobs.settings.report import ReportSettings

if TYPE_CHECKING:
    from rich.console import Console

    from advbench.jobs.reported import Report
    from advbench.reports.formats import Format


def _report(settings: ReportSettings) -> None:
    """Redraw and merge the tables of finished runs: what differs between them becomes a column.

    Everything is counted anew from the runs' records; no model is loaded and nothing is attacked.
    """
    # They import pandas or rich; --help must not.
    from rich.console import Console  # noqa: PLC0415

    from advbench.cli.bar import Bar  # noqa: PLC0415
    from advbench.jobs.report import asked_of, make_reports  # noqa: PLC0415

    console, bar = Console(), Bar(Console(stderr=True), quiet=settings.quiet)
    formats, _ = asked_of(settings)
    for number, report in enumerate(make_reports(settings, bar)):
        if settings.watch and console.is_terminal:
            console.clear()
        elif number:
            console.print()
        if settings.out is None and formats:
            sys.stdout.write(_text(report, formats[0]))
            continue
        _show(report, console)
        if settings.out is not None:
            bar.note(f"written to {settings.out}")


def _text(report: "Report", form: str) -> str:
    """What goes to stdout: the table, and the comparisons where the format has room for both."""
    from advbench.reports.formats import HTML  # noqa: PLC0415  # imports pandas; --help must not

    if form == HTML:
        return report.page()
    table = report.table(cast("Format", form))
    if report.compared is None:
        return table
    if form in ("csv", "json"):
        raise InputError(f"--baseline makes a second table, and {form} holds one. Give --out DIR.")
    return f"{table}\n{report.paired(cast('Format', form))}"


def _show(report: "Report", console: "Console") -> None:
    """Print the table and the comparisons."""
    from advbench.reports.baseline import paired_grid  # noqa: PLC0415  # imports pandas; --help must not
    from advbench.reports.terminal import print_grid, print_table  # noqa: PLC0415

    if report.rows:
        print_table(report.rows, console, report.style)
    if report.compared is not None:
        console.print()
        print_grid([paired_grid(report.compared, report.style)], console)


def _export(settings: ExportSettings) -> None:
    """Write finished runs in the formats of other programs: CI, the Hugging Face Hub, RobustBench, trackers.

    No model is loaded, nothing is attacked, and nothing is sent anywhere.
    """
    from advbench.jobs.export import make_export  # noqa: PLC0415  # imports pandas; --help must not

    made = make_export(settings)
    if isinstance(made, str):
        sys.stdout.write(made)
    elif not settings.quiet:
        sys.stderr.writelines(f"written: {settings.out}/{name}\n" for name in made)


report = command(ReportSettings, _report)
export = command(ExportSettings, _export)
