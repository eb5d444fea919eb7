"""The settings class of every command, and which fields describe what others name."""

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

GIVES_WAY: Final[Mapping[str, tuple[str, ...]]] = {
    "first": ("limit",),
    "limit": ("first",),
    "norm": ("eps", "step_size"),
    "normalization": ("mean", "std"),
    "mean": ("normalization",),
    "std": ("normalization",),
    "scratch": ("checkpoint",),
    "checkpoint": ("scratch", "weights", "members"),
    "model": (
        *("checkpoint", "members", "weights", "mean", "std", "normalization", "space", "random_model"),
        *("classes", "class_index", "surrogate", "source", "reject_class"),
        *("black_box", "black_box_form", "scratch"),
    ),
    "dataset": (
        *("split", "image_size", "channels", "classes", "class_index"),
        *("image_column", "label_column"),
    ),
    "json": ("formats",),
    "formats": ("json",),
    "serve": ("out",),
    "out": ("serve", "port"),
}
"""Fields that the command line has set, and those of the file that describe what it has replaced."""
