"""Leave a model as it was found."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


@contextmanager
def prepared(model: nn.Module) -> Iterator[None]:
    """Put a model into evaluation mode with frozen parameters, and restore everything afterwards.

    Frozen parameters make the backward pass compute the input's gradient alone. Restored are every
    module's mode, every parameter's `requires_grad`, and every buffer's contents.
    """
    modes = [(module, module.training) for module in model.modules()]
    gradients = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    buffers = [(buffer, buffer.detach().clone()) for buffer in model.buffers()]
    try:
        model.eval()
        for parameter, _ in gradients:
            parameter.requires_grad_(False)
        yield
    finally:
        for module, mode in modes:
            module.training = mode
        for parameter, needed in gradients:
            parameter.requires_grad_(needed)
        with torch.no_grad():
            for buffer, contents in buffers:
                buffer.copy_(contents)
