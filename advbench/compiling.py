"""Models through `torch.compile`, which are used where they compute the same, sooner."""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx

from advbench.counting import CountedModel
from advbench.errors import first_line, printable
from advbench.gradient import loss_and_gradient, seconds_a_gradient
from advbench.working_copy import AGREE_ROUGHLY, parts_apart

_ALONG: Final = 0.9  # the cosine between gradients that are the same but for rounding


def compiled(model: nn.Module, x: Tensor, note: Callable[[str], None]) -> nn.Module | None:
    """The model through `torch.compile`, on CUDA as CUDA graphs, for batches of one size.

    Args:
        model: pixels `(n, c, h, w)` to logits `(n, k)`, in evaluation mode with frozen parameters.
        x: a batch of that size.
        note: is told in a sentence why there is none.

    Returns:
        None where it cannot be compiled, gives other logits or gradients, or is no faster.
    """
    try:
        made = compiled_for(x.device, model)
        apart, cosine = _agreement(model, made, x)
        before, after = (min(seconds_a_gradient(each, x) for _ in range(3)) for each in (model, made))
    except Exception as error:  # a compiler may raise anything
        note(f"not compiled: {type(error).__name__}: {printable(first_line(error))}")
        return None
    if not apart <= AGREE_ROUGHLY:
        note(f"not compiled: it gives other logits (by {apart:.1e} of the largest)")
        return None
    if not cosine >= _ALONG:
        note(f"not compiled: it gives other gradients (cosine {cosine:.2f})")
        return None
    if after > before:
        note(f"not compiled: a step would take {after / before:.2f} of the time that it takes now")
        return None
    note(f"compiled: a step takes {after / before:.2f} of the time that it took")
    return made


def compiled_for(device: torch.device, model: nn.Module) -> nn.Module:
    """What `torch.compile` makes of a model for a device: on CUDA graphs, whose results are copied."""
    if isinstance(model, CountedModel):  # counting is no part of what is compiled
        return CountedModel(compiled_for(device, model.model), model.shown)
    graphs = device.type == "cuda"
    made: Any = torch.compile(model, dynamic=False, mode="reduce-overhead" if graphs else None)
    return OwnResults(made) if graphs else made


class OwnResults(nn.Module):
    """A model whose logits and gradients lie in memory of their own.

    A CUDA graph writes its results to the same places at each call, over those of the call before.

    Args:
        model: pixels `(n, c, h, w)` to logits `(n, k)`.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        """Logits, `(n, k)`."""
        logits: Tensor = self.model(_OwnGradient.apply(x))
        return logits.clone()


class _OwnGradient(torch.autograd.Function):
    """The same pixels, whose gradient is copied."""

    @staticmethod
    def forward(_ctx: FunctionCtx, x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(_ctx: Any, *grads: Any) -> Any:
        return grads[0].clone()


class _Agreement(NamedTuple):
    """How far two models agree."""

    apart: float
    """The largest difference of their logits, in parts of the largest."""
    cosine: float
    """Between the gradients of a batch; bfloat16's single entries are rough, but not their direction."""


def _agreement(model: nn.Module, made: nn.Module, x: Tensor) -> _Agreement:
    """How far logits and gradients are the model's, once they were all made.

    Results of the first call are looked at after the second, as an attack looks at those of its draws and
    pieces, so that memory which both share is noticed.
    """
    batches = (x, 1.0 - x)
    meant = [loss_and_gradient(model, each, _soft_maximum) for each in batches]
    found = [loss_and_gradient(made, each, _soft_maximum) for each in batches]
    pairs = list(zip(meant, found, strict=True))
    apart = [parts_apart(one.logits, other.logits) for one, other in pairs]
    cosines = [
        float(F.cosine_similarity(one.grad.flatten(), other.grad.flatten(), dim=0)) for one, other in pairs
    ]
    return _Agreement(float(np.max(apart)), float(np.min(cosines)))  # NaN where one is


def _soft_maximum(logits: Tensor, _piece: slice) -> Tensor:
    return logits.float().logsumexp(1)
