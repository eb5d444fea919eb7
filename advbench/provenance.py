"""What a result depends on besides its settings: versions and the machine."""

import importlib.metadata
import platform
from typing import Any

import torch

import advbench

PACKAGES = ("torch", "torchvision", "numpy", "pandas", "pyarrow", "safetensors", "scikit-learn")


def versions() -> dict[str, str]:
    """Versions of advbench, Python and the packages that touch the numbers."""
    return {
        "advbench": advbench.__version__,
        "python": platform.python_version(),
        **{name: importlib.metadata.version(name) for name in PACKAGES},
    }


def machine(device: torch.device) -> dict[str, Any]:
    """The device that computed, and how it was set up."""
    name = (
        torch.cuda.get_device_name(device)
        if device.type == "cuda"
        else platform.processor() or platform.machine()
    )
    return {
        "device": str(device),
        "name": name,
        "platform": platform.platform(),
        "threads": torch.get_num_threads(),
        "dtype": "float32",
    }
