"""What a sweep can be told beside its file: `advbench sweep`."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import shared
from .option import option

if TYPE_CHECKING:
    from advbench.reports.style import Style


@dataclass(frozen=True, kw_only=True)
class SweepSettings:
    """Everything that one sweep is told beside its file; None where a default is to be found.

    Args:
        command: the words that started the sweep, for its record.
        settings_file: what of it came from which settings file, for its record.

    Raises:
        SpecError: a column that there is not, or digits out of range.
    """

    file: Path | None = option(
        None, help="A TOML file: [defaults], models, threats, defenses, attacks.", argument=True
    )
    dry_run: bool = option(False, help="Print the cells, what is done of them, and how long it takes.")
    out: Path | None = option(None, help="Folder of the sweep's files.", shown="a dated folder under runs/")
    overwrite: bool = option(False, help="Do again what is done in --out already.")
    formats: str = option(
        "csv,markdown",
        word="--format",
        help="Tables to write of all rows: csv, markdown, latex, json; html: a page.",
    )
    columns: str | None = option(None, like=shared.COLUMNS)
    sort: str = option("", like=shared.SORT)
    percent: bool = option(True, like=shared.PERCENT)
    digits: int | None = option(None, like=shared.DIGITS)
    schema: bool = option(False, help="Print the JSON schema of the file, for editors, and nothing else.")
    json: bool = option(False, like=shared.JSON, panel=None)
    quiet: bool = option(False, like=shared.QUIET, panel=None)
    debug: bool = option(False, help="Show tracebacks of what fails.")
    command: tuple[str, ...] = ()
    settings_file: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        _ = self.style  # a table that cannot be drawn is refused before anything runs

    @property
    def style(self) -> "Style":
        """How tables look."""
        return shared.style_of_words(self.columns, self.sort, percent=self.percent, digits=self.digits)
