"""A model in the hands of code that is not ours: it counts what it is asked, and keeps itself to itself."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import FunctionCtx

from advbench.defended.attacked_as import showing
from advbench.defended.gradient import Model


class Watched(nn.Module):
    """A model as other libraries want it: a module in evaluation mode, on a device that its parameters tell.

    The model itself is no submodule. Modes, devices and gradients of parameters that a library sets stop
    here. Where the model gives no gradient (a defense that cuts the graph), it is zero, as for attacks of
    our own.

    A forward pass is one query, and a backward pass through it one step, of each image that it was given.
    A batch as long as the clean one holds its images in their order; of any other size (a part of them,
    several candidates an image) each goes to the nearest clean image in L2.

    Args:
        model: pixels `(n, c, h, w)` to logits `(n, k)`.
        x: clean images, `(n, c, h, w)`.
    """

    def __init__(self, model: Model, x: Tensor) -> None:
        super().__init__()
        self._model: tuple[Model, ...] = (model,)
        self._clean = x.detach().flatten(1)
        self.home = nn.Parameter(x.new_zeros(0), requires_grad=False)
        self.steps = torch.zeros(len(x), dtype=torch.int64, device=x.device)
        self.queries = torch.zeros_like(self.steps)
        self._useful = torch.zeros_like(self.steps, dtype=torch.bool)
        self.eval()

    @property
    def flat(self) -> Tensor:
        """Whether gradients were wanted and all were zero, NaN or infinite, `(n,)` bool."""
        return (self.steps > 0) & ~self._useful

    def forward(self, x: Tensor) -> Tensor:
        """Logits, `(m, k)`, on the device of the images `(m, c, h, w)`."""
        asked = x.device
        x = x.to(self._clean)
        rows = self._rows(x.detach())
        self.queries.index_add_(0, rows, torch.ones_like(rows))
        if not (torch.is_grad_enabled() and x.requires_grad):
            return showing(self._model[0], rows)(x).to(asked)
        x = x.view_as(x)  # a tensor of this pass alone, so that the hook hears of no other
        x.register_hook(lambda grad: self._note(rows, grad))  # type: ignore[no-untyped-call]  # torch has no types here
        return _tied(showing(self._model[0], rows)(x), x).to(asked)

    def let_go(self) -> None:
        """Hold the model and the images no longer: torchattacks keeps every model that it was ever given."""
        self._model, self._clean = (), self._clean[:0]

    def _rows(self, x: Tensor) -> Tensor:
        """Which clean image each one belongs to, `(m,)`."""
        if len(x) == len(self._clean):
            return torch.arange(len(x), device=x.device)
        # Left to itself, torch multiplies matrices from 26 rows on, which tells near images wrong distances.
        exact = "donot_use_mm_for_euclid_dist"
        return torch.cdist(x.flatten(1), self._clean, compute_mode=exact).argmin(1)

    def _note(self, rows: Tensor, grad: Tensor) -> None:
        self.steps.index_add_(0, rows, torch.ones_like(rows))
        largest = grad.detach().flatten(1).abs().amax(1)  # NaN if any entry is
        self._useful[rows[largest.isfinite() & (largest > 0.0)]] = True


class _Tied(torch.autograd.Function):
    """Logits that depend on `x` with gradient zero, beside whatever else they depend on."""

    @staticmethod
    def forward(ctx: FunctionCtx, logits: Tensor, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return logits.view_as(logits)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor, Tensor]:
        (x,) = ctx.saved_tensors
        return grads[0], torch.zeros_like(x)


def _tied(logits: Tensor, x: Tensor) -> Tensor:
    tied: Tensor = _Tied.apply(logits, x)
    return tied
