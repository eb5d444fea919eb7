"""What a gradient step costs on the copies that attacks differentiate, over the same step on the model.

    python -m benchmarks.step_cost
    python -m benchmarks.step_cost --models resnet50 --size 224 --device cuda --compile

Bare: a forward pass and an input-only backward pass of the frozen model, 256 images together, or as many as
`--limit` says. Ours: the same work on the working copy (BatchNorm folded, channels-last memory), and on the
copy in bfloat16, each in pieces of the size that an evaluation's probe chooses. All in turns, in random
order, in one process whose allocator keeps its memory; the ratio is that of the medians of the processor's
seconds, on a GPU of the clock's. Weights are random: they do not change the cost.

`same signs` is the share of pixels at which the gradient of the copy has the sign of the model's own, where
this is not zero. On CUDA there is also the float32 copy with TF32 in its convolutions, which advbench turns
off. The last column is the part of `--peak` (in teraflops) that a step reaches, counting the operations of a
forward and an input-only backward pass of the bare model, two a multiplication.
"""

import argparse
import os
import statistics
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from typing import Final, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from advbench.defended.left_as_found import prepared
from advbench.models.network import build_network
from advbench.names.grammar import parse_spec
from advbench.speed.batch_size import probed_size
from advbench.speed.compiling import compiled
from advbench.speed.working_copy import in_bfloat16, working_copy
from benchmarks.pgd_cost import KEEP_MEMORY, measure

BATCH: Final = 256
SIDES: Final = {"digits-cnn": (1, 8), "lenet5": (1, 28), "resnet20": (3, 32)}
MODELS: Final = (*SIDES, "resnet18", "vgg11_bn", "mobilenet_v2", "densenet121", "convnext_tiny")


class Line(NamedTuple):
    """A line of the table."""

    model: str
    copy: str
    pieces: int
    ratio: float
    same_signs: float
    seconds: float


def step(model: nn.Module, x: Tensor, y: Tensor, pieces: int) -> Tensor:
    """The loss's gradient at `x`, `(n, c, h, w)`, computed in pieces."""
    grads = []
    for part, labels in zip(torch.split(x, pieces), torch.split(y, pieces), strict=True):
        point = part.detach().requires_grad_()
        loss = F.cross_entropy(model(point).float(), labels, reduction="sum")
        grads.append(torch.autograd.grad(loss, point)[0])
    if x.device.type != "cpu":
        torch.accelerator.synchronize(x.device)
    return torch.cat(grads)


def lines_of(name: str, words: argparse.Namespace) -> list[Line]:
    """The table's lines of one model."""
    torch.manual_seed(0)
    channels, side = SIDES.get(name, (3, words.size))
    model = build_network(parse_spec(name), 10).to(words.device)
    x = torch.rand(words.limit, channels, side, side).to(words.device)
    with prepared(model):
        y = model(x[:8]).argmax(1).repeat(words.limit // 8 + 1)[: words.limit]
        copies: dict[str, nn.Module | None] = {"float32": working_copy(model, x[:8], (), print)}
        assert copies["float32"] is not None
        copies["bfloat16"] = in_bfloat16(copies["float32"], x[:8], print)
        if words.compile:
            copies["compiled"] = compiled(copies["float32"], x[: min(64, words.limit)], print)
        if words.device.startswith("cuda"):
            torch.backends.cudnn.allow_tf32 = False
            copies["tf32"] = copies["float32"]
        made = {copy_name: copy for copy_name, copy in copies.items() if copy is not None}
        sizes = {
            copy_name: min(64, words.limit)
            if copy_name == "compiled"
            else probed_size(copy, x[:1], words.limit)
            for copy_name, copy in made.items()
        }

        def step_of(copy_name: str) -> Tensor:
            with torch.backends.cudnn.flags(enabled=True, allow_tf32=copy_name == "tf32"):
                return step(made[copy_name], x, y, sizes[copy_name])

        tasks: dict[str, Callable[[], object]] = {
            copy_name: partial(step_of, copy_name) for copy_name in made
        }
        times = measure({"bare": lambda: step(model, x, y, words.limit), **tasks}, words.rounds)
        meant = step(model, x, y, words.limit)
        signs = {copy_name: _same_signs(step_of(copy_name), meant) for copy_name in made}
    on_cpu = words.device == "cpu"
    seconds = {copy_name: time.process if on_cpu else time.wall for copy_name, time in times.items()}
    return [
        Line(
            name,
            copy_name,
            sizes[copy_name],
            seconds[copy_name] / seconds["bare"],
            signs[copy_name],
            seconds[copy_name],
        )
        for copy_name in made
    ]


def _same_signs(grad: Tensor, meant: Tensor) -> float:
    there = meant != 0.0
    return float((grad[there].sign() == meant[there].sign()).float().mean())


def flops_of(name: str, size: int) -> int:
    """Floating-point operations of a gradient step on one image: back costs as much as forth."""
    channels, side = SIDES.get(name, (3, size))
    with FlopCounterMode(display=False) as counter:
        build_network(parse_spec(name), 10).eval()(torch.rand(1, channels, side, side))
    return 2 * int(counter.get_total_flops())


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--models", nargs="+", default=MODELS)
    parser.add_argument("--size", type=int, default=64, help="side of the images where the model takes any")
    parser.add_argument("--limit", type=int, default=BATCH, help="images")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--peak", type=float, help="of the device in teraflops")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    words = parser.parse_args()
    if not words.here:
        command = [sys.executable, "-m", "benchmarks.step_cost", *sys.argv[1:], "--here"]
        sys.exit(subprocess.run(command, check=False, env={**os.environ, **KEEP_MEMORY}).returncode)
    lines = [line for name in words.models for line in lines_of(name, words)]
    print(f"{torch.get_num_threads()} threads, {words.limit} images, median of {words.rounds} rounds\n")
    peak = " of peak |" if words.peak else ""
    print(f"| model | copy | images at a time | of bare | same signs |{peak}")
    print(f"| :-- | :-- | --: | --: | --: |{' --: |' if words.peak else ''}")
    for line in lines:
        last = ""
        if words.peak:
            rate = flops_of(line.model, words.size) * words.limit / line.seconds / 1e12
            last = f" {rate / words.peak:.2f} |"
        print(
            f"| {line.model} | {line.copy} | {line.pieces} | {line.ratio:.2f} | {line.same_signs:.4f} |{last}"
        )
    kept = [line.ratio for line in lines if line.copy == "float32"]
    print(f"\nfloat32: at most {max(kept):.2f} of bare, median {statistics.median(kept):.2f}")


if __name__ == "__main__":
    main()
