"""How good a substitute's gradients are: what they foretell, and what a short attack along them leaves."""

from typing import Final, NamedTuple

import torch
from torch import Tensor

from advbench.defended import DefendedModel
from advbench.draws import Draws
from advbench.judge import fooled, predict
from advbench.threat import Threat

DIRECTIONS: Final = 16
"""Random directions along which the defended loss is measured."""

STEPS: Final = 10
"""Of the short attack."""


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

    The loss is the margin, `max_{k != y} z_k - z_y`, which does not saturate. The true defended loss is
    compared along random directions, `d = L(a) - L(b)` between two points half a radius from the image on
    opposite sides, with `p = <grad L(x), a - b>`: their cosine is that of the gradient with a
    finite-difference estimate, in the space that the directions span.

    Args:
        model: the defended model, with the substitute in its backward pass.
        images: clean images `(n, c, h, w)` and labels `(n,)`.
        threat: what an attack may do.
        draws: the images' streams, for the directions.
        known: the differences of images that were measured before, by index; they do not depend on the
            substitute, and new ones are added.
    """
    x, y = images
    logits, grad = _ascent(model, x, y)
    right = predict(logits) == y
    indices = draws.indices.tolist()
    pairs = [_pair(x, threat, draws.stream(number)) for number in range(DIRECTIONS)]
    if any(index not in known for index in indices):
        differences = torch.stack([_loss(model, a, y) - _loss(model, b, y) for a, b in pairs], dim=1)
        known.update(zip(indices, differences.double().cpu(), strict=True))
    d = torch.stack([known[index] for index in indices])[right.cpu()]
    p = torch.stack([(grad * (a - b)).flatten(1).sum(1) for a, b in pairs], dim=1).double().cpu()[right.cpu()]
    stood = right & ~_felled(model, (x, y), threat, grad)
    return Graded(
        [index for index, each in zip(indices, right.tolist(), strict=True) if each],
        [index for index, each in zip(indices, stood.tolist(), strict=True) if each],
        (float((d * p).sum()), float((d * d).sum()), float((p * p).sum())),
    )


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
            logits, grad = _ascent(model, x_adv, y)
        felled |= fooled(predict(logits), y)
    return felled


def _ascent(model: DefendedModel, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Logits `(n, k)` and the margin's gradient at `x`, each the mean over a random defense's draws."""
    x = x.detach().requires_grad_()
    found: list[tuple[Tensor, Tensor]] = []
    for draw in model.draws():
        grad = None
        with torch.enable_grad():
            logits = draw(x)
            loss = _margin(logits, y).sum()
            if loss.requires_grad:
                (grad,) = torch.autograd.grad(loss, x, allow_unused=True)
        found.append((logits.detach(), torch.zeros_like(x) if grad is None else grad))
    logits, grad = (torch.stack(each).mean(0) for each in zip(*found, strict=True))
    return logits, grad.nan_to_num()


@torch.no_grad()
def _loss(model: DefendedModel, x: Tensor, y: Tensor) -> Tensor:
    return torch.stack([_margin(draw(x), y) for draw in model.draws()]).mean(0)


def _margin(logits: Tensor, y: Tensor) -> Tensor:
    own = logits.gather(1, y[:, None]).squeeze(1)
    others = logits.scatter(1, y[:, None], -torch.inf)
    return others.amax(1) - own
