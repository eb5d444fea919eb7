"""One forward and one input-only backward pass, and how long they take."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor, nn

from advbench.defended.clips import clipped_from_inside
from advbench.defended.loss_scale import scaled_gradient
from advbench.defended.model import DefendedModel
from advbench.defended.own_precision import underflows
from advbench.errors import AdvbenchError, ModelError, first_line, ran_out_of_memory

Model = Callable[[Tensor], Tensor]
Loss = Callable[[Tensor, slice], Tensor]


class Ascent(NamedTuple):
    """What one gradient pass tells: logits `(n, k)`, loss `(n,)`, gradient `(n, c, h, w)`."""

    logits: Tensor
    loss: Tensor
    grad: Tensor


def loss_and_gradient(model: Model, x: Tensor, loss: Loss) -> Ascent:
    """Logits, loss and the loss's gradient at `x`.

    Only the input's gradient is computed, in the pieces that a defended model asks for, so that memory does
    not grow with the batch. Where the model gives none (a defense that cuts the graph), it
    is zero, which is what an attack that follows it would see. Through float16 the loss is scaled
    (`advbench.defended.loss_scale`). At the bounds of a clip it is that from inside
    (`advbench.defended.clips`). Behind a random defense all three are means over its draws: the expectation
    over transformation of Athalye, Engstrom, Ilyas, Kwok 2018, section 2.

    Args:
        model: pixels `(n, c, h, w)` to logits `(n, k)`.
        x: where to differentiate.
        loss: logits `(m, k)` of a piece of the batch to one number an image, `(m,)`; it is told which
            piece.

    Raises:
        ModelError: a model that computes logits, but none where a gradient is taken.
    """
    if isinstance(model, DefendedModel):
        pieces = model.pieces(len(x))
        seen = [model.draws()] if len(pieces) == 1 else [model.showing(piece).draws() for piece in pieces]
        scaled = model.underflows
    else:
        network = model if isinstance(model, nn.Module) else None
        scaled = network is not None and underflows(network)
        pieces, seen = [slice(0, len(x))], [[partial(clipped_from_inside, model, network=network)]]
    ascents = [
        _joined(
            [
                _one_piece(draw, x, loss, piece, scaled=scaled)
                for draw, piece in zip(draws, pieces, strict=True)
            ],
            torch.cat,
        )
        for draws in zip(*seen, strict=True)
    ]
    return _joined(ascents, lambda tensors: torch.stack(tensors).mean(0))


def _joined(ascents: list[Ascent], join: Callable[[list[Tensor]], Tensor]) -> Ascent:
    return (
        ascents[0]
        if len(ascents) == 1
        else Ascent(*(join(list(pieces)) for pieces in zip(*ascents, strict=True)))
    )


@torch.enable_grad()
def _one_piece(model: Model, x: Tensor, loss: Loss, piece: slice, *, scaled: bool) -> Ascent:
    x = x[piece].detach().requires_grad_()
    with _refusal_named(model, x):
        logits = model(x)
        losses = loss(logits, piece)
        grad = None
        if losses.requires_grad:
            if scaled:
                grad = scaled_gradient(losses, logits, x)
            else:
                (grad,) = torch.autograd.grad(losses.sum(), x, allow_unused=True)
    return Ascent(logits.detach(), losses.detach(), torch.zeros_like(x) if grad is None else grad)


@contextmanager
def _refusal_named(model: Model, x: Tensor) -> Iterator[None]:
    """Tell an error of a model that cannot be differentiated (NumPy inside) from one that always fails."""
    try:
        yield
    except Exception as error:  # the model's code may raise anything
        if isinstance(error, AdvbenchError) or ran_out_of_memory(error) or not _runs(model, x):
            raise
        reason = f"{type(error).__name__}: {first_line(error).rstrip('.')}"
        raise ModelError(
            f"the model fails where a gradient is taken ({reason}). Mend that, or attack "
            "without gradients (--attack square), or along another model (--surrogate distill)."
        ) from error


@torch.no_grad()
def _runs(model: Model, x: Tensor) -> bool:
    try:
        model(x.detach())
    except Exception:  # as above
        return False
    return True


@torch.enable_grad()
def seconds_a_gradient(model: nn.Module, x: Tensor, clock: Callable[[], float] = time.perf_counter) -> float:
    """How long a forward pass and a backward pass to the pixels take.

    Args:
        model: pixels `(n, c, h, w)` to logits `(n, k)`, parameters frozen.
        x: images on the model's device.
        clock: that is read before and after, in seconds.
    """
    began = clock()
    x = x.detach().requires_grad_()
    logits = clipped_from_inside(model, x, model)
    if logits.requires_grad:
        torch.autograd.grad(logits.float().logsumexp(1).sum(), x, allow_unused=True)
    if x.device.type != "cpu":
        torch.accelerator.synchronize(x.device)
    return clock() - began
