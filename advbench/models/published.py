"""What published weights were trained with, known by the weights: an architecture does not say it."""

import hashlib
from collections.abc import Mapping
from typing import Final

import torch
from torch import nn

from advbench.models.registry import IMAGENET, PIXELS, Normalization

_WEIGHTS: Final[Mapping[str, Normalization]] = {
    "50b4df2035dc8810": PIXELS,  # advertorch, mnist_lenet5_clntrained.pt
    "3bd1d55319ee1812": PIXELS,  # advertorch, mnist_lenet5_advtrained.pt
    "bb7e61c258999630": IMAGENET,  # pytorch_resnet_cifar10, resnet20-12fca82f.th
}
"""By the first digits of `weights_digest`, so that weights which were saved anew are known too."""

_FILES: Final[Mapping[str, Normalization]] = {
    "d509ac18": IMAGENET,  # pytorch_resnet_cifar10, resnet32
    "014dd654": IMAGENET,  # resnet44
    "4bfd9763": IMAGENET,  # resnet56
}
"""By the first digits of the file's SHA-256, which its publisher has put into its name."""


_DIGITS: Final = 8
"""So many digits of a file's SHA-256 tell it from all others."""


def weights_digest(network: nn.Module) -> str:
    """SHA-256 of a network's parameters and buffers in float32, in hexadecimal, whatever their file."""
    digest = hashlib.sha256()
    for name, value in sorted(network.state_dict().items()):
        if not name.endswith("num_batches_tracked"):
            plain = value.detach().to("cpu", torch.float32).contiguous()
            digest.update(name.encode() + plain.numpy().tobytes())
    return digest.hexdigest()


def of_built_in(network: nn.Module, file_sha256: str) -> Normalization | None:
    """What the weights of a built-in model need; None where they are nobody's that is known here.

    Args:
        network: with its weights.
        file_sha256: of the file that they came in, in hexadecimal.
    """
    return _FILES.get(file_sha256[:8]) or _WEIGHTS.get(weights_digest(network)[:16])


def of_torchvision(name: str, file_sha256: str) -> Normalization | None:
    """What weights that torchvision publishes need; None for others.

    Their addresses end in the first 8 or 10 digits of the file's SHA-256: `resnet50-0676ba61.pth`.
    """
    import torchvision.models  # noqa: PLC0415  # a second to import

    for weights in torchvision.models.get_model_weights(name):
        tag = weights.url.rpartition("-")[2].removesuffix(".pth")
        if len(tag) >= _DIGITS and file_sha256.startswith(tag):
            preset = weights.transforms()
            return Normalization(tuple(preset.mean), tuple(preset.std))
    return None
