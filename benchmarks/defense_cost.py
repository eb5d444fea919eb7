"""What a gradient step with BPDA costs behind each built-in defense.

    python -m benchmarks.defense_cost

A step through the defended model beside its parts: the bare forward and input-only backward pass of
ResNet-20, the defense's own forward pass, and the forward and backward pass of its best known substitute.
All four run in turns, in random order, in one process whose allocator keeps its memory, on one core; the
ratio is that of the medians. Images are noise averaged over 3x3 pixels, as rough as photographs or rougher;
a random defense has one draw.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any, Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from advbench import DefendedModel, Draws, Placement
from advbench.defended.gradient import loss_and_gradient
from advbench.defended.left_as_found import prepared
from advbench.defended.substitutes import average_pool, element_name
from advbench.defenses import DEFENSES, MeanSparse, Purify, Quilt, ResizePad, channel_statistics, patch_bank
from advbench.draws.sampling import ONE_DRAW, drawn
from benchmarks.pgd_cost import KEEP_MEMORY, bare, measure, network
from benchmarks.purify_cost import Convolutions

INSIDE: Final = {
    "dropout-activations": "layer2",
    "k-wta": "layer2",
    "quantize-activations": "layer2",
    "meansparse": "layer2",
    "reverse-sigmoid": "logits",
    "argmax": "logits",
}
"""Places of the defenses that do not belong at the input."""
HEADER: Final = ("defense g", "substitute s", "bare", "g", "s", "step", "step / (bare + g + s)")


def made(name: str, model: nn.Module, at: str, x: Tensor) -> Any:
    """A defense with its defaults; of the input's size, and with what it needs to know."""
    if name == "quilt":
        return Quilt(bank=patch_bank(x))
    if name == "meansparse":
        return MeanSparse(statistics=channel_statistics(model, [x], [at])[0])
    if name == "purify":
        return Purify(denoiser=Convolutions())
    return ResizePad(keep=True) if name == "resize-pad" else DEFENSES[name].load()()


def seen(model: nn.Module, at: str, x: Tensor) -> Tensor:
    """What a defense at this place is given."""
    if at == "input":
        return x
    inputs: list[Tensor] = []
    if at == "logits":
        at = ""  # the output of the network itself
    handle = model.get_submodule(at).register_forward_hook(lambda _m, _i, y: inputs.append(y.detach()))
    model(x)
    handle.remove()
    return inputs[0]


def parts(name: str, model: nn.Module, x: Tensor) -> tuple[str, dict[str, Callable[[], object]]]:
    """The substitute's name, and what is timed."""
    at = INSIDE.get(name, "input")
    placement = Placement(made(name, model, at, x), at)
    y, z = model(x).argmax(1), seen(model, at, x)
    draws: Draws | None = ONE_DRAW.draws(z, 0) if placement.is_random else None
    defense = drawn(placement.defense, draws)
    substitute = drawn(placement.chosen_substitute, draws)
    with torch.no_grad():
        grad = torch.randn_like(defense(z))
    defended = DefendedModel(model, [Placement(placement.defense, at)], bpda=True)

    def backward() -> None:
        point = z.clone().requires_grad_()
        torch.autograd.grad(substitute(point), point, grad)

    return element_name(placement.chosen_substitute), {
        "bare": lambda: bare(model, x, y, 1),
        "defense": torch.no_grad()(lambda: defense(z)),
        "substitute": backward,
        "step": lambda: loss_and_gradient(
            defended, x, lambda z, piece: F.cross_entropy(z, y[piece], reduction="none")
        ),
    }


def cost(names: list[str], batch: int, rounds: int) -> None:
    """Print the table."""
    torch.set_num_threads(1)
    model = network()
    x = average_pool(torch.rand(batch, 3, 32, 32, generator=torch.Generator().manual_seed(0)))
    print(f"ResNet-20, {batch} images of 3x32x32, 1 thread, medians of {rounds} rounds, ms\n")
    print(f"| {' | '.join(HEADER)} |\n| :-- | :-- | {' | '.join(['--:'] * 5)} |")
    with prepared(model):
        for name in names:
            which, tasks = parts(name, model, x)
            times = {part: took.process for part, took in measure(tasks, rounds).items()}
            whole = times["bare"] + times["defense"] + times["substitute"]
            figures = [f"{times[part] * 1e3:,.1f}" for part in ("bare", "defense", "substitute", "step")]
            ratio = f"{times['step'] / whole:.2f}"
            print(f"| {' | '.join([name, which, *figures, ratio])} |", flush=True)


def main() -> None:
    """Measure in a process that keeps its memory."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--defense", action="append", help="a built-in defense; repeat it (by default all)")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.here:
        cost(options.defense or list(DEFENSES), options.batch, options.rounds)
        return
    command = [sys.executable, "-m", "benchmarks.defense_cost", "--here", *sys.argv[1:]]
    subprocess.run(command, check=True, env={**os.environ, **KEEP_MEMORY})


if __name__ == "__main__":
    main()
