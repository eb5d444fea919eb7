"""The page of a report: its runs with their figures, galleries and settings."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from advbench.errors import InputError
from advbench.files import write_whole
from advbench.reports.baseline import Comparison
from advbench.reports.charts import Chart, Curves, agreement, ladder, radius_curve
from advbench.reports.page import PAGE_FILE, Page, page
from advbench.reports.pictures import Picture
from advbench.reports.runs import Merged, ReportedRun, merge_rows, read_runs
from advbench.reports.steps import loss_by_steps, success_by_steps
from advbench.reports.style import Style, arranged
from advbench.results.shown import in_words, read_shown
from advbench.results.table import of_row, rows_of
from advbench.runs.read import Records

MOST: Final = 200
"""Pictures of a page."""


def page_of(
    runs: Sequence[ReportedRun],
    merged: Merged,
    style: Style,
    comparisons: Sequence[Comparison] | None = None,
    data_root: Path | None = None,
    *,
    curves: Sequence[Curves] = (),
) -> str:
    """The page of some runs.

    Args:
        runs: where the rows come from.
        merged: the rows.
        style: of its table.
        comparisons: with a baseline; None without.
        data_root: where the data set of the gallery is now; None for where it was.
        curves: of trainings, which are shown beside.
    """
    pictures, without = pictures_of(runs, data_root, MOST)
    names = list(dict.fromkeys(row.model for row in merged.rows))
    return page(
        Page(
            title=f"Robustness of {', '.join(names[:3])}{' and others' if len(names) > 3 else ''}",
            rows=merged.rows,
            origin=merged.origins,
            style=style,
            charts=[*charts_of(runs, merged, style), *curves],
            pictures=pictures,
            without=without,
            comparisons=comparisons,
            settings={run.name: _settings(run) for run in runs},
        )
    )


def charts_of(runs: Sequence[ReportedRun], merged: Merged, style: Style) -> list[Chart]:
    """The figures that the runs have records for."""
    order = arranged(merged.rows, style)
    rows = [merged.rows[place] for place in order]
    attacked = [
        (row, of_row(run.records.samples, row.defense, row.attack))
        for row, run in ((merged.rows[place], merged.runs[place]) for place in order)
        if run is not None
    ]
    candidates = [candidate for run in runs for candidate in run.records.manifest.candidates]
    charts: list[Chart | None] = [
        ladder(rows, style),
        success_by_steps(attacked, style),
        loss_by_steps(attacked),
        radius_curve(rows, style),
        agreement(candidates),
    ]
    return [chart for chart in charts if chart is not None]


def pictures_of(runs: Sequence[ReportedRun], data_root: Path | None, most: int) -> tuple[list[Picture], str]:
    """Pictures of the runs that are done and kept examples, and why there are none of those that did."""
    keeping = [run for run in runs if run.is_done and run.records.manifest.keeps_examples]
    if not keeping:
        return [], ""
    from advbench.jobs.gallery import gallery  # noqa: PLC0415  # imports torch, which a table does not need

    pictures: list[Picture] = []
    reasons: list[str] = []
    for run in keeping:
        try:
            pictures += gallery(run.path, run.records, data_root, max(1, most // len(keeping)))
        except InputError as error:
            reasons.append(f"{run.name}: {error}")
    return pictures, "" if pictures else " ".join(reasons)


def page_of_run(records: Records, style: Style, name: str = "", data_root: Path | None = None) -> str:
    """The page that a run has in its own folder.

    Args:
        records: what it wrote down.
        style: of its table.
        name: of the folder, where it had another one.
        data_root: where the data set of the gallery is now; None for where it was.
    """
    path = records.manifest.path
    rows = rows_of(records.samples, records.heading)
    run = ReportedRun(path=path, name=name or path.resolve().name, rows=rows, records=records)
    return page_of([run], merge_rows([run], []), style, data_root=data_root)


def write_page(folder: Path, style: Style) -> None:
    """Write the page of a sweep that is done into its own folder."""
    runs, failed = read_runs([folder])
    write_whole(folder / PAGE_FILE, page_of(runs, merge_rows(runs, failed), style).encode())


def _settings(run: ReportedRun) -> dict[str, str]:
    """What the run was: where its rows come from, and every setting."""
    entries = run.records.manifest.values.get("settings")
    settings = dict(_flat(entries)) if isinstance(entries, Mapping) else {}
    shown = in_words(read_shown(run.records.manifest.values.get("shown")))
    origin = {**run.origin, "images shown to the model": shown}
    return {**{name: text for name, text in origin.items() if text}, **settings}


def _flat(entries: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    lines = []
    for name, value in entries.items():
        if isinstance(value, Mapping) and value:
            lines += _flat(value, f"{prefix}{name}.")
        elif value is not None:
            lines.append((f"{prefix}{name}", str(value)))
    return lines
