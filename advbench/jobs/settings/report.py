"""What a report can be told: `advbench report`."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import shared
from .option import option

if TYPE_CHECKING:
    from advbench.reports.style import Style


@dataclass(frozen=True, kw_only=True)
class ReportSettings:
    """Everything that one report is told; None where a default is to be found.

    Args:
        command: the words that started the report, for its record.
        settings_file: what of it came from which settings file, for its record.

    Raises:
        SpecError: a column that there is not, or digits out of range.
    """

    runs: tuple[Path, ...] = option(
        help="Folders of runs or sweeps, and of trainings; finished ones without --watch.", argument=True
    )
    baseline: Path | None = option(
        None,
        help="A run to compare with, image by image: differences with intervals and McNemar's exact p.",
        shown="none",
    )
    out: Path | None = option(
        None, help="Folder to write to.", shown="none; a single --format goes to stdout"
    )
    overwrite: bool = option(False, help="Replace files of another origin in --out.")
    formats: str | None = option(
        None,
        word="--format",
        help="Tables: csv, markdown, latex, json; html: a page with figures and a gallery.",
        shown="a table on the terminal; csv,markdown with --out",
    )
    figures: str = option("", help="Figures to write: pdf, svg, png; needs matplotlib.", shown="none")
    data_root: Path | None = option(None, help="Where a gallery's data set is now.", shown="as in the run")
    watch: bool = option(False, help="Render again while runs go on, until they have ended.")
    columns: str | None = option(None, like=shared.COLUMNS)
    sort: str = option("", like=shared.SORT)
    percent: bool = option(True, like=shared.PERCENT)
    digits: int | None = option(None, like=shared.DIGITS)
    caption: str = option("", help="Of the LaTeX table.", shown="what holds for every row")
    label: str = option("tab:advbench", help="Of the LaTeX table.")
    json: bool = option(False, help="Print the rows as JSON.")
    quiet: bool = option(False, like=shared.QUIET, panel=None)
    debug: bool = option(False, like=shared.DEBUG, panel=None)
    command: tuple[str, ...] = ()
    settings_file: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        _ = self.style  # a table that cannot be drawn is refused before anything runs

    @property
    def style(self) -> "Style":
        """How tables look."""
        return shared.style_of_words(
            self.columns,
            self.sort,
            percent=self.percent,
            digits=self.digits,
            caption=self.caption,
            label=self.label,
        )
