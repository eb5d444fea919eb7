"""A run that is done: its records, and everything that is made of them."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, final

import pandas as pd

from advbench.errors import RunFolderError
from advbench.reports import render, table_frame
from advbench.reports.charts import Chart, ladder
from advbench.reports.figures import FigureFormat, draw_named
from advbench.reports.formats import Format
from advbench.reports.html_table import html_table
from advbench.reports.runs import is_sweep
from advbench.reports.steps import loss_by_steps, success_by_steps
from advbench.reports.style import Style, arranged, style_of
from advbench.results.records import Row
from advbench.results.table import Heading, of_row, rows_of
from advbench.runs.examples import Examples, read_examples
from advbench.runs.folder import ADVERSARIAL, is_as_written
from advbench.runs.manifest import Manifest, keeps_examples
from advbench.runs.provenance import origin_of
from advbench.runs.read import Records, read_records


@final
@dataclass(frozen=True, eq=False, repr=False)
class Run:
    """What a run found. It is equal to the run that `open_run` reads from the same folder.

    Args:
        path: the run's folder.
        manifest: what its `run.json` says.
        heading: what the table is about.
        samples: one record an image and rung, columns as in `records.SAMPLE_TYPES`.
    """

    path: Path
    manifest: Mapping[str, Any]
    heading: Heading
    samples: pd.DataFrame

    @cached_property
    def rows(self) -> tuple[Row, ...]:
        """The table, the undefended model first, then the defenses in the order given."""
        return rows_of(self.samples, self.heading)

    @property
    def records(self) -> Records:
        """What the run wrote down."""
        return Records(Manifest(self.path, self.manifest), self.heading, self.samples)

    @property
    def verdicts(self) -> dict[tuple[str, str], str]:
        """The verdict of each (defense, attack); only the whole ladder gives one."""
        return {(row.defense, row.attack): row.verdict for row in self.rows if row.verdict}

    @property
    def notes(self) -> tuple[str, ...]:
        """What the table says of how the model and its data were understood."""
        return self.heading.notes

    @property
    def origin(self) -> dict[str, str]:
        """Where the rows come from, in a few words each, as every file of the run says it."""
        return origin_of(self.manifest)

    @property
    def style(self) -> Style:
        """How the run's tables look."""
        return style_of(self.manifest.get("tables"))

    @property
    def frame(self) -> pd.DataFrame:
        """The table in full precision, a line a row; columns as in `table.csv`."""
        return table_frame(self.rows)

    def table(self, format: Format = "markdown", style: Style | None = None) -> str:  # noqa: A002  # the option's word
        """The table as text.

        Args:
            format: `markdown`, `latex`, `csv` or `json`.
            style: how it looks; by default as the run's own files.
        """
        return render(self.rows, format, self.origin, self.style if style is None else style)

    @property
    def examples(self) -> Iterator[Examples]:
        """The adversarial examples that the run has kept, a batch and rung at a time.

        Raises:
            RunFolderError: the run kept none, or a file is not as the run wrote it.
        """
        if not keeps_examples(self.manifest):
            raise RunFolderError(
                f"the run in {self.path} kept no examples; save_adversarial=True keeps them."
            )
        return self._examples()

    def _examples(self) -> Iterator[Examples]:
        for file in sorted((self.path / ADVERSARIAL).glob("*.safetensors")):
            if not is_as_written(file):
                raise RunFolderError(f"{file} is not as the run wrote it.")
            yield read_examples(file)

    @cached_property
    def charts(self) -> dict[str, Chart]:
        """The figures that the run has records for: `ladder`, and success (`steps`) and `loss` by steps."""
        rows = [self.rows[place] for place in arranged(self.rows, self.style)]
        attacked = [(row, of_row(self.samples, row.defense, row.attack)) for row in rows]
        charts = ladder(rows, self.style), success_by_steps(attacked, self.style), loss_by_steps(attacked)
        return {chart.name: chart for chart in charts if chart is not None}

    def figure(self, name: str = "ladder", format: FigureFormat = "png") -> bytes:  # noqa: A002  # as in `table`
        """A figure as the contents of a file; it needs matplotlib.

        Args:
            name: one of `charts`.
            format: `png`, `svg` or `pdf`.

        Raises:
            SpecError: a figure that the run has no records for.
            InputError: matplotlib is not installed.
        """
        return draw_named(self.charts, name, format, "run")

    def __eq__(self, other: object) -> bool:
        """Whether both are the same run with the same records."""
        return (
            isinstance(other, Run)
            and self.path.resolve() == other.path.resolve()
            and self.manifest == other.manifest
            and self.samples.equals(other.samples)
        )

    def __hash__(self) -> int:
        """By the run's folder."""
        return hash(self.path.resolve())

    def __repr__(self) -> str:
        """What was run, in a line."""
        heading = self.heading
        return (
            f"<Run {self.path}: {heading.model}, {heading.dataset}, {heading.norm} eps {heading.eps}, "
            f"{len(self.rows)} rows>"
        )

    def _repr_html_(self) -> str:
        """The table, where a notebook shows the run."""
        return html_table(self.rows, self.style)


def run_of(path: Path, manifest: Mapping[str, Any], heading: Heading, samples: pd.DataFrame) -> Run:
    """The run that has just written these records; its manifest reads as `run.json` does."""
    return Run(path, json.loads(json.dumps(dict(manifest))), heading, samples)


def open_run(path: str | Path) -> Run:
    """A run that is done, from its folder; no model, data set or attack is loaded.

    Args:
        path: the run's folder, from any machine: everything in it is read as if somebody had forged it.

    Raises:
        RunFolderError: no run, one that is not done, or files that are not as the run wrote them.
    """
    if is_sweep(Path(path)):
        raise RunFolderError(f"{path} holds a sweep; open one of its runs, {path}/runs/...")
    records = read_records(Path(path))
    return Run(Path(path), records.manifest.values, records.heading, records.samples)
