"""Weights that come with the package, written with a model card beside them."""

from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import nn

import advbench
from advbench.files import sha256
from advbench.results.records import Rate


def write_with_card(network: nn.Module, path: Path, template: str, rate: Rate, **facts: Any) -> str:
    """Write the weights (`.safetensors`) and their card (`.md`); returns the card.

    Args:
        network: whose weights.
        path: where.
        template: of the card, with a field for each fact.
        rate: how many test images are right.
        facts: what else the template asks for.
    """
    safetensors.torch.save_file(network.state_dict(), path)
    path.chmod(0o644)  # the library writes it for its owner alone
    card = template.format(
        file=path.name,
        size=path.stat().st_size / 1000,
        digest=sha256(path),
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        accuracy=rate.accuracy,
        count=rate.count,
        n=rate.n,
        low=rate.interval.low,
        high=rate.interval.high,
        torch=torch.__version__.partition("+")[0],
        advbench=advbench.__version__,
        **facts,
    )
    path.with_suffix(".md").write_text(card, encoding="utf-8")
    return card
