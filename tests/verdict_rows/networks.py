"""Networks on the digits that the rows are made of, each trained once a process."""

from collections.abc import Callable
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.gallery import TRAINED_ON, bundled, digits

IMAGES = 60
"""Held-out images that a row is judged on."""


class Steps(nn.Module):
    """One map after another; those that are modules are found by what looks for parameters.

    Args:
        steps: maps on batches.
    """

    def __init__(self, *steps: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.steps = steps
        self.parts = nn.ModuleList(each for each in steps if isinstance(each, nn.Module))

    def forward(self, x: Tensor) -> Tensor:
        """Pixels `(n, c, h, w)` to logits `(n, k)`."""
        for step in self.steps:
            x = step(x)
        return x


class Mean(nn.Module):
    """The mean of what several maps make of several versions of their networks' logits.

    Args:
        networks: pixels to logits.
        behind: what is made of each one's logits.
    """

    def __init__(self, *networks: nn.Module, behind: Callable[[Tensor], Tensor] = torch.clone) -> None:
        super().__init__()
        self.networks, self.behind = nn.ModuleList(networks), behind

    def forward(self, x: Tensor) -> Tensor:
        """Pixels `(n, c, h, w)` to logits `(n, k)`."""
        return torch.stack([self.behind(each(x)) for each in self.networks]).mean(0)


class GroupSort(nn.Module):
    """Sorts pairs of activations, which keeps every norm (Anil, Lucas, Grosse 2019)."""

    def forward(self, x: Tensor) -> Tensor:
        """`(n, 2 d)` to `(n, 2 d)`."""
        return x.view(len(x), -1, 2).sort(dim=2).values.flatten(1)


def mlp() -> nn.Module:
    """Two hidden layers."""
    return nn.Sequential(
        nn.Flatten(), nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU(), nn.Linear(64, 10)
    )


def small_cnn() -> nn.Module:
    """Two convolutions without BatchNorm."""
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(512, 10),
    )


def linear() -> nn.Module:
    """One layer."""
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))


def lipschitz() -> nn.Module:
    """Logits lie no further apart than their images, in L2: orthogonal layers, and pairs that are sorted."""
    layers: list[Any] = [nn.Flatten()]
    for before, behind in ((64, 64), (64, 64)):
        layers += [nn.utils.parametrizations.orthogonal(nn.Linear(before, behind)), GroupSort()]
    layers.append(nn.utils.parametrizations.orthogonal(nn.Linear(64, 10)))
    return nn.Sequential(*layers)


KINDS: dict[str, Callable[[], nn.Module]] = {
    "mlp": mlp,
    "small-cnn": small_cnn,
    "linear": linear,
    "lipschitz": lipschitz,
}


@cache
def network(kind: str, eps: float = 0.0, *, before: Callable[[Tensor], Tensor] = torch.clone) -> nn.Module:
    """A trained network: `bundled` is the package's own, the others are of `KINDS`.

    Args:
        kind: which one.
        eps: radius of adversarial training (Madry et al. 2018), in L-inf; 0 for images as they are.
        before: what it sees images through.
    """
    if kind == "bundled":
        return bundled().eval()
    torch.manual_seed(0)
    model, (x, y) = KINDS[kind](), digits()
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    for _ in range(40):
        for rows in torch.randperm(TRAINED_ON).view(-1, 100):
            images = ascended(model, x[rows], y[rows], eps) if eps else x[rows]
            logits = model(before(images))
            scale = 20.0 if kind == "lipschitz" else 1.0  # a small temperature widens its margins
            loss = F.cross_entropy(scale * logits, y[rows])
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()
    return model.eval()


def ascended(model: nn.Module, x: Tensor, y: Tensor, eps: float) -> Tensor:
    """Images that five steps have made worse."""
    x_adv = x + eps * (2 * torch.rand_like(x) - 1)
    for _ in range(5):
        x_adv = x_adv.detach().requires_grad_()
        (grad,) = torch.autograd.grad(F.cross_entropy(model(x_adv), y), x_adv)
        x_adv = (x_adv + eps / 3 * grad.sign()).clamp(x - eps, x + eps).clamp(0, 1)
    return x_adv.detach()


@cache
def held_out(count: int = IMAGES) -> tuple[Tensor, Tensor]:
    """Images and labels that no network was trained on."""
    x, y = digits()
    return x[TRAINED_ON : TRAINED_ON + count], y[TRAINED_ON : TRAINED_ON + count]


@cache
def training_images(count: int = 600) -> tuple[Tensor, Tensor]:
    """Some of those that they were trained on."""
    x, y = digits()
    return x[:count], y[:count]
