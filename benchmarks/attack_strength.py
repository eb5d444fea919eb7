"""How many images each attack leaves standing and what that costs, ours beside those of other libraries.

    python -m benchmarks.attack_strength --out strength --mnist lenet5.pt --mnist-data data/mnist
    python -m benchmarks.attack_strength --out strength --cifar-data data/cifar10-jpeg

Everything goes through the same harness, which judges and counts: forward and backward passes an image,
and seconds of one core. Each batch is kept under --out as soon as it is done, and is not done again; the
attacks of libraries that are not installed are left out, which the table says.
"""

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

import advbench as ab

SPECS = (
    "pgd:steps=40",
    "torchattacks:PGD:steps=40",
    "art:ProjectedGradientDescent:max_iter=40,num_random_init=1",
    "apgd:steps=100",
    "torchattacks:APGD:steps=100",
    "art:AutoProjectedGradientDescent:max_iter=100,nb_random_init=1",
    "autoattack",
    "torchattacks:AutoAttack",
    "art:AutoAttack",
    "strongest",
)
BATCH = 256
WEIGHTS = Path(__file__).with_name("weights") / "robust-resnet20.safetensors"


class Task(NamedTuple):
    """A model, its images, and the radius."""

    name: str
    model: str
    dataset: str
    checkpoint: Path
    data: Path
    first: int | None
    limit: int | None
    eps: str


class Cell(NamedTuple):
    """What one attack did to one model."""

    run: ab.Run
    seconds: float


class Clock:
    """Adds up the processor seconds of a run's attacks, also over several starts.

    Args:
        file: where they are kept.
    """

    asked_to_stop = False

    def __init__(self, file: Path) -> None:
        self.file = file
        self.seconds: float = json.loads(file.read_text()) if file.exists() else 0.0
        self.began = 0.0

    def begin(self, task: str, total: int | None, done: int = 0) -> None:  # noqa: ARG002  # what a watcher is told
        """Begin with the first attack: the clean pass is no part of it."""
        self.began = time.process_time()

    def advance(self, task: str, done: int) -> None:  # noqa: ARG002  # likewise
        """Add what a batch took."""
        now = time.process_time()
        self.seconds, self.began = self.seconds + now - self.began, now
        self.file.parent.mkdir(parents=True, exist_ok=True)
        self.file.write_text(json.dumps(self.seconds))

    def note(self, text: str) -> None:
        """Say nothing."""

    say = warn = pass_by = note


def measure(task: Task, text: str, home: Path) -> Cell:
    """Run an attack on whatever of the images is not done yet.

    Args:
        task: the model and its images.
        text: the attack's spec.
        home: where finished batches are kept.
    """
    clock = Clock(home / "seconds.json")
    run = ab.run(
        model=task.model,
        checkpoint=task.checkpoint,
        data=task.dataset,
        data_root=task.data,
        first=task.first,
        limit=task.limit,
        eps=task.eps,
        attacks=[text],
        batch_size=BATCH,
        device="cpu",
        out=home,
        watcher=clock,
    )
    return Cell(run, clock.seconds)


def line(task: Task, text: str, cell: Cell | None, reason: str = "") -> dict[str, Any]:
    """One line of the table."""
    if cell is None:
        return {"model": task.name, "attack": text, "standing": f"– ({reason})"}
    samples = cell.run.samples[cell.run.samples["rung"] == "shattered"]
    n = len(samples)
    return {
        "model": task.name,
        "attack": text,
        "standing": f"{int(samples['robust'].sum())}/{n}",
        "forward": f"{samples['queries'].sum() / n:,.0f}",
        "backward": f"{samples['steps'].sum() / n:,.0f}",
        "seconds": f"{cell.seconds:,.0f}",
    }


def markdown(lines: Sequence[dict[str, Any]]) -> str:
    """The table."""
    header = ["model", "attack", "standing", "forward", "backward", "seconds"]
    rows = [
        header,
        [":--", ":--", *["--:"] * 4],
        *([figures.get(name, "–") for name in header] for figures in lines),
    ]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def tasks_of(words: argparse.Namespace) -> list[Task]:
    """What is attacked: the first images of MNIST, and a sample of CIFAR-10, whose folders go by class."""
    mnist = Task("LeNet5, MNIST, 0.3", "lenet5", "mnist", words.mnist, words.mnist_data, 1000, None, "0.3")
    cifar = Task(
        "ResNet-20, CIFAR-10, 8/255",
        "resnet20",
        "imagefolder",
        words.cifar,
        words.cifar_data,
        None,
        500,
        "8/255",
    )
    tasks = [mnist] if words.mnist_data else []
    tasks += [cifar] if words.cifar_data else []
    return [
        task._replace(first=task.first and words.images, limit=task.limit and words.images)
        if words.images
        else task
        for task in tasks
    ]


def main() -> None:
    """Measure every attack on every model, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--mnist", type=Path, help="weights of advertorch's adversarially trained LeNet5")
    parser.add_argument("--mnist-data", type=Path, help="folder of MNIST")
    parser.add_argument("--cifar", type=Path, default=WEIGHTS, help="weights of a ResNet-20 for CIFAR-10")
    parser.add_argument("--cifar-data", type=Path, help="folder with test/<class>/*.jpg")
    parser.add_argument("--images", type=int, help="of each (by default 1,000 and 500)")
    parser.add_argument("--attack", action="append", help="a spec; repeat it (by default ten)")
    parser.add_argument("--out", type=Path, required=True, help="where finished batches are kept")
    words = parser.parse_args()
    if words.mnist_data and not words.mnist:
        parser.error("--mnist-data needs --mnist, the weights of the LeNet5")
    if not (words.mnist_data or words.cifar_data):
        parser.error("nothing to attack: give --mnist and --mnist-data, --cifar-data, or all of them")
    torch.set_num_threads(1)
    lines = []
    for task in tasks_of(words):
        for text in words.attack or SPECS:
            home = words.out / f"{task.model}-{task.first or task.limit}" / text.replace(":", "_")
            try:
                lines.append(line(task, text, measure(task, text, home)))
            except ab.AdvbenchError as error:
                lines.append(line(task, text, None, str(error)))
            print(json.dumps(lines[-1]), flush=True)
    print(markdown(lines))


if __name__ == "__main__":
    main()
