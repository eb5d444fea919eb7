"""What a look at an installation can be told: `advbench doctor`."""

from dataclasses import dataclass
from pathlib import Path

from . import shared
from .option import option


@dataclass(frozen=True, kw_only=True)
class DoctorSettings:
    """Everything that one look is told."""

    data_root: Path = option(Path("data"), help="Folder that holds the data sets.")
    json: bool = option(False, help="Print it as JSON.")
    debug: bool = option(False, like=shared.DEBUG, panel=None)
