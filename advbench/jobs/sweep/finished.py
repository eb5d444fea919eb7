"""A sweep that is done: one table of many runs."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple, final

import pandas as pd

from advbench.jobs.finished import Run, open_run
from advbench.reports import render, table_frame
from advbench.reports.formats import Format
from advbench.reports.html_table import html_table
from advbench.reports.style import Style
from advbench.results.records import Row

from .folder import RUNS


class Outcome(NamedTuple):
    """What became of a cell: its row, where that comes from, and the folder of its run."""

    row: Row
    origin: Mapping[str, str]
    run: str


@final
@dataclass(frozen=True, repr=False)
class Sweep:
    """What a sweep found.

    Args:
        path: the sweep's folder.
        manifest: what its `sweep.json` says.
        outcomes: what became of each cell, in the order of the table.
        style: how its tables look.
    """

    path: Path
    manifest: Mapping[str, Any]
    outcomes: tuple[Outcome, ...]
    style: Style

    @property
    def rows(self) -> tuple[Row, ...]:
        """The table, a row a cell; the row of a cell that failed says why as its `error`."""
        return tuple(outcome.row for outcome in self.outcomes)

    @property
    def failed(self) -> tuple[Row, ...]:
        """The rows of the cells that failed."""
        return tuple(row for row in self.rows if row.error)

    @property
    def verdicts(self) -> dict[tuple[str, str, str, str], str]:
        """The verdict of each (model, eps, defense, attack); only the whole ladder gives one."""
        return {
            (row.model, row.eps, row.defense, row.attack): row.verdict for row in self.rows if row.verdict
        }

    @property
    def origins(self) -> Sequence[Mapping[str, str]]:
        """Where each row comes from, in a few words each; nothing for a cell that failed."""
        return [outcome.origin for outcome in self.outcomes]

    @cached_property
    def runs(self) -> tuple[Run, ...]:
        """The runs that filled the cells, read from their folders.

        Raises:
            RunFolderError: a run's files are not as it wrote them.
        """
        names = dict.fromkeys(outcome.run for outcome in self.outcomes if not outcome.row.error)
        return tuple(open_run(self.path / RUNS / name) for name in names)

    @property
    def frame(self) -> pd.DataFrame:
        """The table in full precision, a line a row; columns as in `table.csv`."""
        return table_frame(self.rows)

    def table(self, format: Format = "markdown", style: Style | None = None) -> str:  # noqa: A002  # the option's word
        """The table as text.

        Args:
            format: `markdown`, `latex`, `csv` or `json`.
            style: how it looks; by default as the sweep's own files.
        """
        return render(self.rows, format, self.origins, self.style if style is None else style)

    def __repr__(self) -> str:
        """What was run, in a line."""
        failed = f", {len(self.failed)} failed" if self.failed else ""
        return f"<Sweep {self.path}: {len(self.rows)} cells{failed}>"

    def _repr_html_(self) -> str:
        """The table, where a notebook shows the sweep."""
        return html_table(self.rows, self.style)
