"""The classifiers that can be named on the command line."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Final

from advbench.names.registry import Entry


@dataclass(frozen=True)
class Normalization:
    """Per-channel constants of `(x - mean) / std` on pixels in [0, 1]."""

    mean: tuple[float, ...]
    std: tuple[float, ...]


IMAGENET: Final = Normalization((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
PIXELS: Final = Normalization((0.0,), (1.0,))
"""No normalisation: the network takes pixels."""


@dataclass(frozen=True, kw_only=True)
class ModelEntry(Entry):
    """A classifier that can be named.

    Args:
        normalization: what its published weights were trained with, and so the default.
        weights: a bundled checkpoint, as a file beside the models.
    """

    normalization: Normalization | None = None
    weights: str | None = None


def _resnet(depth: int) -> ModelEntry:
    return ModelEntry(
        factory=f"advbench.models.resnet_cifar:resnet{depth}",
        summary=f"CIFAR ResNet-{depth}, option-A shortcuts",
        source="He et al. 2016, section 4.2",
        normalization=IMAGENET,  # what the weights in circulation (pytorch_resnet_cifar10) were trained with
    )


MODELS: Final[Mapping[str, ModelEntry]] = {
    "digits-cnn": ModelEntry(
        factory="advbench.models.digits_cnn:DigitsCNN",
        summary="small CNN with BatchNorm for 8x8 digits; weights included",
        source="advbench",
        normalization=PIXELS,
        weights="digits-cnn.safetensors",
    ),
    "lenet5": ModelEntry(
        factory="advbench.models.lenet5:LeNet5",
        summary="LeNet5 for MNIST",
        source="advertorch",
        normalization=PIXELS,
    ),
    "resnet20": _resnet(20),
    "resnet32": _resnet(32),
    "resnet44": _resnet(44),
    "resnet56": _resnet(56),
}


@cache
def torchvision_models() -> Mapping[str, ModelEntry]:
    """Every classifier of `torchvision.models`, by its own name."""
    import torchvision.models  # noqa: PLC0415  # a second to import, and most runs name another model

    return {
        name: ModelEntry(
            factory=f"torchvision.models:{name}",
            summary="torchvision",
            source="torchvision.models",
            normalization=IMAGENET,
        )
        for name in torchvision.models.list_models(module=torchvision.models)
    }
