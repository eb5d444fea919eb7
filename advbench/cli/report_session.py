"""One `advbench report`, from run folders to tables."""

import hashlib
import json
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, assert_never, cast

from rich.console import Console

import advbench
from advbench.cli.formats import formats_of
from advbench.cli.options import ReportOptions
from advbench.cli.report_runs import SWEEP, Merged, ReportedRun, merge_rows, read_runs
from advbench.errors import InputError, RunFolderError
from advbench.manifest import MANIFEST
from advbench.reports.baseline import Comparison, compare, paired_csv, paired_grid, paired_json
from advbench.reports.formats import FILE_NAMES, Format, markdown_grid, render
from advbench.reports.latex import latex_grid
from advbench.reports.style import Style
from advbench.reports.terminal import print_grid, print_table
from advbench.whole_files import write_whole

REPORT: Final = "report.json"
PAIRED: Final[Mapping[Format, str]] = {
    form: name.replace("table", "paired") for form, name in FILE_NAMES.items()
}


def run(options: ReportOptions) -> None:
    """Read the runs, and print or write what they come to.

    Raises:
        InputError: folders without finished runs, or options that do not fit each other.
    """
    default = "" if options.out is None else "csv,markdown"
    formats = [cast("Format", each) for each in formats_of(options.formats or default, list(FILE_NAMES))]
    if options.json:
        formats = ["json"]
    if options.out is None and len(formats) > 1:
        raise InputError(f"--format {options.formats} needs a folder for its files: --out DIR.")
    if options.out is not None:
        _check_out(options.out, overwrite=options.overwrite)
    runs, failed = read_runs(options.runs)
    merged = merge_rows(runs, failed)
    if not merged.rows:
        raise InputError("the runs have no rows.")
    compared = _compared(runs, options.baseline)
    if options.out is None and formats:
        sys.stdout.write(_text(formats[0], merged, compared, options.style))
        return
    if options.out is not None:
        _write(options.out, options, formats, (merged, compared), runs)
    console = Console()
    print_table(merged.rows, console, options.style)
    if compared is not None:
        console.print()
        print_grid([paired_grid(compared, options.style)], console)
    if options.out is not None and not options.quiet:
        Console(stderr=True).print(f"written to {options.out}", style="dim", markup=False, highlight=False)


def _compared(runs: Sequence[ReportedRun], path: Path | None) -> list[Comparison] | None:
    if path is None:
        return None
    found, _ = read_runs([path])
    if len(found) != 1:
        raise InputError(f"--baseline must be a single run, and {path} holds {len(found)}.")
    baseline = found[0].side
    same = path.resolve()
    return [each for run in runs if run.path.resolve() != same for each in compare(run.side, baseline)]


def _text(form: Format, merged: Merged, compared: Sequence[Comparison] | None, style: Style) -> str:
    """What goes to stdout: the table, and the comparisons where the format has room for both."""
    table = render(merged.rows, form, merged.origins, style)
    if compared is None:
        return table
    if form in ("csv", "json"):
        raise InputError(f"--baseline makes a second table, and {form} holds one. Give --out DIR.")
    return f"{table}\n{paired_text(form, compared, style)}"


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


def _write(
    out: Path,
    options: ReportOptions,
    formats: Sequence[Format],
    found: tuple[Merged, Sequence[Comparison] | None],
    runs: Sequence[ReportedRun],
) -> None:
    """Write the files, and which runs they come from."""
    merged, compared = found
    files = {FILE_NAMES[form]: render(merged.rows, form, merged.origins, options.style) for form in formats}
    if compared is not None:
        files |= {PAIRED[form]: paired_text(form, compared, options.style) for form in formats}
    said = {
        "command": list(options.command),
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        "advbench": advbench.__version__,
        "tables": options.style.settings(),
        "runs": [{"name": run.name, "run": run.origin["run"]} for run in runs],
        "files": {name: hashlib.sha256(text.encode()).hexdigest() for name, text in files.items()},
    }
    try:
        out.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            write_whole(out / name, text.encode())
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
        there = [name for name in (*FILE_NAMES.values(), *PAIRED.values()) if (out / name).exists()]
    except OSError as error:
        raise RunFolderError(f"--out {out} cannot be used: {error.strerror}.") from error
    if blocked:
        raise RunFolderError(f"--out {out} is not a folder.")
    if homes:
        raise RunFolderError(f"{out} holds a run, whose tables are part of its evidence. Give another --out.")
    if there and not own and not overwrite:
        raise RunFolderError(f"{out} holds {there[0]}, but no report. Give another --out, or --overwrite.")
