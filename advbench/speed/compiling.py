"""Models through `torch.compile`, which are used where they compute the same, sooner."""

from collections.abc import Callable
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx

from advbench.defended.counting import CountedModel
from advbench.defended.gradient import seconds_a_gradient
from advbench.errors import first_line, printable
from advbench.speed.agreement import CLOSELY, ROUGHLY, answers, differs, fresh_images, least_change

_PART: Final = 0.1  # of the change that a rounding to float16 makes: that of float32 is a thousandth
_LOOK: Final = 11  # fresh images from here on: other looks at copies come before


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
        other = _disagreement(model, made, x)
        before, after = (min(seconds_a_gradient(network, x) for _ in range(3)) for network in (model, made))
    except Exception as error:  # a compiler may raise anything
        note(f"not compiled: {type(error).__name__}: {printable(first_line(error))}")
        return None
    if other:
        note(f"not compiled: it {other}")
        return None
    if after > before:
        note(f"not compiled: a step would take {after / before:.2f} of the time that it takes now")
        return None
    note(f"compiled: a step takes {after / before:.2f} of the time that it took")
    return made


def compiled_for(device: torch.device, model: nn.Module) -> nn.Module:
    """What `torch.compile` makes of a model for a device: on CUDA graphs, whose results are copied.

    Left to itself the compiler drops a round trip through 16 bits, `x.half().float()`, and with it what a
    network or a defense cuts off so.
    """
    if isinstance(model, CountedModel):  # counting is no part of what is compiled
        return CountedModel(compiled_for(device, model.model), model.shown)
    graphs = device.type == "cuda"
    options: dict[str, Any] = {"emulate_precision_casts": True}
    if graphs:  # what the mode "reduce-overhead" stands for; a mode cannot be given beside options
        options["triton.cudagraphs"] = True
    made: Any = torch.compile(model, dynamic=False, options=options)
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


def _disagreement(model: nn.Module, made: nn.Module, x: Tensor) -> str:
    """In what a compiled model differs on fresh images; empty where it does not.

    Results of the first call are looked at after the second, as an attack looks at those of its draws and
    pieces, so that memory which both share is noticed. In float32 logits have to lie so near one another
    that no rounding to 16 bits can have been left out.
    """
    batches = [fresh_images(x, len(x), number) for number in (_LOOK, _LOOK + 1)]
    outputs = [answers(made, batch) for batch in batches]
    meant = [answers(model, batch) for batch in reversed(batches)][::-1]
    pairs = list(zip(meant, outputs, strict=True))
    if any(parameter.dtype == torch.bfloat16 for parameter in model.parameters()):
        return differs(pairs, ROUGHLY)
    nearly = min(CLOSELY.logits, _PART * least_change(model, batches[0]))
    return differs(pairs, CLOSELY._replace(logits=nearly))
