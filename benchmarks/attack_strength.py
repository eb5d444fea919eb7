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

import pandas as pd
import torch

from advbench import Hooks
from advbench.attacks import ATTACKS
from advbench.cli.ranks import join_ranks
from advbench.cli.subject import Subject, load_subject
from advbench.errors import InputError
from advbench.evaluation.attack_batch import RungDone
from advbench.evaluation.ladder import evaluate
from advbench.evaluation.observer import Checked
from advbench.files import write_whole
from advbench.jobs.settings.subject import SubjectOptions
from advbench.names.grammar import parse_spec
from advbench.names.registry import build, find
from advbench.results.records import join_samples
from advbench.runs.samples import pack_samples, read_samples
from advbench.threat.attack import Attack

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

    samples: pd.DataFrame
    seconds: float


def subject_of(task: Task) -> Subject:
    """The model and its images."""
    options = SubjectOptions(
        checkpoint=task.checkpoint,
        model=task.model,
        dataset=task.dataset,
        data_root=task.data,
        limit=task.limit,
        first=task.first,
        eps=task.eps,
        device="cpu",
    )
    return load_subject(options, join_ranks())


def attack_of(text: str) -> Attack:
    """The attack that a spec names."""
    spec = parse_spec(text)
    attack: Attack = build(find(ATTACKS, spec.name, "attack").load(), spec, "attack")
    return attack


def measure(subject: Subject, text: str, home: Path) -> Cell:
    """Run an attack on whatever of the images is not done yet.

    Args:
        subject: the model and its images.
        text: the attack's spec.
        home: where finished batches are kept.
    """
    home.mkdir(parents=True, exist_ok=True)
    parts, clock = [], 0.0
    for path in sorted(home.glob("*.parquet")):
        samples, origin = read_samples(path.read_bytes(), len(subject.indices))
        parts.append(samples)
        clock += float(origin["seconds"])
    began = time.process_time()

    def begin(_: Checked) -> pd.DataFrame:
        nonlocal began
        began = time.process_time()  # the clean pass is no part of the attack
        return join_samples(parts)

    def keep(done: RungDone) -> None:
        nonlocal began, clock
        seconds = time.process_time() - began
        name = f"{int(done.samples['index'].iloc[0]):06d}-{len(done.samples)}.parquet"
        write_whole(home / name, pack_samples(done.samples, {"seconds": str(seconds)}))
        began, clock = time.process_time(), clock + seconds

    found = evaluate(
        subject.classifier.model,
        subject.images,
        threat=subject.threat,
        attacks={text: attack_of(text)},
        indices=subject.indices,
        batch_size=BATCH,
        observer=Hooks(begin=begin, keep=keep),
    )
    return Cell(found.samples[found.samples["attack"] == text], clock)


def line(task: Task, text: str, cell: Cell | None, reason: str = "") -> dict[str, Any]:
    """One line of the table."""
    if cell is None:
        return {"model": task.name, "attack": text, "standing": f"– ({reason})"}
    n = len(cell.samples)
    return {
        "model": task.name,
        "attack": text,
        "standing": f"{int(cell.samples['robust'].sum())}/{n}",
        "forward": f"{cell.samples['queries'].sum() / n:,.0f}",
        "backward": f"{cell.samples['steps'].sum() / n:,.0f}",
        "seconds": f"{cell.seconds:,.0f}",
    }


def markdown(lines: Sequence[dict[str, Any]]) -> str:
    """The table."""
    header = ["model", "attack", "standing", "forward", "backward", "seconds"]
    rows = [
        header,
        [":--", ":--", *["--:"] * 4],
        *([each.get(name, "–") for name in header] for each in lines),
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
        subject = subject_of(task)
        for text in words.attack or SPECS:
            home = words.out / f"{task.model}-{len(subject.indices)}" / text.replace(":", "_")
            try:
                lines.append(line(task, text, measure(subject, text, home)))
            except InputError as error:
                lines.append(line(task, text, None, str(error)))
            print(json.dumps(lines[-1]), flush=True)
    print(markdown(lines))


if __name__ == "__main__":
    main()
