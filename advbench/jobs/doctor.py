"""What is installed, what it runs on, and whether it computes what it should: for bug reports."""

import importlib.metadata
import math
import os
import platform
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

import torch
from safetensors.torch import load_file

from advbench.errors import InputError
from advbench.jobs.settings.doctor import DoctorSettings
from advbench.jobs.settings.project import project_file_here
from advbench.models.digits_cnn import DigitsCNN
from advbench.models.network import bundled_weights
from advbench.names.grammar import parse_spec
from advbench.runs.provenance import commits, versions
from advbench.speed.memory import available_memory

EXTRAS: Final[Mapping[str, tuple[str, str]]] = {
    "figures": ("matplotlib", "figures as PDF, SVG and PNG"),
    "foolbox": ("foolbox", "--attack foolbox:NAME"),
    "torchattacks": ("torchattacks", "--attack torchattacks:NAME"),
    "art": ("adversarial-robustness-toolbox", "--attack art:NAME"),
    "timm": ("timm", "--model timm:NAME"),
    "hf": ("transformers", "--model hf:FOLDER"),
    "onnx": ("onnxruntime", "--model FILE.onnx"),
    "tensorboard": ("tensorboard", "events of finetune, and export --format tensorboard"),
    "mlflow": ("mlflow", "export --format mlflow"),
    "wandb": ("wandb", "export --format wandb"),
}
"""Extras with the distribution that each brings, and what it is for."""

LOGITS: Final = (3.83845, 2.38659, 2.45322, -4.93498, 2.58131, -4.00845, 4.29594, -2.61771, 1.2519, -3.67397)
"""What the bundled model answers to a ramp of 64 greys from 0 to 1, on a CPU in float32."""

TOLERANCE: Final = 0.01
"""How far a device may be off: TF32 and other kernels round differently, a broken one is off by more."""

_THREAD_WORDS: Final = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "CUDA_VISIBLE_DEVICES")


@dataclass(frozen=True, kw_only=True)
class Extra:
    """An optional library.

    Args:
        name: the extra's.
        purpose: what it is for.
        version: empty where it is not installed.
    """

    name: str
    purpose: str
    version: str


@dataclass(frozen=True, kw_only=True)
class Device:
    """Something that computes.

    Args:
        name: as `--device` calls it.
        hardware: what it is.
        free: bytes of memory that a run may still take.
        error: the largest difference from the bundled model's known logits; None where it failed.
        seconds: that the self test took.
        failure: why it failed.
    """

    name: str
    hardware: str
    free: int
    error: float | None
    seconds: float
    failure: str = ""

    @property
    def holds(self) -> bool:
        """Whether the bundled model gives its known logits there."""
        return self.error is not None and self.error <= TOLERANCE


@dataclass(frozen=True, kw_only=True)
class Checkup:
    """What a look has found.

    Args:
        versions: of advbench, Python and what touches numbers.
        commits: of advbench, where it runs from a checkout.
        platform: the operating system.
        threads: of torch, cores, and what the environment says about them.
        devices: what computes, with a self test on each.
        extras: optional libraries.
        data_root: where data sets are looked for.
        folders: what lies there; None where the folder does not exist.
        settings_file: which holds in this folder, or what is wrong with it; empty where there is none.
    """

    versions: Mapping[str, str]
    commits: Mapping[str, str]
    platform: str
    threads: Mapping[str, str]
    devices: tuple[Device, ...]
    extras: tuple[Extra, ...]
    data_root: str
    folders: tuple[str, ...] | None
    settings_file: str = ""

    @property
    def holds(self) -> bool:
        """Whether every device computes what it should."""
        return all(device.holds for device in self.devices)

    def record(self) -> dict[str, Any]:
        """The same as plain data."""
        return {**asdict(self), "holds": self.holds}


def look(settings: DoctorSettings) -> Checkup:
    """Look at the installation and test each device; nothing is written or sent."""
    root = settings.data_root
    there = root.is_dir()
    extras = [Extra(name=name, purpose=what, version=_version(of)) for name, (of, what) in EXTRAS.items()]
    return Checkup(
        versions={**versions(), "torch": torch.__version__},  # with its build: +cpu, +cu132
        commits={name: commit for name, commit in commits().items() if name == "advbench"},
        platform=platform.platform(),
        threads={
            "torch": str(torch.get_num_threads()),
            "cores": str(os.cpu_count() or ""),
            **{name: os.environ[name] for name in _THREAD_WORDS if name in os.environ},
        },
        devices=tuple(map(_tested, _devices())),
        extras=tuple(extras),
        data_root=str(root),
        folders=tuple(sorted(path.name for path in root.iterdir() if path.is_dir())) if there else None,
        settings_file=_settings_file(),
    )


def _settings_file() -> str:
    """The project's defaults: their file, and the tables that it has."""
    try:
        file = project_file_here()
    except InputError as error:
        return f"WRONG: {error}"
    if file is None:
        return ""
    tables = ", ".join(map(file.table, file.tables))
    return f"{file.path} with {tables or 'no table'}, SHA-256 {file.digest[:16]}"


def _version(distribution: str) -> str:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _devices() -> list[torch.device]:
    devices = [torch.device("cpu")]
    devices += [torch.device("cuda", number) for number in range(torch.cuda.device_count())]
    return [*devices, torch.device("mps")] if torch.backends.mps.is_available() else devices


def _tested(device: torch.device) -> Device:
    """The self test: what the bundled model answers there."""
    began, error, failure = time.perf_counter(), None, ""
    try:
        error = _largest_error(device)
        if error > TOLERANCE:
            failure = f"the bundled model's logits are off by {error:.3g}"
    except RuntimeError as reason:  # a driver that does not fit, a device without memory
        failure = str(reason).splitlines()[0] if str(reason) else type(reason).__name__
    seconds = time.perf_counter() - began
    return Device(
        name=str(device),
        hardware=_hardware(device),
        free=available_memory(device),
        error=error,
        seconds=seconds,
        failure=failure,
    )


def _largest_error(device: torch.device) -> float:
    model = DigitsCNN()
    weights = bundled_weights(parse_spec("digits-cnn"))
    assert weights is not None  # they are part of the package
    model.load_state_dict(load_file(weights))
    ramp = (torch.arange(64) / 63).reshape(1, 1, 8, 8)
    with torch.no_grad():
        logits = model.eval().to(device)(ramp.to(device))[0].cpu()
    error = float((logits - torch.tensor(LOGITS)).abs().max())
    return float("inf") if math.isnan(error) else error


def _hardware(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return platform.processor() or platform.machine()
