"""What an APART step costs: time and memory over a plain training step.

    python -m benchmarks.apart_cost

Both steps run in turns in one process: forward and backward passes on random images in memory, and the
optimizer; APART with ratio 1. The process keeps freed memory, as its page faults would be a third of the
time. Memory is the peak of fresh processes that give back what they free, less that of bare imports.
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
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from advbench import APART
from advbench.models.resnet_cifar import resnet20
from benchmarks.peak import peak_of_this_process
from benchmarks.pgd_cost import KEEP_MEMORY

NAMES = ("plain", "APART, groups 0", "APART, groups 16")


def steps(batch: int, size: int) -> dict[str, Callable[[], None]]:
    """One training step of each kind, each on a network of its own."""
    torch.manual_seed(0)
    x, y = torch.randn(batch, 3, size, size), torch.randint(10, (batch,))
    return {name: _step(name, resnet20(), x, y) for name in NAMES}


def _step(name: str, model: nn.Module, x: Tensor, y: Tensor) -> Callable[[], None]:
    optimizer = torch.optim.SGD(model.parameters(), 0.01, momentum=0.9, weight_decay=5e-4)

    def plain() -> None:
        optimizer.zero_grad()
        torch.autograd.backward(F.cross_entropy(model(x), y))
        optimizer.step()

    if name == "plain":
        return plain
    apart = APART(model, 0.1, int(name.rpartition(" ")[2]))

    def perturbed() -> None:
        optimizer.zero_grad()
        with apart.to_proxy():
            torch.autograd.backward(0.5 * F.cross_entropy(model(x), y))
        with apart.to_adver():
            torch.autograd.backward(0.5 * F.cross_entropy(model(x), y))
        optimizer.step()

    return perturbed


def time_them(batch: int, size: int, rounds: int) -> None:
    """Print the median time of each kind of step, and its ratio to the plain step's."""
    tasks = steps(batch, size)
    walls: dict[str, list[float]] = {name: [] for name in tasks}
    processes: dict[str, list[float]] = {name: [] for name in tasks}
    for _ in range(rounds + 2):
        for name in random.sample(list(tasks), len(tasks)):
            wall, process = time.perf_counter(), time.process_time()
            tasks[name]()
            walls[name].append(time.perf_counter() - wall)
            processes[name].append(time.process_time() - process)
    threads = torch.get_num_threads()
    print(f"ResNet20, {batch} images of 3x{size}x{size}, {threads} threads, median of {rounds} rounds")
    for name in tasks:
        times = []
        for kind in (walls, processes):
            seconds, plain = (statistics.median(kind[task][2:]) for task in (name, "plain"))
            times.append(f"{seconds * 1000:8.1f} ms  {seconds / plain:5.3f} of plain")
        print(f"{name:18s} {times[0]}   process {times[1]}")


def peak_megabytes(*words: Any) -> float:
    """Peak memory of a fresh process that takes three steps of a kind; an empty name takes none."""
    command = [sys.executable, "-m", "benchmarks.apart_cost", "--memory-of", json.dumps(words)]
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": str(1 << 16)}  # each tensor a mapping of its own
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return float(done.stdout)


def take_steps(name: str, batch: int, size: int) -> None:
    """Take three steps, and print the peak memory of this process in megabytes."""
    if name:
        step = steps(batch, size)[name]
        for _ in range(3):
            step()
    print(peak_of_this_process() / 1e6)


def main() -> None:
    """Print both parts."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--size", type=int, default=32, help="side of the images in pixels")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--times-only", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--memory-of", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.memory_of:
        take_steps(*options.memory_of)
        return
    if options.times_only:
        time_them(options.batch, options.size, options.rounds)
        return
    command = [sys.executable, "-m", "benchmarks.apart_cost", "--times-only", *sys.argv[1:]]
    subprocess.run(command, check=True, env={**os.environ, **KEEP_MEMORY})
    empty = peak_megabytes("", 1, 32)
    peaks = {name: peak_megabytes(name, options.batch, options.size) - empty for name in NAMES}
    for name, megabytes in peaks.items():
        print(f"{name:18s} {megabytes:8.0f} MB  {megabytes / peaks['plain']:5.3f} of plain")


if __name__ == "__main__":
    main()
