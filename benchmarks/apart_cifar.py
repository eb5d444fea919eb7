r"""APART against plain training of ResNet-20 on CIFAR-10, over seeds; goes on where it was stopped.

    python -m benchmarks.apart_cifar --data-root data/cifar10-jpeg --checkpoint resnet20-12fca82f.th \
        --out apart-cifar --experiments finetune
    python -m benchmarks.apart_cifar --data-root data/cifar10-jpeg --out apart-cifar --experiments scratch \
        --every 2
    python -m benchmarks.apart_cifar --out apart-cifar --table

`finetune` begins with the checkpoint, at a learning rate of 0.01 with a cosine schedule: plain and APART for
equal epochs, and plain for twice as many, which costs what APART costs (a step of 2.04 plain ones, says
`benchmarks.apart_cost`). `scratch` begins with nothing, as the authors of APART train, in fewer epochs.
Convolutions compute in bfloat16, which halves the time of a processor that has it; weights are float32.
The last weights are measured on all test images: nothing is chosen by them.
"""

import argparse
import csv
import statistics
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

import advbench as ab
from advbench import Normalized
from advbench.data.load import load_dataset
from advbench.data.sources import Place
from advbench.files import write_whole
from advbench.models.checkpoint.load import load_checkpoint
from advbench.models.registry import MODELS
from advbench.models.resnet_cifar import resnet20
from advbench.names.grammar import Spec
from advbench.training.accuracy import correct
from advbench.training.feed import TrainingImages
from advbench.training.loop import StepDone, train
from advbench.training.noisy_statistics import noisy_statistics
from advbench.training.recipe import Perturbation, Recipe
from advbench.training.state import TrainingState, begin, read_state, write_state, write_weights

CPU = torch.device("cpu")
NOISE = (0.1, 0.2)
DRAWS = 3
KEPT_EVERY = 50  # steps, as an epoch may take many minutes
COMMON = Recipe(augment="crop-flip", drop_last=True, precision="bfloat16")
RECIPES = {
    "finetune": replace(COMMON, epochs=3, lr=0.01, schedule="cosine"),
    "scratch": replace(COMMON, epochs=15, lr=0.1),
}


@dataclass(frozen=True)
class Result:
    """What one training came to, as fractions of the test images."""

    experiment: str
    way: str
    seed: int
    images: int
    epochs: int
    clean: float
    noise_01: float
    noise_02: float
    seconds: float


class Task(NamedTuple):
    """One training."""

    experiment: str
    way: str
    recipe: Recipe

    @property
    def name(self) -> str:
        """What its files are called."""
        return f"{self.experiment}-{self.way.replace(' ', '-')}-{self.recipe.seed}"


class InMemory:
    """A folder of images as bytes: `images[i]` is (pixels in [0, 1], label)."""

    def __init__(self, folder: Path, every: int) -> None:
        images = load_dataset("imagefolder", Place(root=folder.parent, split=folder.name))
        kept = range(0, len(images), every)
        self.x = torch.stack([images[i][0].mul(255).round().to(torch.uint8) for i in kept])
        self.y = images.labels[::every].tolist()

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.x[index].float() / 255, self.y[index]


def tasks(experiments: list[str], seeds: int) -> Iterator[Task]:
    """Every training, one seed after the other, so that what is there can be compared early."""
    for seed in range(seeds):
        for experiment in experiments:
            recipe = replace(RECIPES[experiment], seed=seed)
            yield Task(experiment, "plain", recipe)
            yield Task(experiment, "APART", replace(recipe, apart=Perturbation()))
            if experiment == "finetune":
                yield Task(experiment, "plain twice as long", replace(recipe, epochs=2 * recipe.epochs))


def first_model(task: Task, checkpoint: Path | None) -> Normalized:
    """The model that a training begins with."""
    torch.manual_seed(task.recipe.seed)
    network: Any = resnet20()
    if task.experiment == "finetune":
        if checkpoint is None:
            raise SystemExit("finetune begins with a checkpoint: give --checkpoint resnet20-12fca82f.th")
        network = load_checkpoint(checkpoint, resnet20, Spec("resnet20", {}), CPU).network
    normalization = MODELS["resnet20"].normalization
    assert normalization is not None
    return Normalized(network, normalization.mean, normalization.std)


