"""The points at which libraries are compared: a network, its images, an attack and its settings."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

import advbench as ab
from advbench import Threat

ROBUST = Path(__file__).with_name("weights") / "robust-resnet20.safetensors"
AttackName = Literal["pgd", "apgd", "square", "autoattack"]

_CANDIDATES = 4  # images looked at for each that is taken, since some are misclassified
_QUERIES = 50  # AutoAttack: queries of Square a gradient step of the others
CHUNK = 256
"""Images at a time where nothing is measured."""


@dataclass(frozen=True, kw_only=True)
class Work:
    """An attack with what every library is told alike: one restart, a random start, an L-inf ball.

    Args:
        attack: `pgd`, `apgd` (on cross-entropy), `square`, or `autoattack` (standard).
        eps: the radius, as the command line reads it.
        steps: gradient steps; of `square` queries.
    """

    attack: AttackName
    eps: str
    steps: int

    @property
    def threat(self) -> Threat:
        """The ball."""
        return Threat.parse("linf", self.eps)

    @property
    def step_size(self) -> float:
        """PGD's step, in pixel units."""
        return 2.5 * self.threat.eps / self.steps

    @property
    def queries(self) -> int:
        """Square's queries, also where it is a part of AutoAttack."""
        return self.steps if self.attack == "square" else _QUERIES * self.steps

    def short(self) -> "Work":
        """A part that is enough to tell which batch size is the best."""
        attack = "apgd" if self.attack == "autoattack" else self.attack
        return replace(self, attack=attack, steps=min(self.steps, 20 if attack == "square" else 2))


@dataclass(frozen=True, kw_only=True)
class Point:
    """One comparison.

    Args:
        name: on the command line.
        title: in the table, with a place for the number of steps.
        source: the key of its network and its data in `sources`.
        work: the attack.
        images: how many by default.
        default: whether it runs where no points are named.
    """

    name: str
    title: str
    source: str
    work: Work
    images: int
    default: bool = True


class Source(NamedTuple):
    """Where a network and its data are; the digits come with the package."""

    model: str
    dataset: str
    checkpoint: Path | None = None
    data: Path = Path("data")


class Case(NamedTuple):
    """A network, and images that it classifies correctly, on the CPU."""

    model: nn.Module
    x: Tensor
    y: Tensor
    device: torch.device


_CIFAR, _MNIST, _DIGITS = "8/255", "0.3", "0.1"
POINTS = (
    Point(
        name="cifar-pgd",
        title="PGD, {steps} steps, ResNet-20, CIFAR-10, 8/255",
        source="cifar",
        work=Work(attack="pgd", eps=_CIFAR, steps=20),
        images=256,
    ),
    Point(
        name="robust-pgd",
        title="PGD, {steps} steps, robust ResNet-20, CIFAR-10, 8/255",
        source="robust",
        work=Work(attack="pgd", eps=_CIFAR, steps=20),
        images=256,
    ),
    Point(
        name="mnist-pgd",
        title="PGD, {steps} steps, robust LeNet5, MNIST, 0.3",
        source="mnist",
        work=Work(attack="pgd", eps=_MNIST, steps=40),
        images=256,
    ),
    Point(
        name="robust-apgd",
        title="APGD-CE, {steps} steps, robust ResNet-20, CIFAR-10, 8/255",
        source="robust",
        work=Work(attack="apgd", eps=_CIFAR, steps=100),
        images=32,
    ),
    Point(
        name="robust-square",
        title="Square, {steps:,} queries, robust ResNet-20, CIFAR-10, 8/255",
        source="robust",
        work=Work(attack="square", eps=_CIFAR, steps=1000),
        images=24,
    ),
    Point(
        name="robust-autoattack",
        title="AutoAttack, standard, {steps} steps, robust ResNet-20, CIFAR-10, 8/255",
        source="robust",
        work=Work(attack="autoattack", eps=_CIFAR, steps=100),
        images=256,
        default=False,
    ),
    Point(
        name="digits-pgd",
        title="PGD, {steps} steps, small CNN, digits, 0.1",
        source="digits",
        work=Work(attack="pgd", eps=_DIGITS, steps=20),
        images=256,
    ),
    Point(
        name="digits-apgd",
        title="APGD-CE, {steps} steps, small CNN, digits, 0.1",
        source="digits",
        work=Work(attack="apgd", eps=_DIGITS, steps=100),
        images=256,
    ),
    Point(
        name="digits-square",
        title="Square, {steps:,} queries, small CNN, digits, 0.1",
        source="digits",
        work=Work(attack="square", eps=_DIGITS, steps=1000),
        images=256,
    ),
    Point(
        name="digits-autoattack",
        title="AutoAttack, standard, {steps} steps, small CNN, digits, 0.1",
        source="digits",
        work=Work(attack="autoattack", eps=_DIGITS, steps=100),
        images=256,
        default=False,
    ),
)


def case_of(point: Point, source: Source, device: str) -> Case:
    """The network, and a seeded sample of as equal a share of every class as it classifies correctly.

    Args:
        point: what is compared.
        source: where its network and its data are.
        device: as on the command line.

    Raises:
        InputError: a file that cannot be used, in one line.
    """
    model = ab.load_model(
        source.model, checkpoint=source.checkpoint, data=source.dataset, data_root=source.data, device=device
    )
    images = ab.load_data(source.dataset, data_root=source.data, limit=_CANDIDATES * point.images)
    x, y = _stacked(images)
    home = next(model.parameters()).device
    with torch.no_grad():
        right = torch.cat([model(part.to(home)).argmax(1).cpu() for part in torch.split(x, CHUNK)]) == y
    return Case(model, *_stacked(ab.load_data((x[right], y[right]), limit=point.images)), home)


def _stacked(images: Any) -> tuple[Tensor, Tensor]:
    """All images `(n, c, h, w)` and labels `(n,)` of a data set."""
    x, y = zip(*(images[index] for index in range(len(images))), strict=True)
    return torch.stack(x), torch.tensor([int(label) for label in y])
