"""Tiny models of timm and transformers with random weights, saved as these libraries save them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

LABELS = ("fox", "cat", "dog")
"""Not in alphabetical order, which is that of folders."""


def timm_or_skip() -> Any:
    return pytest.importorskip("timm", reason="timm is not installed: pip install 'advbench[timm]'")


def transformers_or_skip() -> Any:
    return pytest.importorskip(
        "transformers", reason="transformers is not installed: pip install 'advbench[hf]'"
    )


def timm_folder(folder: Path, **config: Any) -> Any:
    """A ResNet-10 in a folder as timm's hub has it, and itself."""
    timm = timm_or_skip()
    torch.manual_seed(0)
    network = timm.create_model("resnet10t", pretrained=False, num_classes=3).eval()
    folder.mkdir()
    save_file(network.state_dict(), folder / "model.safetensors")
    settings = {
        "input_size": [3, 32, 32],
        "interpolation": "bicubic",
        "crop_pct": 0.875,
        "crop_mode": "center",
        "mean": [0.5, 0.4, 0.3],
        "std": [0.2, 0.25, 0.3],
        **config,
    }
    values = {
        "architecture": "resnet10t",
        "num_classes": 3,
        "label_names": list(LABELS),
        "pretrained_cfg": {name: value for name, value in settings.items() if value is not None},
    }
    (folder / "config.json").write_text(json.dumps(values))
    return network


def transformers_folder(folder: Path, processor: Any = None, **config: Any) -> Any:
    """A ResNet in a folder as `save_pretrained` leaves it, and itself."""
    library = transformers_or_skip()
    torch.manual_seed(0)
    labels = dict(enumerate(LABELS))
    settings = library.ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], id2label=labels, **config
    )
    network = library.ResNetForImageClassification(settings).eval()
    network.save_pretrained(folder)
    made = library.ConvNextImageProcessor(size={"shortest_edge": 32}) if processor is None else processor
    made.save_pretrained(folder)
    return network


def picture(height: int = 60, width: int = 50, seed: int = 0) -> Any:
    """A picture of large patches with hard edges, at which a bicubic filter overshoots."""
    patches = np.random.default_rng(seed).choice([0, 90, 255], (height // 5, width // 5, 3))
    return Image.fromarray(np.kron(patches, np.ones((5, 5, 1))).astype(np.uint8))


def pictures(folder: Path) -> Path:
    """Two pictures a class, a folder a class."""
    for number, name in enumerate(sorted(LABELS)):
        (folder / name).mkdir(parents=True)
        for index in range(2):
            picture(seed=10 * number + index).save(folder / name / f"{index}.png")
    return folder