def run(task: Task, given: argparse.Namespace, images: dict[str, InMemory]) -> Result:
    """Do one training, from where it stands, and measure it."""
    model, state = first_model(task, given.checkpoint).train(), given.out / f"{task.name}.state"
    training = begin(model, task.recipe, CPU)
    if state.exists():
        read_state(training, state)

    def keep(training: TrainingState) -> None:
        write_state(training, state)
        if training.step == 0:
            last = training.history[-1]
            print(f"{task.name}: epoch {last.epoch}, loss {last.loss:.3f}, {last.seconds:.0f} s", flush=True)

    def notify(done: StepDone) -> None:
        if done.step % KEPT_EVERY == 0 and done.step < done.steps:
            write_state(training, state)

    data = TrainingImages(images=images["train"], indices=range(len(images["train"])))
    with ab.watched(quiet=False) as watcher:
        watcher.begin(task.name, None)
        train(training, data, task.recipe, CPU, notify=notify, keep=keep, asked=lambda: watcher.asked_to_stop)
    write_weights(model.network, given.out / f"{task.name}.safetensors", {"task": task.name})
    return measured(task, training, images)


def measured(task: Task, training: TrainingState, images: dict[str, InMemory]) -> Result:
    """Accuracies of the last weights on the test images."""
    test, every = images["test"], range(len(images["test"]))
    clean = correct(training.model, test, every, CPU).float().mean()
    noisy = []
    for size in NOISE:
        generator = torch.Generator().manual_seed(0)
        draws = []
        for _ in range(DRAWS):
            with noisy_statistics(training.model, size, generator):
                draws.append(float(correct(training.model, test, every, CPU).float().mean()))
        noisy.append(statistics.mean(draws))
    seconds = sum(record.seconds for record in training.history)
    recipe = task.recipe
    return Result(
        experiment=task.experiment,
        way=task.way,
        seed=recipe.seed,
        images=len(images["train"]),
        epochs=recipe.epochs,
        clean=float(clean),
        noise_01=noisy[0],
        noise_02=noisy[1],
        seconds=seconds,
    )


def write(results: list[Result], path: Path) -> None:
    """Write the results as CSV."""
    lines = [
        ",".join(asdict(results[0])),
        *(",".join(map(str, asdict(result).values())) for result in results),
    ]
    write_whole(path, ("\n".join(lines) + "\n").encode())


def read(path: Path) -> list[Result]:
    """The results that are there."""
    if not path.exists():
        return []
    with path.open() as file:
        return [
            Result(
                line["experiment"],
                line["way"],
                *(int(line[name]) for name in ("seed", "images", "epochs")),
                *(float(line[name]) for name in ("clean", "noise_01", "noise_02", "seconds")),
            )
            for line in csv.DictReader(file)
        ]


def print_table(results: list[Result]) -> None:
    """Mean and spread over seeds of each way, and the difference from plain training in pairs of seeds."""
    print(
        "| experiment | way | images | epochs | seeds | clean | statistics off by 0.1 | by 0.2 "
        "| clean minus plain |"
    )
    print("|:--|:--|--:|--:|--:|--:|--:|--:|--:|")
    for experiment, way in dict.fromkeys((result.experiment, result.way) for result in results):
        group = [result for result in results if (result.experiment, result.way) == (experiment, way)]
        base = [result for result in results if (result.experiment, result.way) == (experiment, "plain")]
        plain = {result.seed: result.clean for result in base}
        apart = [result.clean - plain[result.seed] for result in group if result.seed in plain]
        cells = [
            spread([getattr(result, name) for result in group]) for name in ("clean", "noise_01", "noise_02")
        ]
        difference = "–" if way == "plain" or not apart else spread(apart)
        print(
            f"| {experiment} | {way} | {group[0].images} | {group[0].epochs} | {len(group)} "
            f"| {' | '.join(cells)} | {difference} |"
        )


def spread(values: list[float]) -> str:
    """Mean and standard deviation in per cent."""
    deviation = f" ± {100 * statistics.stdev(values):.2f}" if len(values) > 1 else ""
    return f"{100 * statistics.mean(values):.2f}{deviation}"


def main() -> None:
    """Do what is left to do, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data-root", type=Path, help="folder with train/<class>/*.jpg and test/")
    parser.add_argument("--checkpoint", type=Path, help="resnet20-12fca82f.th")
    parser.add_argument("--out", type=Path, required=True, help="folder of states, weights and results.csv")
    parser.add_argument("--experiments", nargs="+", choices=list(RECIPES), default=list(RECIPES))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--every", type=int, default=1, help="train on one image of so many")
    parser.add_argument("--table", action="store_true", help="only print the table of what is there")
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    results = read(given.out / "results.csv")
    if not given.table:
        images = {
            split: InMemory(given.data_root / split, stride)
            for split, stride in (("train", given.every), ("test", 1))
        }
        done = {(result.experiment, result.way, result.seed) for result in results}
        for task in tasks(given.experiments, given.seeds):
            if (task.experiment, task.way, task.recipe.seed) not in done:
                results.append(run(task, given, images))
                write(results, given.out / "results.csv")
    print_table(results)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        raise SystemExit("stopped; the same command goes on") from None
