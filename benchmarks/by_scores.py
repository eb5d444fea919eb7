"""Attacks by scores alone at the same queries, image by image: ours, and torchattacks' Square.

    python -m benchmarks.by_scores
    python -m benchmarks.by_scores --mnist-data data/mnist --mnist-checkpoint mnist_lenet5_advtrained.pt
    python -m benchmarks.by_scores --cifar-data data/cifar10-jpeg

All attack the same correctly classified images in L-inf, and all are judged by what they return. The columns
of pairs count the images that `tabu` alone leaves standing, and those that `square` alone does. What
is not installed is left out.
"""

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import torch
from torch import Tensor

from advbench import Draws, Threat
from advbench.attacks import Square, Tabu
from advbench.errors import InputError, first_line
from benchmarks.hard_label import version_of
from benchmarks.peer_points import ROBUST, Case, Point, Source, Work, case_of

_RADII: Final = {"digits": "0.1", "mnist": "0.3", "cifar": "8/255"}


class Setting(NamedTuple):
    """One comparison."""

    network: str
    threat: Threat
    queries: int
    seed: int = 0


Contestant = Callable[[Case, Setting], Tensor]
"""Which images stand, `(n,)` bool."""


def _ours(made: Callable[..., Any]) -> Contestant:
    def run(case: Case, setting: Setting) -> Tensor:
        x, draws = case.x, Draws(setting.seed, torch.arange(len(case.x)))
        attempt = made(queries=setting.queries)(case.model, x, case.y, setting.threat, draws)
        if int(attempt.queries.max()) > setting.queries:
            raise AssertionError("more queries than allowed")
        return stands(case, setting.threat, attempt.x_adv)

    return run


def _of_torchattacks(case: Case, setting: Setting) -> Tensor:
    import torchattacks  # type: ignore[import-not-found,unused-ignore]  # noqa: PLC0415  # optional

    attack = torchattacks.Square(
        case.model, norm="Linf", eps=setting.threat.eps, n_queries=setting.queries, seed=setting.seed
    )
    return stands(case, setting.threat, attack(case.x, case.y))


@torch.no_grad()
def stands(case: Case, threat: Threat, x_adv: Tensor) -> Tensor:
    """Which examples are classified correctly, projected into ball and box, `(n,)` bool."""
    right: Tensor = case.model(threat.project(x_adv, case.x)).argmax(1) == case.y
    return right


CONTESTANTS: Final[dict[str, tuple[str, Contestant]]] = {
    "tabu": ("", _ours(Tabu)),
    "square": ("", _ours(Square)),
    "torchattacks, Square": ("torchattacks", _of_torchattacks),
}


def compare(settings: Sequence[Setting], cases: dict[str, Case]) -> Iterator[str]:
    """A table's lines, each as soon as it is known: the images that stand, of all."""
    there = {
        f"{name} {version}".strip(): run
        for name, (distribution, run) in CONTESTANTS.items()
        if (version := version_of(distribution)) is not None
    }
    yield f"| network | eps | queries | images | {' | '.join(there)} | tabu alone | square alone |"
    yield "| :-- | --: | --: | --: |" + " --: |" * (len(there) + 2)
    for setting in settings:
        case = cases[setting.network]
        left = {name: run(case, setting) for name, run in there.items()}
        counts = [int(standing.sum()) for standing in left.values()]
        counts += [int((left["tabu"] & ~left["square"]).sum()), int((left["square"] & ~left["tabu"]).sum())]
        row = (setting.network, setting.threat.text, f"{setting.queries:,}", len(case.x), *counts)
        yield f"| {' | '.join(map(str, row))} |"


def main(given: Sequence[str] | None = None) -> int:
    """Compare and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--mnist-data", type=Path, help="folder of MNIST")
    parser.add_argument("--mnist-checkpoint", type=Path, help="of advertorch's LeNet5")
    parser.add_argument("--cifar-data", type=Path, help="folder of CIFAR-10")
    parser.add_argument("--images", type=int, default=200, help="of each network")
    parser.add_argument("--queries", default="300,1000,2500", help="with commas between")
    words = parser.parse_args(given)
    sources = {"digits": Source("digits-cnn", "digits")}
    if words.mnist_data and words.mnist_checkpoint:
        sources["mnist"] = Source("lenet5", "mnist", words.mnist_checkpoint, words.mnist_data)
    if words.cifar_data:
        sources["cifar"] = Source("resnet20", "imagefolder", ROBUST, words.cifar_data)
    try:
        cases = {name: case_of(_point(name, words.images), source, "cpu") for name, source in sources.items()}
    except InputError as error:
        print(f"error: {first_line(error)}", file=sys.stderr)
        return 2
    settings = [
        Setting(name, Threat.parse("linf", _RADII[name]), int(queries))
        for name in cases
        for queries in words.queries.split(",")
    ]
    for line in compare(settings, cases):
        print(line, flush=True)
    return 0


def _point(name: str, images: int) -> Point:
    work = Work(attack="square", eps=_RADII[name], steps=1)
    return Point(name=name, title=name, source=name, work=work, images=images)


if __name__ == "__main__":
    sys.exit(main())
