"""A report: the rows of several runs as one table, their comparisons, figures and page."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import Any, Final, assert_never, cast, final

import pandas as pd

import advbench
from advbench.errors import InputError, RunFolderError, SpecError
from advbench.files import write_whole
from advbench.jobs.report_page import charts_of, page_of, pictures_of
from advbench.reports.baseline import Comparison, paired_csv, paired_grid, paired_json
from advbench.reports.charts import Chart, Curves
from advbench.reports.figures import FigureFormat, check_matplotlib, draw, draw_gallery, draw_named
from advbench.reports.formats import FILE_NAMES, HTML, Format, markdown_grid, render
from advbench.reports.frame import table_frame
from advbench.reports.html_table import html_table
from advbench.reports.latex import latex_grid
from advbench.reports.page import PAGE_FILE
from advbench.reports.pictures import Picture
from advbench.reports.runs import SWEEP, Merged, ReportedRun
from advbench.reports.style import Style
from advbench.results.records import Row
from advbench.runs.claimed_folder import looking_into
from advbench.runs.manifest import MANIFEST
from advbench.runs.provenance import now

REPORT: Final = "report.json"
_DRAWN: Final = 6  # pictures of a gallery for a paper
_PAIRED: Final[Mapping[Format, str]] = {
    form: name.replace("table", "paired") for form, name in FILE_NAMES.items()
}


@final
@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Report:
    """What some runs come to, side by side.

    Args:
        runs: where the rows come from.
        merged: the rows.
        compared: each row with the baseline's, image by image; None without a baseline.
        trainings: folders of trainings, which have no rows here.
        curves: of their epochs.
        style: how its tables look.
        data_root: where the data set of a gallery is now; None for where it was.
        command: the words that ask for the same report.
        settings_file: what of them came from which settings file.
    """

    runs: Sequence[ReportedRun]
    merged: Merged
    compared: Sequence[Comparison] | None
    trainings: Sequence[Path]
    curves: Sequence[Curves]
    style: Style
    data_root: Path | None = None
    command: tuple[str, ...] = ()
    settings_file: Mapping[str, Any] | None = None

    @property
    def rows(self) -> tuple[Row, ...]:
        """The table: the same row of the same images once."""
        return tuple(self.merged.rows)

    @property
    def frame(self) -> pd.DataFrame:
        """The table in full precision, a line a row; columns as in `table.csv`."""
        return table_frame(self.rows)

    def table(self, format: Format = "markdown", style: Style | None = None) -> str:  # noqa: A002  # as of a run
        """The table as text: `markdown`, `latex`, `csv` or `json`, with where each row comes from."""
        return render(self.rows, format, self.merged.origins, self.style if style is None else style)

    def paired(self, format: Format = "markdown") -> str:  # noqa: A002  # as in `table`
        """The comparisons with the baseline as text.

        Raises:
            SpecError: there is no baseline.
        """
        if self.compared is None:
            raise SpecError("there is nothing to compare with: a report has its baseline from the start.")
        match format:
            case "csv":
                return paired_csv(self.compared)
            case "json":
                return paired_json(self.compared)
            case "markdown":
                return markdown_grid(paired_grid(self.compared, self.style))
            case "latex":
                return latex_grid(paired_grid(self.compared, self.style), f"{self.style.label}-paired")
            case _:
                assert_never(format)

    def page(self) -> str:
        """The page in HTML, one text with figures, gallery and settings."""
        return page_of(self.runs, self.merged, self.style, self.compared, self.data_root, curves=self.curves)

    @cached_property
    def charts(self) -> dict[str, Chart]:
        """The figures that the runs and trainings have records for, by their names."""
        charts = [*(charts_of(self.runs, self.merged, self.style) if self.rows else ()), *self.curves]
        return {chart.name: chart for chart in charts}

    def figure(self, name: str = "ladder", format: FigureFormat = "png") -> bytes:  # noqa: A002  # as in `table`
        """A figure as the contents of a file; it needs matplotlib.

        Args:
            name: one of `charts`.
            format: `png`, `svg` or `pdf`.

        Raises:
            SpecError: a figure that there are no records for.
            InputError: matplotlib is not installed.
        """
        return draw_named(self.charts, name, format, "report")

    def files(self, formats: Sequence[str], figures: Sequence[FigureFormat] = ()) -> dict[str, bytes]:
        """The files of a report by their names.

        Args:
            formats: of its tables, and `html` for the page; trainings alone have none.
            figures: formats of every figure.
        """
        files: dict[str, bytes] = {}
        for form in formats if self.rows else ():
            if form == HTML:
                files[PAGE_FILE] = self.page().encode()
                continue
            table = cast("Format", form)
            files[FILE_NAMES[table]] = self.table(table).encode()
            if self.compared is not None:
                files[_PAIRED[table]] = self.paired(table).encode()
        pictures = self._pictures if figures else []
        for drawn in figures:
            files |= {f"{name}.{drawn}": draw(chart, drawn) for name, chart in self.charts.items()}
            if pictures:
                files[f"gallery.{drawn}"] = draw_gallery(pictures, drawn)
        return files

    @property
    def _pictures(self) -> list[Picture]:
        return pictures_of(self.runs, self.data_root, _DRAWN)[0]

    def write(
        self,
        out: str | PathLike[str],
        formats: Sequence[str] = ("csv", "markdown"),
        figures: Sequence[FigureFormat] = (),
        *,
        overwrite: bool = False,
    ) -> None:
        """Write the files, and which runs they come from.

        Args:
            out: the folder, which need not exist.
            formats: of its tables, and `html` for the page.
            figures: formats of every figure; they need matplotlib.
            overwrite: whether files of another origin may be replaced.

        Raises:
            RunFolderError: the folder is a run's, cannot be written, or holds files of another origin.
            InputError: there is nothing to write.
        """
        folder = Path(out)
        check_out(folder, overwrite=overwrite)
        if figures:
            check_matplotlib()
        self.check_rows(figures)
        files = self.files(formats, figures)
        record = {
            "command": list(self.command),
            **({} if self.settings_file is None else {"settings_file": dict(self.settings_file)}),
            "written": now(),
            "advbench": advbench.__version__,
            "tables": self.style.settings(),
            "runs": [{"name": run.name, "run": run.origin["run"], "done": run.is_done} for run in self.runs],
            "files": {name: hashlib.sha256(contents).hexdigest() for name, contents in files.items()},
        }
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for name, contents in files.items():
                write_whole(folder / name, contents)
            write_whole(folder / REPORT, f"{json.dumps(record, indent=2)}\n".encode())
        except OSError as error:
            raise RunFolderError(f"cannot write to {folder}: {error.strerror}.") from error

    def check_rows(self, figures: Sequence[str] = ()) -> None:
        """Refuse a report without anything to show.

        Args:
            figures: formats of figures; trainings alone have these.

        Raises:
            InputError: there are no rows, and no curves that are asked for.
        """
        if self.rows or (self.curves and figures):
            return
        if not self.curves:
            raise InputError("the runs have no rows.")
        raise InputError(
            f"{self.trainings[0]} is a training, which has its own table and here only curves: give "
            "--figures pdf --out DIR, or a run of attack beside it."
        )

    def __repr__(self) -> str:
        """What is reported, in a line."""
        names = [*(run.name for run in self.runs), *map(str, self.trainings)]
        return f"<Report of {', '.join(names)}: {len(self.rows)} rows>"

    def _repr_html_(self) -> str:
        """The table, as notebooks show it."""
        return html_table(self.rows, self.style) if self.rows else ""


def check_out(out: Path, *, overwrite: bool) -> None:
    """Refuse a folder whose files are somebody else's, before anything is read.

    Raises:
        RunFolderError: not a folder, a run's or a sweep's, or one with files of the same names.
    """
    files = (*FILE_NAMES.values(), *_PAIRED.values(), PAGE_FILE)
    with looking_into(out):
        homes = [name for name in (MANIFEST, SWEEP) if (out / name).exists()]
        own = (out / REPORT).exists()
        there = [name for name in files if (out / name).exists()]
    if homes:
        raise RunFolderError(f"{out} holds a run, whose tables are part of its evidence. Give another --out.")
    if there and not own and not overwrite:
        raise RunFolderError(f"{out} holds {there[0]}, but no report. Give another --out, or --overwrite.")
