"""One `advbench report`, from run folders to tables."""

import hashlib
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple, assert_never, cast

from rich.console import Console

from advbench.cli.formats import HTML, formats_of
from advbench.cli.report_page import charts_of, page_of, pictures_of
from advbench.cli.report_runs import SWEEP, Merged, ReportedRun, merge_rows, read_runs
from advbench.cli.report_trainings import curves_of, is_training
from advbench.cli.report_watch import Watch
from advbench.errors import InputError, RunFolderError
from advbench.files import write_whole
from advbench.jobs.settings.report import ReportSettings
from advbench.reports.baseline import Comparison, compare, paired_csv, paired_grid, paired_json
from advbench.reports.charts import Curves
from advbench.reports.figures import FIGURE_FORMATS, FigureFormat, check_matplotlib, draw, draw_gallery
from advbench.reports.formats import FILE_NAMES, Format, markdown_grid, render
from advbench.reports.latex import latex_grid
from advbench.reports.page import PAGE_FILE
from advbench.reports.style import Style
from advbench.reports.terminal import print_grid, print_table
from advbench.runs.manifest import MANIFEST
from advbench.runs.read import Records, read_records
from advbench.version import VERSION

REPORT: Final = "report.json"
_DRAWN: Final = 6  # pictures of a gallery for a paper
PAIRED: Final[Mapping[Format, str]] = {
    form: name.replace("table", "paired") for form, name in FILE_NAMES.items()
}


class _Report(NamedTuple):
    """What is reported."""

    options: ReportSettings
    runs: Sequence[ReportedRun]
    merged: Merged
    compared: Sequence[Comparison] | None
    curves: Sequence[Curves]


def run(options: ReportSettings) -> None:
    """Read the runs, and print or write what they come to; with `watch` again and again while they go on.

    Raises:
        InputError: folders without finished runs, or options that do not fit each other.
        RunError: a run that was watched has ended before it was done.
    """
    default = "" if options.out is None else "csv,markdown"
    formats = formats_of("json" if options.json else options.formats or default, [*FILE_NAMES, HTML])
    figures = formats_of(options.figures, FIGURE_FORMATS)
    if options.out is None and len(formats) + 2 * len(figures) > 1:
        raise InputError("figures, and more than one format, need a folder for their files: --out DIR.")
    if options.out is None and formats and options.watch:
        raise InputError("--watch writes formats again and again, and needs a folder for them: --out DIR.")
    if figures:
        check_matplotlib()
    if options.out is not None:
        _check_out(options.out, overwrite=options.overwrite)
    if not options.watch:
        _render(_read(options, read_records), formats, figures)
        return
    console, watch = Console(), Watch(options.runs, quiet=options.quiet)
    for number in watch.changes():
        if console.is_terminal:
            console.clear()
        elif number:
            console.print()
        _render(_read(options, watch.read), formats, figures)


def _render(report: _Report, formats: list[str], figures: list[str]) -> None:
    """Print or write a report."""
    options = report.options
    if not report.merged.rows:
        if not (report.curves and figures):
            raise InputError(_no_rows(options, report))
        formats = []
    if options.out is None and formats:
        sys.stdout.write(_text(formats[0], report))
        return
    if options.out is not None:
        _write(options.out, report, _files(report, formats, figures))
    _show(report)


def _read(options: ReportSettings, read: Callable[[Path], Records]) -> _Report:
    """Everything that the folders hold, given how the records of a run are read."""
    trainings = [path for path in options.runs if is_training(path)]
    runs, failed = read_runs([path for path in options.runs if path not in trainings], read)
    compared = _compared(runs, options.baseline)
    return _Report(options, runs, merge_rows(runs, failed), compared, curves_of(trainings))


def _show(report: _Report) -> None:
    """Print the table and the comparisons, and where the files are."""
    options, console = report.options, Console()
    if report.merged.rows:
        print_table(report.merged.rows, console, options.style)
    if report.compared is not None:
        console.print()
        print_grid([paired_grid(report.compared, options.style)], console)
    if options.out is not None and not options.quiet:
        Console(stderr=True).print(f"written to {options.out}", style="dim", markup=False, highlight=False)


def _no_rows(options: ReportSettings, report: _Report) -> str:
    if not report.curves:
        return "the runs have no rows."
    return (
        f"{options.runs[0]} is a training, which has its own table and here only curves: give --figures pdf "
        "--out DIR, or a run of attack beside it."
    )


