"""What PGD costs over the bare cost of its steps, and what memory grows with.

    python -m benchmarks.pgd_cost

Bare cost: as many forward passes and input-only backward passes of the frozen model as the attack takes
steps, and nothing else. All are run in turns, in random order, in one process, so that a busy machine slows
all; the ratio is that of the medians. With glibc's default settings a third of the time is page faults,
between 180,000 and 450,000 in runs of the same ten steps, and ratios mean nothing; so the times are taken in
a process whose allocator keeps its memory (`--default-allocator` leaves it as it is). Memory: the peak of a
fresh process for each setting, over the same process without an evaluation.
"""

import argparse
import json
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import Dataset

from advbench import DefendedModel, Draws, Placement, Threat, evaluate
from advbench.attacks import PGD
from advbench.defended.left_as_found import prepared
from advbench.defenses import Round
from advbench.models.resnet_cifar import resnet20
from benchmarks.peak import peak_of_this_process

KEEP_MEMORY = {
    "MALLOC_TOP_PAD_": str(1 << 28),
    "MALLOC_TRIM_THRESHOLD_": str(1 << 32),
    "MALLOC_MMAP_THRESHOLD_": str(1 << 32),
}
"""Settings of glibc's allocator that keep freed memory in the process; other allocators ignore them."""

THREAT = Threat.parse("linf", "8/255")


class Noise(Dataset[tuple[Tensor, int]]):
    """CIFAR-sized images made on demand, as a streamed data set would."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        """How many images there are."""
        return self.count

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        """Image and label number `index`."""
        return torch.rand(3, 32, 32, generator=torch.Generator().manual_seed(index)), index % 10


class Times(NamedTuple):
    """Medians over the rounds, seconds."""

    wall: float
    process: float


def network() -> nn.Module:
    """ResNet20 with fixed random weights; with no early stop, the weights do not change the cost."""
    torch.manual_seed(0)
    return resnet20().eval()


def bare(model: nn.Module, x: Tensor, y: Tensor, steps: int) -> None:
    """The bare cost: `steps` forward and input-only backward passes."""
    for _ in range(steps):
        point = x.detach().requires_grad_()
        torch.autograd.grad(F.cross_entropy(model(point), y, reduction="sum"), point)


def measure(tasks: dict[str, Callable[[], object]], rounds: int) -> dict[str, Times]:
    """Run the tasks in turns and take medians; the first round warms up and is not counted."""
    walls: dict[str, list[float]] = {name: [] for name in tasks}
    processes: dict[str, list[float]] = {name: [] for name in tasks}
    for _ in range(rounds + 1):
        for name in random.sample(list(tasks), len(tasks)):
            task = tasks[name]
            wall, process = time.perf_counter(), time.process_time()
            task()
            walls[name].append(time.perf_counter() - wall)
            processes[name].append(time.process_time() - process)
    return {
        name: Times(statistics.median(walls[name][1:]), statistics.median(processes[name][1:]))
        for name in tasks
    }


def cost(steps: int, batch: int, rounds: int) -> None:
    """Print the time of PGD over the bare cost of its steps, with and without a defense."""
    model = network()
    x = torch.stack([image for image, _ in (Noise(batch)[index] for index in range(batch))])
    attack, draws = PGD(steps=steps, early_stop=False), Draws(0, torch.arange(batch))
    with prepared(model):
        y = model(x).argmax(1)
        inside = DefendedModel(model, [Placement(Round(), "layer2")], bpda=True)
        times = measure(
            {
                "bare": lambda: bare(model, x, y, steps),
                "pgd": lambda: attack(model, x, y, THREAT, draws),
                "pgd, bpda through round@layer2": lambda: attack(inside, x, y, THREAT, draws),
            },
            rounds,
        )
    threads = torch.get_num_threads()
    print(f"ResNet20, {batch} images of 3x32x32, {steps} steps, {threads} threads, median of {rounds} rounds")
    for name, timing in times.items():
        ratio = timing.wall / times["bare"].wall
        print(f"{name:32s} {timing.wall:7.2f} s  {ratio:5.3f} of bare   process {timing.process:7.2f} s")


def peak_megabytes(images: int, batch: int) -> float:
    """Peak memory of a fresh process that evaluates `images` images; none if there are 0."""
    command = [sys.executable, "-m", "benchmarks.pgd_cost", "--memory-of", json.dumps([images, batch])]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def evaluate_once(images: int, batch: int) -> None:
    """Evaluate, and print the peak memory of this process in megabytes."""
    if images:
        evaluate(network(), Noise(images), threat=THREAT, attacks={"pgd": PGD(steps=2)}, batch_size=batch)
    print(peak_of_this_process() / 1e6)


def memory() -> None:
    """Print what memory grows with."""
    empty = peak_megabytes(0, 1)
    for images, batch in ((256, 64), (1024, 64), (4096, 64), (1024, 128), (1024, 256)):
        print(f"{images:5d} images, batch {batch:3d}: {peak_megabytes(images, batch) - empty:6.0f} MB")


def main() -> None:
    """Run both parts."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=40, help="the default of pgd")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--default-allocator", action="store_true")
    parser.add_argument("--times-only", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--memory-of", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.memory_of:
        evaluate_once(*options.memory_of)
        return
    if options.times_only:
        cost(options.steps, options.batch, options.rounds)
        return
    command = [sys.executable, "-m", "benchmarks.pgd_cost", "--times-only", *sys.argv[1:]]
    settings = {} if options.default_allocator else KEEP_MEMORY
    subprocess.run(command, check=True, env={**os.environ, **settings})
    memory()


if __name__ == "__main__":
    main()
