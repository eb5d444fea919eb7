"""What a look at runs can be told: `advbench view`."""

from dataclasses import dataclass
from pathlib import Path

from advbench.errors import SpecError

from . import shared
from .option import option


@dataclass(frozen=True, kw_only=True)
class ViewSettings:
    """Everything that one look is told; None where a default is to be found.

    Raises:
        SpecError: settings that do not fit each other.
    """

    folder: Path = option(help="A run, a sweep, or a folder that holds some.", argument=True)
    out: Path | None = option(None, help="File to write the page to.", shown="one in a temporary folder")
    overwrite: bool = option(False, help="Replace a file of another origin.")
    open: bool = option(True, word="--open/--no-open", help="Show the page in the browser.")
    serve: bool = option(
        False, help="Serve the page on this machine alone, until Ctrl-C; no file is written."
    )
    port: int | None = option(None, help="Of --serve.", least=1, most=65535, shown="a free one")
    data_root: Path | None = option(None, help="Where the pictures' data set is now.", shown="as in the run")
    percent: bool = option(True, like=shared.PERCENT, panel=None)
    digits: int | None = option(None, like=shared.DIGITS, panel=None)
    quiet: bool = option(False, like=shared.QUIET, panel=None)
    debug: bool = option(False, like=shared.DEBUG, panel=None)

    def __post_init__(self) -> None:
        if self.serve and self.out is not None:
            raise SpecError("--serve writes no file: give --out or --serve, not both.")
        if self.port is not None and not self.serve:
            raise SpecError("--port is of --serve; give both.")
        _ = shared.style_of_words(None, "", percent=self.percent, digits=self.digits)