def _compared(runs: Sequence[ReportedRun], path: Path | None) -> list[Comparison] | None:
    if path is None:
        return None
    found, _ = read_runs([path])
    if len(found) != 1:
        raise InputError(f"--baseline must be a single run, and {path} holds {len(found)}.")
    baseline = found[0].side
    same = path.resolve()
    return [each for run in runs if run.path.resolve() != same for each in compare(run.side, baseline)]


def _text(form: str, report: _Report) -> str:
    """What goes to stdout: the table, and the comparisons where the format has room for both."""
    if form == HTML:
        return _page(report)
    style = report.options.style
    table = render(report.merged.rows, cast("Format", form), report.merged.origins, style)
    if report.compared is None:
        return table
    if form in ("csv", "json"):
        raise InputError(f"--baseline makes a second table, and {form} holds one. Give --out DIR.")
    return f"{table}\n{paired_text(cast('Format', form), report.compared, style)}"


def _page(report: _Report) -> str:
    return page_of(
        report.runs,
        report.merged,
        report.options.style,
        report.compared,
        report.options.data_root,
        curves=report.curves,
    )


def paired_text(form: Format, compared: Sequence[Comparison], style: Style) -> str:
    """The comparisons in a format."""
    match form:
        case "csv":
            return paired_csv(compared)
        case "json":
            return paired_json(compared)
        case "markdown":
            return markdown_grid(paired_grid(compared, style))
        case "latex":
            return latex_grid(paired_grid(compared, style), f"{style.label}-paired")
        case _:
            assert_never(form)


def _files(report: _Report, formats: Sequence[str], figures: Sequence[str]) -> dict[str, bytes]:
    """The files of a report by their names."""
    style, found = report.options.style, {}
    for form in formats:
        if form == HTML:
            found[PAGE_FILE] = _page(report).encode()
            continue
        table = cast("Format", form)
        text = render(report.merged.rows, table, report.merged.origins, style)
        found[FILE_NAMES[table]] = text.encode()
        if report.compared is not None:
            found[PAIRED[table]] = paired_text(table, report.compared, style).encode()
    if figures:
        charts = [*charts_of(report.runs, report.merged, style), *report.curves]
        pictures, _ = pictures_of(report.runs, report.options.data_root, _DRAWN)
        for form in figures:
            drawn = cast("FigureFormat", form)
            found |= {f"{chart.name}.{form}": draw(chart, drawn) for chart in charts}
            if pictures:
                found[f"gallery.{form}"] = draw_gallery(pictures, drawn)
    return found


def _write(out: Path, report: _Report, files: Mapping[str, bytes]) -> None:
    """Write the files, and which runs they come from."""
    said = {
        "command": list(report.options.command),
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        "advbench": VERSION,
        "tables": report.options.style.settings(),
        "runs": [{"name": run.name, "run": run.origin["run"], "done": run.is_done} for run in report.runs],
        "files": {name: hashlib.sha256(contents).hexdigest() for name, contents in files.items()},
    }
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name, contents in files.items():
            write_whole(out / name, contents)
        write_whole(out / REPORT, f"{json.dumps(said, indent=2)}\n".encode())
    except OSError as error:
        raise RunFolderError(f"cannot write to {out}: {error.strerror}.") from error


def _check_out(out: Path, *, overwrite: bool) -> None:
    """Refuse a folder whose files are somebody else's, before anything is read.

    Raises:
        RunFolderError: not a folder, a run's or a sweep's, or one with files of the same names.
    """
    try:
        blocked = any(each.exists() and not each.is_dir() for each in (out, *out.parents))
        homes = [name for name in (MANIFEST, SWEEP) if (out / name).exists()]
        own = (out / REPORT).exists()
        there = [
            name for name in (*FILE_NAMES.values(), *PAIRED.values(), PAGE_FILE) if (out / name).exists()
        ]
    except OSError as error:
        raise RunFolderError(f"--out {out} cannot be used: {error.strerror}.") from error
    if blocked:
        raise RunFolderError(f"--out {out} is not a folder.")
    if homes:
        raise RunFolderError(f"{out} holds a run, whose tables are part of its evidence. Give another --out.")
    if there and not own and not overwrite:
        raise RunFolderError(f"{out} holds {there[0]}, but no report. Give another --out, or --overwrite.")
