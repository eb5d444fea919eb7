"""A report from its settings: runs back from their folders, and what they come to side by side."""

from collections.abc import Callable, Iterator, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, NamedTuple, cast

from advbench.errors import InputError
from advbench.jobs.reported import Report, check_out
from advbench.jobs.settings.keywords import settings_from_keywords, with_keywords
from advbench.jobs.settings.report import ReportSettings
from advbench.jobs.watch import Watch
from advbench.jobs.watcher import Unwatched, Watcher
from advbench.reports.baseline import Comparison, compare
from advbench.reports.figures import FIGURE_FORMATS, FigureFormat, check_matplotlib
from advbench.reports.formats import FILE_NAMES, HTML, formats_of
from advbench.reports.runs import ReportedRun, merge_rows, read_runs
from advbench.reports.training_runs import curves_of, is_training
from advbench.runs.read import Records, read_records


class Asked(NamedTuple):
    """What a report is asked to be written as."""

    formats: list[str]
    """Of its tables, and `html` for the page; none for a table on the terminal."""
    figures: list[FigureFormat]


@with_keywords(ReportSettings)
def report(
    runs: str | PathLike[str] | Sequence[str | PathLike[str]],
    *,
    watcher: Watcher | None = None,
    **settings: Any,
) -> Report:
    """Merge the tables of finished runs: what differs between them becomes a column.

    What `advbench report` does, with its options as keywords. Everything is counted anew from the runs'
    records; no model is loaded, nothing is attacked, and nothing is printed. Files are written where there
    is an `out`; with `watch` they are written again until every run has ended.

    Args:
        runs: folders of runs, sweeps and trainings.
        watcher: is told what is waited for, and may end the watch; by default nobody looks on.
        settings: the options.

    Returns:
        The report; the last one where the runs were watched.

    Raises:
        InputError: folders without finished runs, or options that do not fit each other.
        RunError: a run that was watched has ended before it was done.
    """
    report_settings = settings_from_keywords(ReportSettings, "report", {"runs": runs, **settings})
    made = None
    for made in make_reports(report_settings, watcher or Unwatched()):  # noqa: B007  # the last one is wanted
        pass
    assert made is not None  # a watch begins with a look
    return made


def make_reports(settings: ReportSettings, watcher: Watcher) -> Iterator[Report]:
    """Read the runs and write what they come to, once; with `watch` again and again while they go on.

    Raises:
        InputError: folders without finished runs, or options that do not fit each other.
        RunError: a run that was watched has ended before it was done.
    """
    formats, figures = asked_of(settings)
    if figures:
        check_matplotlib()
    if settings.out is not None:
        check_out(settings.out, overwrite=settings.overwrite)
    watch = Watch(settings.runs, watcher)
    for _ in watch.changes() if settings.watch else (0,):
        made = _read(settings, watch.read if settings.watch else read_records)
        if settings.out is None:
            made.check_rows(figures)
        else:
            made.write(settings.out, formats, figures, overwrite=settings.overwrite)
        yield made


def asked_of(settings: ReportSettings) -> Asked:
    """What the settings ask to be written.

    Raises:
        SpecError: a format that there is not.
        InputError: what is asked for needs a folder for its files.
    """
    default = "" if settings.out is None else "csv,markdown"
    formats = formats_of("json" if settings.json else settings.formats or default, [*FILE_NAMES, HTML])
    figures = [cast("FigureFormat", form) for form in formats_of(settings.figures, FIGURE_FORMATS)]
    if settings.out is None and len(formats) + 2 * len(figures) > 1:
        raise InputError("figures, and more than one format, need a folder for their files: --out DIR.")
    if settings.out is None and formats and settings.watch:
        raise InputError("--watch writes formats again and again, and needs a folder for them: --out DIR.")
    return Asked(formats, figures)


def _read(settings: ReportSettings, read: Callable[[Path], Records]) -> Report:
    """Everything that the folders hold, given how the records of a run are read."""
    trainings = [path for path in settings.runs if is_training(path)]
    runs, failed = read_runs([path for path in settings.runs if path not in trainings], read)
    return Report(
        runs=runs,
        merged=merge_rows(runs, failed),
        compared=_compared(runs, settings.baseline),
        trainings=trainings,
        curves=curves_of(trainings),
        style=settings.style,
        data_root=settings.data_root,
        command=settings.command,
        settings_file=settings.settings_file,
    )


def _compared(runs: Sequence[ReportedRun], path: Path | None) -> list[Comparison] | None:
    if path is None:
        return None
    several, _ = read_runs([path])
    if len(several) != 1:
        raise InputError(f"--baseline must be a single run, and {path} holds {len(several)}.")
    baseline = several[0].side
    same = path.resolve()
    return [pair for run in runs if run.path.resolve() != same for pair in compare(run.side, baseline)]
