"""What is known of a row, by a bound or by an attack that shares no code with the package's."""

from collections.abc import Callable

import torch
from torch import Tensor, nn

Scores = Callable[[Tensor], Tensor]
"""Pixels `(n, c, h, w)` to a score a class `(n, k)`, to be differentiated."""


def left_by_own_attack(
    judge: Scores, surrogate: Scores, images: tuple[Tensor, Tensor], eps: float, *, steps: int = 60
) -> int:
    """How many images stand after an ascent along a surrogate that the row's author has written for it.

    Signed steps up the margin of the surrogate's scores from the image and from two random points, each
    iterate shown to the classifier itself.

    Args:
        judge: the defended classifier.
        surrogate: smooth scores that know what it does.
        images: `(n, c, h, w)` in [0, 1], and labels.
        eps: radius in L-inf.
        steps: from each start.
    """
    (x, y), generator = images, torch.Generator().manual_seed(1)
    standing = torch.ones(len(x), dtype=torch.bool)
    for start in range(3):
        noise = eps * (2 * torch.rand(x.shape, generator=generator) - 1) if start else torch.zeros_like(x)
        x_adv = (x + noise).clamp(0, 1)
        for step in range(steps + 1):
            with torch.no_grad():
                standing &= judge(x_adv).argmax(1) == y
            size = eps / 4 if step < steps // 2 else eps / 20
            x_adv = (x_adv + size * _ascent(surrogate, x_adv, y).sign()).clamp(x - eps, x + eps).clamp(0, 1)
    return int(standing.sum())


def _ascent(surrogate: Scores, x: Tensor, y: Tensor) -> Tensor:
    x = x.detach().requires_grad_()
    scores = surrogate(x)
    own = scores.gather(1, y[:, None]).squeeze(1)
    rival = scores.scatter(1, y[:, None], -torch.inf).amax(1)
    (grad,) = torch.autograd.grad((rival - own).sum(), x)
    return grad.nan_to_num()


def provable_of_linear(model: nn.Module, images: tuple[Tensor, Tensor], eps: float) -> int:
    """How many images a linear classifier keeps within `eps` in L-inf, at least.

    `z_y - z_j` falls by at most `eps ||w_y - w_j||_1`.
    """
    layer = next(each for each in model.modules() if isinstance(each, nn.Linear))
    x, y = images
    with torch.no_grad():
        logits = layer(x.flatten(1))
        gap = logits.gather(1, y[:, None]) - logits
        reach = eps * (layer.weight[y][:, None] - layer.weight[None]).abs().sum(2)
        safe = (gap > reach) | (torch.arange(logits.shape[1]) == y[:, None])
    return int(safe.all(1).sum())


def provable_of_lipschitz(model: nn.Module, images: tuple[Tensor, Tensor], eps: float) -> int:
    """How many images a 1-Lipschitz classifier keeps within `eps` in L2: a margin above `sqrt(2) eps`."""
    x, y = images
    with torch.no_grad():
        logits = model(x)
        gap = logits.gather(1, y[:, None]) - logits.scatter(1, y[:, None], -torch.inf).amax(1, keepdim=True)
    return int((gap.squeeze(1) > 2**0.5 * eps).sum())
