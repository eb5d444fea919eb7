"""Whether a copy of a model computes what the model does, seen on images that no earlier pass has shown.

A copy may share a state with its model: `copy.deepcopy` copies what modules hold, but not what functions
close over, globals, or what a weak reference points to. A forward hook of a copy may so fill a dictionary of
the model's, and the copy read what the model was shown before. On images that both were shown that is the
right answer. What reveals it is an order of passes in which the one never was shown last what the other is
asked.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import torch
from torch import Tensor, nn

from advbench.defended.gradient import Ascent, Model, loss_and_gradient

_FEW: Final = 5
_FEWER: Final = 3  # than the images that a copy is made with, and a number of neither's lanes
_NOISE: Final = 0.25  # of what is shown; the rest are images, in another order
_FAINT: Final = 1e-3  # of the largest gradient of a batch: below that, rounding may be all of it


class Tolerance(NamedTuple):
    """How far a copy may be from its model."""

    logits: float
    """The largest difference, in parts of the largest logit."""
    gradient: float
    """The norm of the difference of an image's gradients, in parts of the norm that is meant."""


CLOSELY: Final = Tolerance(1e-4, 0.05)
"""Of the same arithmetic in another order. A sum at the kink of a ReLU may fall to its other side."""

ROUGHLY: Final = Tolerance(0.1, 0.5)
"""Of bfloat16, which keeps 8 bits: its gradients are at most 30 degrees off."""


def fresh_images(x: Tensor, count: int, number: int) -> Tensor:
    """Images like those of `x` that were never shown, `(count, c, h, w)`: mixed with noise, in another order.

    Args:
        x: images in [0, 1], `(n, c, h, w)`.
        count: how many.
        number: of the draw; another one for every look at a model.
    """
    noise = torch.rand((count, *x.shape[1:]), generator=torch.Generator().manual_seed(number))
    rows = torch.arange(count - 1, -1, -1, device=x.device) % len(x)
    return (1.0 - _NOISE) * x[rows] + _NOISE * noise.to(x)


def answers(model: Model, x: Tensor) -> Ascent:
    """What is compared: logits, and the gradient of a sum of them in which no two have the same weight."""
    return loss_and_gradient(model, x, _weighted)


def _weighted(logits: Tensor, _piece: slice) -> Tensor:
    return logits.float() @ torch.arange(1.0, logits.shape[1] + 1.0, device=logits.device).cos()


def disagreement(model: Model, made: Model, x: Tensor, tolerance: Tolerance, number: int) -> str:
    """In what a copy differs from its model; empty where it does not.

    Both are shown two batches of fresh images of sizes of their own, in this order:

        model(a)   made(b)   made(a)   model(b)   model(a)

    A copy that reads what the model has seen last fails on `b`; one whose answer hangs on the images before
    fails on `a`; and where the copy's passes have changed the model, the last one tells.

    Args:
        model: pixels `(n, c, h, w)` to logits `(n, k)`.
        made: what shall compute the same.
        x: images to make fresh ones of.
        tolerance: how far it may be off.
        number: of the look at this model; no two looks use the same images.

    Returns:
        What a copy does, to follow the word "copy".
    """
    a, b = fresh_images(x, _FEW, 2 * number), fresh_images(x, _FEWER, 2 * number + 1)
    before = answers(model, a)
    on_b, on_a = answers(made, b), answers(made, a)
    meant, after = answers(model, b), answers(model, a)
    return differs([(meant, on_b), (before, on_a)], tolerance) or (
        differs([(before, after)], CLOSELY) and "changes what the model itself says"
    )


def differs(pairs: Sequence[tuple[Ascent, Ascent]], tolerance: Tolerance) -> str:
    """In what answers differ from those that are meant, one pair a batch; empty where they do not."""
    apart = max(parts_apart(meant.logits, answer.logits) for meant, answer in pairs)
    if not all(parts_apart(meant.logits, answer.logits) <= tolerance.logits for meant, answer in pairs):
        return f"gives other logits (by {apart:.1e} of the largest)"
    errors = [gradient_error(meant.grad, answer.grad) for meant, answer in pairs]
    if not all(error <= tolerance.gradient for error in errors):  # NaN is no agreement
        return f"gives other gradients (by {max(errors):.1e} of an image's)"
    return ""


def parts_apart(meant: Tensor, answer: Tensor) -> float:
    """The largest difference of two tensors of one shape, in parts of the largest value that is meant."""
    difference = (answer - meant).abs().max()
    return float(difference / meant.abs().max()) if bool(difference > 0.0) else float(difference)


def gradient_error(meant: Tensor, answer: Tensor) -> float:
    """The largest error of an image's gradient, `(n, ...)`, in parts of the norm that is meant."""
    norms = meant.flatten(1).norm(dim=1)
    errors = (answer - meant).flatten(1).norm(dim=1)
    parts = errors / norms.clamp(min=_FAINT * float(norms.max()))
    return float(torch.where(errors == 0.0, errors, parts).max())


def least_change(model: nn.Module, x: Tensor) -> float:
    """How far logits move where pixels move by half a step of float16, in parts of the largest logit."""
    signs = torch.rand(x.shape, generator=torch.Generator().manual_seed(0)).to(x).sub(0.5).sign()
    with torch.no_grad():
        return parts_apart(model(x), model(x * (1.0 + 2.0**-12 * signs)))
