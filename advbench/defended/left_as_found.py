"""Leave a model as it was found."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import nn


@contextmanager
def in_full_precision() -> Iterator[None]:
    """Switch off the autocast of the caller, under which a table would be one of 16 bits and say float32."""
    with ExitStack() as switched_off:
        for device in ("cpu", "cuda", "mps"):
            if torch.is_autocast_enabled(device):
                switched_off.enter_context(torch.autocast(device, enabled=False))
        yield


@contextmanager
def prepared(*models: nn.Module) -> Iterator[None]:
    """Put models into evaluation mode with frozen parameters, and restore everything afterwards.

    Frozen parameters make the backward pass compute the input's gradient alone. Restored are every
    module's mode, every parameter's `requires_grad`, and every buffer with its contents.
    """
    modules = list(nn.ModuleList(models).modules())[1:]
    modes = [(module, module.training) for module in modules]
    needs = [(each, each.requires_grad) for module in modules for each in module.parameters(recurse=False)]
    buffers = [
        (module, name, buffer, buffer.detach().clone())
        for module in modules
        for name, buffer in module.named_buffers(recurse=False)
    ]
    try:
        for module in modules:
            module.training = False
        for parameter, _ in needs:
            parameter.requires_grad_(False)
        yield
    finally:
        for module, mode in modes:
            module.training = mode
        for parameter, needed in needs:
            parameter.requires_grad_(needed)
        with torch.no_grad():
            for module, name, buffer, contents in buffers:
                module._buffers[name] = buffer.copy_(contents)
