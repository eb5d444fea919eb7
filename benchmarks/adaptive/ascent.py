"""What the adaptive attacks share: signed steps in a ball, in plain PyTorch, with nothing of the tool."""

from collections.abc import Callable

import torch
from torch import Tensor

Classifier = Callable[[Tensor], Tensor]
"""Pixels `(n, c, h, w)` to logits `(n, k)`."""


def margin(logits: Tensor, y: Tensor) -> Tensor:
    """The best wrong logit minus the right one, `(n,)`: above 0 where the prediction is wrong."""
    own = torch.zeros_like(logits, dtype=torch.bool).scatter(1, y[:, None], value=True)
    return logits.masked_fill(own, -torch.inf).amax(1) - logits[own]


def targeted(logits: Tensor, y: Tensor, target: Tensor) -> Tensor:
    """The logit of a target minus the right one, `(n,)`."""
    return (logits.gather(1, target[:, None]) - logits.gather(1, y[:, None])).squeeze(1)


def standing(
    loss: Callable[[Tensor], Tensor],
    stands: Callable[[Tensor], Tensor],
    x: Tensor,
    eps: float,
    *,
    steps: int = 100,
    restarts: int = 3,
    look_every: int = 10,
    seed: int = 0,
) -> Tensor:
    """Which images survive an ascent of their loss in the L-inf ball, `(n,)` bool.

    Args:
        loss: of the images, `(n,)`; what the attacker wants to be large.
        stands: whether the defense itself is still right on images, `(n,)` bool; asked on clean images too.
        x: clean images, `(n, c, h, w)` in [0, 1].
        eps: the radius.
        steps: of a size that falls from eps / 2 to nothing along a cosine.
        restarts: from points of the ball's corners.
        look_every: how many steps pass between two looks. A random defense is looked at once a restart
            (`look_every=steps`): whoever looks often enough at a random defense sees it fail.
        seed: of the starts and of whatever the loss and the judge draw.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        left = stands(x)
        for _ in range(restarts):
            x_adv = (x + eps * torch.randn_like(x).sign()).clamp(0, 1)
            for step in range(steps):
                x_adv.requires_grad_()
                (grad,) = torch.autograd.grad(loss(x_adv).sum(), x_adv)
                size = 0.25 * eps * (1 + torch.cos(torch.tensor(torch.pi * step / steps)))
                x_adv = (x_adv.detach() + size * grad.sign()).clamp(x - eps, x + eps).clamp(0, 1)
                if (step + 1) % look_every == 0:
                    left &= stands(x_adv)
    return left


def majority(right: Callable[[], Tensor], draws: int = 21) -> Tensor:
    """Where a random defense is right in more than half of its draws, `(n,)` bool."""
    return torch.stack([right() for _ in range(draws)]).float().mean(0) > 0.5


def always(right: Callable[[], Tensor], draws: int = 10) -> Tensor:
    """Where a random defense is right in each of so many draws, `(n,)` bool."""
    return torch.stack([right() for _ in range(draws)]).all(0)
