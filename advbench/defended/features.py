"""What passes a place of a network, as heads are fitted to it."""

import torch
from torch import Tensor, nn

from advbench.defended.left_as_found import prepared
from advbench.defended.model import find_module
from advbench.errors import DefenseError
from advbench.names.grammar import LOGITS

_BATCH = 256


@torch.no_grad()
def features(model: nn.Module, x: Tensor, at: str = LOGITS) -> Tensor:
    """What a head at a place is given of images, `(n, d)`; the model is left as it was.

    Args:
        model: pixels in [0, 1] `(n, c, h, w)` to logits `(n, k)`.
        x: images.
        at: `logits`, or the name of a module.

    Raises:
        DefenseError: no such module, one that returns no tensor, or one that is not called once.
    """
    seen: list[Tensor] = []

    def keep(_module: nn.Module, _inputs: object, output: object) -> None:
        if not isinstance(output, Tensor):
            raise DefenseError(f"module {at!r} returns {type(output).__name__}, not a tensor.")
        seen.append(output.detach().flatten(1).clone())

    module = model if at == LOGITS else find_module(model, at)
    handle = module.register_forward_hook(keep)
    try:
        with prepared(model):
            for part in torch.split(x, _BATCH):
                before = len(seen)
                model(part)
                if len(seen) != before + 1:
                    raise DefenseError(
                        f"the model calls its module {at!r} {len(seen) - before} times, not once."
                    )
    finally:
        handle.remove()
    return torch.cat(seen)
