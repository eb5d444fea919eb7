"""Networks in float16, bfloat16 or float64, given images in float32, and judged in their own precision."""

from collections import Counter
from typing import Any, Final

import torch
from torch import Tensor, nn

from advbench.defended.left_as_found import prepared
from advbench.errors import ModelError, first_line, printable, ran_out_of_memory

HALVES: Final = (torch.float16, torch.bfloat16)
"""What has 16 bits."""


class InOwnPrecision(nn.Module):
    """A network that computes as it is, between images and logits in float32.

    Args:
        network: images of its own type to logits.
        dtype: of the images that it takes.
    """

    def __init__(self, network: nn.Module, dtype: torch.dtype) -> None:
        super().__init__()
        self.network = network
        self.dtype = dtype

    def forward(self, x: Tensor) -> Any:
        """What the network returns for images `(n, c, h, w)`; a tensor in float32."""
        output: Any = self.network(x.to(self.dtype))
        return in_float32(output) if isinstance(output, Tensor) else output


def in_float32(logits: Tensor) -> Tensor:
    """Floating-point numbers in float32; everything else as it is."""
    return logits.float() if logits.is_floating_point() else logits


def own_precision(model: nn.Module) -> str:
    """The types of a model's numbers where it has others than float32: `float16`; empty where it has none."""
    types = Counter(
        parameter.dtype
        for parameter in model.parameters()
        if parameter.is_floating_point() and parameter.dtype != torch.float32
    )
    return ", ".join(str(dtype).removeprefix("torch.") for dtype, _ in types.most_common())


def underflows(model: nn.Module) -> bool:
    """Whether gradients pass a part in float16, in which all below 6e-8 is zero."""
    return any(parameter.dtype == torch.float16 for parameter in model.parameters())


def keeps_precision(model: nn.Module) -> bool:
    """Whether a model, or a part of it, is behind `InOwnPrecision`."""
    return any(isinstance(module, InOwnPrecision) for module in model.modules())


def in_own_precision(network: nn.Module, x: Tensor) -> nn.Module:
    """A network that takes images in float32; itself where its parameters are in float32 anyway.

    Images are handed over in float32 where the network takes them so, since it then casts them where it wants
    to; else in the type of its parameters. It is called on a few images, once or twice.

    Args:
        network: in any floating-point type.
        x: images as it takes them, but for their type, `(n, c, h, w)`.

    Raises:
        ModelError: it takes images in neither.
    """
    types = own_precision(network)
    if not types or keeps_precision(network):
        return network
    devices = [x.device] if x.device.type == "cuda" else []
    reason = ""
    for dtype in (torch.float32, *(getattr(torch, name) for name in types.split(", "))):
        wrapped = InOwnPrecision(network, dtype)
        with prepared(network), torch.no_grad(), torch.random.fork_rng(devices=devices):
            try:
                wrapped(x)
            except Exception as error:  # the user's network may raise anything
                if ran_out_of_memory(error):
                    raise
                reason = f"{type(error).__name__}: {printable(first_line(error)).rstrip('.')}"
                continue
        return wrapped
    raise ModelError(
        f"the model is in {types}, and fails on {x.device.type} with images of shape {tuple(x.shape[1:])} in "
        f"float32 and in {types} ({reason}). Where the device cannot compute so, call model.float()."
    )
