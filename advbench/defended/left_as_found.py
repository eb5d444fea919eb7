"""Leave a model as it was found."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Final

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


@dataclass
class _Held:
    """An attribute that somebody has switched off, what it was before, and how many want it off."""

    before: bool
    holders: int = 0


_held: Final[dict[tuple[int, str], _Held]] = {}
"""By the object's id, which holds as long as whoever switched it off keeps the object, and the attribute."""

_lock: Final = threading.Lock()


@contextmanager
def _switched_off(things: Sequence[nn.Module | nn.Parameter], attribute: str) -> Iterator[None]:
    """Set an attribute to False, until the last of several threads that want it so has done its work.

    The first of two threads to end would otherwise bring dropout back into the other one's model.
    """
    with _lock:
        for thing in things:
            held = _held.setdefault((id(thing), attribute), _Held(getattr(thing, attribute)))
            held.holders += 1
            setattr(thing, attribute, False)
    try:
        yield
    finally:
        with _lock:
            for thing in things:
                held = _held[id(thing), attribute]
                held.holders -= 1
                if held.holders == 0:
                    setattr(thing, attribute, _held.pop((id(thing), attribute)).before)


@contextmanager
def prepared(*models: nn.Module) -> Iterator[None]:
    """Put models into evaluation mode with frozen parameters, and restore everything afterwards.

    Frozen parameters make the backward pass compute the input's gradient alone. Restored are every
    module's mode, every parameter's `requires_grad`, and every buffer with its contents.
    """
    modules = list(nn.ModuleList(models).modules())[1:]
    parameters = list(
        {
            id(parameter): parameter for module in modules for parameter in module.parameters(recurse=False)
        }.values()
    )
    buffers = [
        (module, name, buffer, buffer.detach().clone())
        for module in modules
        for name, buffer in module.named_buffers(recurse=False)
    ]
    try:
        with _switched_off(modules, "training"), _switched_off(parameters, "requires_grad"):
            yield
    finally:
        with torch.no_grad():
            for module, name, buffer, contents in buffers:
                module._buffers[name] = buffer.copy_(contents)
