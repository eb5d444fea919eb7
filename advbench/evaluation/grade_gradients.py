"""How good a substitute's gradients are: what they foretell, and what a short attack along them leaves."""

from collections.abc import Iterator
from typing import Final, NamedTuple

import torch
from torch import Tensor

from advbench.defended.gradient import Ascent, loss_and_gradient
from advbench.defended.model import DefendedModel
from advbench.draws.draws import Draws
from advbench.threat.judge import fooled, predict
from advbench.threat.losses import margin
from advbench.threat.threat import Threat

DIRECTIONS: Final = 16
"""Random directions along which the defended loss is measured."""

STEPS: Final = 10
"""Of the short attack."""


_LARGEST: Final = 1e30
"""An entry of a gradient that is infinite, so that no sum of them is."""


class Graded(NamedTuple):
    """A batch of calibration images."""

    right: list[int]
    """Indices of those that the defended model gets right."""
    standing: list[int]
    """Of these, those that a short attack left."""
    products: tuple[float, float, float]
    """Sums over images and directions of `d p`, `d d` and `p p`, with `d` the loss's differences and `p` what
    the gradient foretells."""


def grade_batch(
    model: DefendedModel,
    images: tuple[Tensor, Tensor],
    threat: Threat,
    draws: Draws,
    known: dict[int, Tensor],
) -> Graded:
    """Grade the gradients of a model behind a substitute.

    The loss is the margin, which does not saturate.

    Args:
        model: the defended model, with the substitute in its backward pass.
        images: clean images `(n, c, h, w)` and labels `(n,)`.
        threat: what an attack may do.
        draws: the images' streams, for the directions.
        known: the differences of images that were measured before, by index; they do not depend on the
            substitute, and new ones are added.
    """
    x, y = images
    indices = draws.indices.tolist()
    logits, _, grad = _ascent(model, x, y)
    right = predict(logits) == y
    if any(index not in known for index in indices):
        measured = true_differences(model, images, threat, draws)
        known.update(zip(indices, measured.double().cpu(), strict=True))
    d = torch.stack([known[index] for index in indices])[right.cpu()]
    p = foretold_differences(grad, x, threat, draws).double().cpu()[right.cpu()]
    stood = right & ~_felled(model, (x, y), threat, grad)
    return Graded(
        [index for index, is_right in zip(indices, right.tolist(), strict=True) if is_right],
        [index for index, stands in zip(indices, stood.tolist(), strict=True) if stands],
        (float((d * p).sum()), float((d * d).sum()), float((p * p).sum())),
    )


@torch.no_grad()
def true_differences(
    model: DefendedModel, images: tuple[Tensor, Tensor], threat: Threat, draws: Draws
) -> Tensor:
    """How the defended loss, the margin, changes along random directions, `(n, DIRECTIONS)`.

    `d = L(a) - L(b)` between two points half a radius from the image on opposite sides. The cosine of `d`
    with what a gradient foretells is that of the gradient with a finite-difference estimate, in the space
    that the directions span.

    Args:
        model: the defended model.
        images: clean images `(n, c, h, w)` and labels `(n,)`.
        threat: gives the radius and the shape of the directions.
        draws: the images' streams.
    """
    x, y = images

    def loss(point: Tensor) -> Tensor:
        return torch.stack([margin(draw(point), y) for draw in model.draws()]).mean(0)

    return torch.stack([loss(a) - loss(b) for a, b in _pairs(x, threat, draws)], dim=1)


def foretold_differences(grad: Tensor, x: Tensor, threat: Threat, draws: Draws) -> Tensor:
    """What a gradient `(n, c, h, w)` foretells of these differences, `<grad, a - b>`, `(n, DIRECTIONS)`."""
    grad = grad.clamp(-_LARGEST, _LARGEST)
    return torch.stack([(grad * (a - b)).flatten(1).sum(1) for a, b in _pairs(x, threat, draws)], dim=1)


def _pairs(x: Tensor, threat: Threat, draws: Draws) -> Iterator[tuple[Tensor, Tensor]]:
    return (_pair(x, threat, draws.stream(number)) for number in range(DIRECTIONS))


def _pair(x: Tensor, threat: Threat, draws: Draws) -> tuple[Tensor, Tensor]:
    """Two points on opposite sides of each image, in the ball and the box."""
    u = 0.5 * threat.eps * threat.steepest(draws.normal(tuple(x.shape[1:])).to(x))
    return (x + u).clamp(0.0, 1.0), (x - u).clamp(0.0, 1.0)


def _felled(model: DefendedModel, images: tuple[Tensor, Tensor], threat: Threat, grad: Tensor) -> Tensor:
    """Which images a short projected ascent fools at any of its points, `(n,)` bool."""
    x, y = images
    x_adv, felled = x, torch.zeros_like(y, dtype=torch.bool)
    for step in range(STEPS):
        x_adv = threat.project(x_adv.add(threat.steepest(grad), alpha=2.5 * threat.eps / STEPS), x)
        if step == STEPS - 1:
            with torch.no_grad():
                logits = model(x_adv)
        else:
            logits, _, grad = _ascent(model, x_adv, y)
        felled |= fooled(predict(logits), y)
    return felled


def _ascent(model: DefendedModel, x: Tensor, y: Tensor) -> Ascent:
    """Logits `(n, k)`, the margin and its gradient at `x`, each the mean over a random defense's draws."""
    ascent = loss_and_gradient(model, x, lambda logits, piece: margin(logits, y[piece]))
    return ascent._replace(grad=ascent.grad.nan_to_num())
