"""What the exact gradient through a purifier costs over its passes, and what memory it takes.

    python -m benchmarks.purify_cost

Time: `loss_and_gradient` behind `purify` in 20 steps, in expectation over 10 draws, beside as many bare
forward and input-only backward passes through the denoiser and the classifier, and beside autograd through
the unrolled process, which keeps everything. All run in turns in one process whose allocator keeps its
memory, on one core; ratios are those of the medians of the processor's seconds. Once with a denoiser of
convolutions, once with the bundled one, whose passes are so short that noise and bookkeeping count. Memory:
the peak of a fresh process for each number of steps and draws, over that of one that takes no gradient.
"""

import argparse
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Final

import torch
from torch import Tensor, nn

from advbench import DefendedModel, Draws, Placement
from advbench.defended.gradient import loss_and_gradient
from advbench.defended.left_as_found import prepared
from advbench.defended.substitutes import make_substitute
from advbench.defenses.digits_denoiser import digits_denoiser
from advbench.defenses.purify import Purify
from advbench.draws.sampling import Sampling
from benchmarks.peak import peak_of_this_process
from benchmarks.pgd_cost import KEEP_MEMORY, measure

STEPS: Final = 20
EOT: Final = 10


class Convolutions(nn.Module):
    """A denoiser of plain convolutions, with random weights: what it says costs as much as anything else."""

    def __init__(self, *, channels: int = 3, width: int = 32, depth: int = 6) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            sizes = [channels, *[width] * (depth - 1), channels]
            self.layers = nn.ModuleList(
                nn.Conv2d(before, after, 3, padding=1) for before, after in itertools.pairwise(sizes)
            )

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        """The denoised images, `(n, c, h, w)` as `x`."""
        hidden = x
        for layer in self.layers[:-1]:
            hidden = nn.functional.gelu(layer(hidden) + sigma)
        y: Tensor = x + sigma * self.layers[-1](hidden)
        return y


def defended(network: nn.Module, denoiser: nn.Module, steps: int, eot: int, *, bpda: bool) -> DefendedModel:
    """A classifier behind a purifier, whose gradient is its own, with BPDA's machinery or without."""
    purify = Purify(denoiser=denoiser, steps=steps)
    placement = Placement(purify, substitute=make_substitute("exact", purify))  # type: ignore[arg-type]  # random
    return DefendedModel(network, [placement], bpda=bpda, sampling=Sampling(0, "", eot))


def margins(logits: Tensor, _: slice) -> Tensor:
    """Some loss, `(n,)`."""
    return logits.square().sum(1)


def passes(network: nn.Module, denoiser: nn.Module, x: Tensor, steps: int, eot: int) -> None:
    """As many bare passes as the gradient is made of."""
    sigma = torch.tensor(0.2)
    for _ in range(eot):
        for _ in range(steps):
            u = x.detach().requires_grad_()
            torch.autograd.grad(denoiser(u, sigma), u, x)
        u = x.detach().requires_grad_()
        torch.autograd.grad(margins(network(u), slice(None)).sum(), u)


def unrolled(network: nn.Module, purify: Purify, x: Tensor, eot: int) -> None:
    """The same gradient by autograd alone, which keeps what every step computes."""
    assert isinstance(purify.denoiser, nn.Module)
    for draw in range(eot):
        inner = x.detach().requires_grad_()
        y = inner
        streams = Draws(0, torch.arange(len(x)), f"/{draw}")
        for number, step in enumerate(purify.process):
            u = y + step.spread * streams.stream(number).normal(x.shape[1:])
            y = (1.0 - step.share) * u + step.share * purify.denoiser(u, torch.tensor(step.sigma))
        torch.autograd.grad(margins(network(y), slice(None)).sum(), inner)


def cost(name: str, denoiser: nn.Module, x: Tensor, rounds: int) -> None:
    """Print a row of the table."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(x[0].numel(), 10)).eval()
    with prepared(network, denoiser):
        purify = Purify(denoiser=denoiser, steps=STEPS)
        own, through = (defended(network, denoiser, STEPS, EOT, bpda=bpda) for bpda in (False, True))
        tasks: dict[str, Callable[[], object]] = {
            "passes": lambda: passes(network, denoiser, x, STEPS, EOT),
            "unrolled": lambda: unrolled(network, purify, x, EOT),
            "own": lambda: loss_and_gradient(own, x, margins),
            "exact": lambda: loss_and_gradient(through, x, margins),
        }
        seconds = {task: took.process for task, took in measure(tasks, rounds).items()}
    ratios = [f"{seconds[task] / seconds['passes']:.2f}" for task in ("unrolled", "own", "exact")]
    print(f"| {name} | {seconds['passes'] * 1e3:,.0f} ms | {' | '.join(ratios)} |", flush=True)


def costs(rounds: int) -> None:
    """Print the table of times."""
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    print(f"{STEPS} steps, {EOT} draws, 1 thread, medians of {rounds} rounds\n")
    print("| denoiser | bare passes | autograd, unrolled | shattered | BPDA, exact |\n|:--|--:|--:|--:|--:|")
    pixels = torch.rand(4, 3, 16, 16, generator=generator)
    cost("eight convolutions, 4 images of 3x16x16", Convolutions(width=64, depth=8), pixels, rounds)
    cost(
        "the bundled one, 128 images of 1x8x8",
        digits_denoiser(),
        torch.rand(128, 1, 8, 8, generator=generator),
        rounds,
    )


def gradient_once(steps: int, eot: int) -> None:
    """Take one gradient, or none in 0 steps, and print the peak memory of this process in megabytes."""
    torch.set_num_threads(1)
    x = torch.rand(32, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    network, denoiser = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 10)).eval(), Convolutions()
    with prepared(network):
        model = defended(network, denoiser, max(1, steps), eot, bpda=True)
        if steps:
            loss_and_gradient(model, x, margins)
    print(peak_of_this_process() / 1e6)


def peak_megabytes(steps: int, eot: int) -> float:
    """Peak memory of a fresh process that takes one gradient; none in 0 steps.

    Tensors are mapped one by one, and given back when they are gone: on its own heap glibc keeps now more and
    now less of them, 123 to 142 MB for the same five steps.
    """
    command = [sys.executable, "-m", "benchmarks.purify_cost", "--memory-of", json.dumps([steps, eot])]
    mapped = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
    return float(subprocess.run(command, check=True, capture_output=True, text=True, env=mapped).stdout)


def memory() -> None:
    """Print what memory grows with."""
    empty = peak_megabytes(0, 1)
    print("\n| steps | draws | peak memory |\n|--:|--:|--:|")
    for steps, eot in ((5, 1), (20, 1), (50, 1), (5, 20)):
        print(f"| {steps} | {eot} | {peak_megabytes(steps, eot) - empty:.0f} MB |", flush=True)


def main() -> None:
    """Measure times in a process that keeps its memory, and memory in fresh ones."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--memory-of", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.memory_of:
        gradient_once(*options.memory_of)
    elif options.here:
        costs(options.rounds)
    else:
        command = [sys.executable, "-m", "benchmarks.purify_cost", "--here", "--rounds", str(options.rounds)]
        subprocess.run(command, check=True, env={**os.environ, **KEEP_MEMORY})
        memory()


if __name__ == "__main__":
    main()
