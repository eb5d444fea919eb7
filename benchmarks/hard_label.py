"""Hard-label attacks at the same queries: ours, ART's HopSkipJump, and foolbox's.

    python -m benchmarks.hard_label
    python -m benchmarks.hard_label --mnist-data data/mnist --mnist-checkpoint mnist_lenet5_clntrained.pt

All attack the same correctly classified images. Ours is judged by
what it returns. Of the others every single query counts: an image has fallen as soon as one point that they
ask about within the queries lies in the ball and fools, whatever they return in the end. Their settings are
their defaults; steps that the queries do not allow are cut off. What is not installed is left out.
"""

import argparse
import importlib
import importlib.metadata
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from advbench import Draws, Threat
from advbench.attacks import HardLabel
from advbench.errors import InputError, first_line
from advbench.threat.threat import Norm
from benchmarks.peer_points import Case, Point, Source, Work, case_of

_STEPS = 200  # more than any number of queries here allows
_ROUNDING = 1e-6
_NORMS: tuple[Norm, ...] = ("linf", "l2")


class Setting(NamedTuple):
    """One comparison."""

    network: str
    threat: Threat
    queries: int


class _SpentError(Exception):
    """The queries are spent."""


class Meter(nn.Module):
    """A network that notes whether its image has fallen to a query inside the ball, and ends the attack then.

    Args:
        model: pixels to logits.
        x: the image, `(1, c, h, w)`.
        y: its label, `(1,)`.
        threat: the ball.
        queries: after which the attack ends too.
    """

    def __init__(self, model: nn.Module, x: Tensor, y: Tensor, threat: Threat, queries: int) -> None:
        super().__init__()
        self.network, self.x, self.y, self.threat, self.left = model, x, y, threat, queries
        self.fell = False

    @torch.no_grad()
    def forward(self, points: Tensor) -> Tensor:
        """Logits of points, `(m, k)`, a query each; of a batch that is too long the first ones count."""
        spent = len(points) > self.left
        points = points[: self.left].float()
        self.left -= len(points)
        logits: Tensor = self.network(points) if len(points) else points
        if len(points):
            inside = self.threat.distance(points, self.x.expand_as(points)) <= self.threat.eps + _ROUNDING
            self.fell |= bool((inside & (logits.argmax(1) != self.y)).any())
        if spent or self.fell:
            raise _SpentError
        return logits


def ours(case: Case, setting: Setting) -> int:
    """How many images `hard-label` leaves standing."""
    x, y, threat = case.x, case.y, setting.threat
    attempt = HardLabel(queries=setting.queries)(case.model, x, y, threat, Draws(0, torch.arange(len(x))))
    if int(attempt.queries.max()) > setting.queries:
        raise AssertionError("more queries than allowed")
    with torch.no_grad():
        return int((case.model(threat.project(attempt.x_adv, x)).argmax(1) == y).sum())


def of_foolbox(case: Case, setting: Setting) -> int:
    """How many images foolbox's HopSkipJump leaves standing; one by one, as its start may fail for some."""
    foolbox: Any = importlib.import_module("foolbox")  # optional

    def attack(meter: Meter) -> None:
        model = foolbox.PyTorchModel(meter, bounds=(0, 1), device="cpu")
        made = foolbox.attacks.HopSkipJumpAttack(steps=_STEPS, constraint=setting.threat.norm)
        made(model, meter.x, meter.y, epsilons=None)

    return sum(_one_by_one(case, setting, attack))


def of_art(case: Case, setting: Setting) -> int:
    """How many images ART's HopSkipJump leaves standing."""
    evasion: Any = importlib.import_module("art.attacks.evasion")  # optional
    classification: Any = importlib.import_module("art.estimators.classification")

    norm = np.inf if setting.threat.norm == "linf" else 2

    def attack(meter: Meter) -> None:
        classifier = classification.PyTorchClassifier(
            meter,
            nn.CrossEntropyLoss(),
            tuple(meter.x.shape[1:]),
            10,
            clip_values=(0.0, 1.0),
            device_type="cpu",
        )
        made = evasion.HopSkipJump(classifier, norm=norm, max_iter=_STEPS, verbose=False)
        made.generate(meter.x.numpy())

    return sum(_one_by_one(case, setting, attack))


def _one_by_one(case: Case, setting: Setting, attack: Callable[[Meter], None]) -> Iterator[bool]:
    """Whether each image stands."""
    for row in range(len(case.x)):
        torch.manual_seed(row)
        np.random.seed(row)  # noqa: NPY002  # ART draws from it
        x, y = case.x[row : row + 1], case.y[row : row + 1]
        meter = Meter(case.model, x, y, setting.threat, setting.queries).eval()
        with suppress(_SpentError, ValueError):  # the latter is foolbox's, where it finds no start
            attack(meter)
        yield not meter.fell


CONTESTANTS: dict[str, tuple[str, Callable[[Case, Setting], int]]] = {
    "advbench, hard-label": ("", ours),
    "ART, HopSkipJump": ("adversarial-robustness-toolbox", of_art),
    "foolbox, HopSkipJump": ("foolbox", of_foolbox),
}


def version_of(distribution: str) -> str | None:
    """Of a library, None where it is not installed; empty for our own."""
    try:
        return importlib.metadata.version(distribution) if distribution else ""
    except importlib.metadata.PackageNotFoundError:
        return None


def compare(settings: Sequence[Setting], cases: dict[str, Case]) -> Iterator[str]:
    """A table's lines, each as soon as it is known: the images that stand, of all."""
    there = {
        f"{name} {version}".strip(): run
        for name, (distribution, run) in CONTESTANTS.items()
        if (version := version_of(distribution)) is not None
    }
    yield f"| network | norm | eps | queries | images | {' | '.join(there)} |"
    yield "| :-- | :-- | --: | --: | --: |" + " --: |" * len(there)
    for setting in settings:
        case = cases[setting.network]
        counts = [str(run(case, setting)) for run in there.values()]
        row = (setting.network, setting.threat.norm, setting.threat.text, f"{setting.queries:,}", len(case.x))
        yield f"| {' | '.join([*map(str, row), *counts])} |"


def main(given: Sequence[str] | None = None) -> int:
    """Compare and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--mnist-data", type=Path, help="folder of MNIST")
    parser.add_argument("--mnist-checkpoint", type=Path, help="of advertorch's LeNet5")
    parser.add_argument("--images", type=int, default=50, help="of each network")
    parser.add_argument("--queries", default="1000,5000", help="with commas between")
    words = parser.parse_args(given)
    radii = {"digits": ("0.1", "0.5"), "mnist": ("0.15", "2")}
    sources = {"digits": Source("digits-cnn", "digits")}
    if words.mnist_data and words.mnist_checkpoint:
        sources["mnist"] = Source("lenet5", "mnist", words.mnist_checkpoint, words.mnist_data)
    try:
        cases = {name: case_of(_point(name, words.images), source, "cpu") for name, source in sources.items()}
        settings = [
            Setting(name, Threat.parse(norm, eps), int(queries))
            for queries in words.queries.split(",")
            for name in cases
            for norm, eps in zip(_NORMS, radii[name], strict=True)
        ]
        for line in compare(settings, cases):
            print(line, flush=True)
    except InputError as error:
        print(f"error: {first_line(error)}", file=sys.stderr)
        return 2
    return 0


def _point(name: str, images: int) -> Point:
    work = Work(attack="square", eps="0.1", steps=1)
    return Point(name=name, title=name, source=name, work=work, images=images)


if __name__ == "__main__":
    sys.exit(main())
