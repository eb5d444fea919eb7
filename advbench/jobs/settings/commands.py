"""The settings class of every command."""

from collections.abc import Mapping
from typing import Any, Final

from .doctor import DoctorSettings
from .export import ExportSettings
from .init import InitSettings
from .report import ReportSettings
from .run import RunSettings
from .sweep import SweepSettings
from .train import TrainSettings
from .verify import VerifySettings
from .view import ViewSettings

COMMANDS: Final[Mapping[str, type[Any]]] = {
    "attack": RunSettings,
    "sweep": SweepSettings,
    "init": InitSettings,
    "report": ReportSettings,
    "view": ViewSettings,
    "export": ExportSettings,
    "verify": VerifySettings,
    "finetune": TrainSettings,
    "doctor": DoctorSettings,
}
"""By the command's name, in the order of `advbench --help`."""
