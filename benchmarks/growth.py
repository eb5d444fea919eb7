"""How the cost of an evaluation grows, one thing at a time, with the exponent of each.

    python -m benchmarks.growth --out growth

Evaluates a small fully convolutional network on noise, labelled as it classifies it, by PGD without early
stop, so that the work is known. Each axis varies one number and keeps the others. Before the exponent is
fitted (least squares of log seconds over log x) a fixed cost is subtracted, which the table shows beside it:
what the same evaluation costs with 8 images and one step; of defenses, what the undefended network costs,
which is always evaluated too; of processes, what the same command takes with 8 images and one step, start and
imports included. Seconds are the processor's, of one thread; of processes, which share a run of the digits
under torchrun, the clock's. All is run in turns, in random order, and numbers are medians. Under 5 minutes on
one core; `processes` wants two that are idle.
"""

import argparse
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.utils.data import TensorDataset

from advbench import Threat, evaluate
from advbench.attacks import PGD
from advbench.defenses import Round
from advbench.evaluation.plan import Chain

_FEW = 8  # images of the fixed cost
_BATCH = 32
_LEVEL = 1 / 255  # pixels are multiples of it, so that rounding to it leaves clean images as they are


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One evaluation.

    Args:
        images: how many.
        steps: of PGD.
        classes: that the network tells apart.
        side: of the images, in pixels.
        defenses: how many the network is put behind, one after another.
        processes: that share the run of `shared_seconds`.
    """

    images: int = 128
    steps: int = 10
    classes: int = 10
    side: int = 16
    defenses: int = 0
    processes: int = 1

    def idle(self) -> "Setting":
        """The same with next to nothing to do."""
        return replace(self, images=_FEW, steps=1)


class Axis(NamedTuple):
    """One thing that varies."""

    name: str
    x: Sequence[float]
    settings: Sequence[Setting]
    fixed: Sequence[Setting]
    seconds: Callable[[Setting], float]


class Curve(NamedTuple):
    """What an axis came to: seconds at each of `x`, those of the fixed cost, and the exponent of the rest."""

    name: str
    x: Sequence[float]
    seconds: Sequence[float]
    fixed: Sequence[float]
    exponent: float


def network(classes: int) -> nn.Module:
    """Three convolutions with BatchNorm, a mean over the pixels, and a linear layer."""
    layers: list[nn.Module] = []
    for inputs, outputs in ((3, 16), (16, 32), (32, 32)):
        layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, classes))


@torch.no_grad()
def subject(setting: Setting) -> tuple[nn.Module, TensorDataset]:
    """The network, and noise with the labels that it gives it."""
    torch.manual_seed(0)
    model = network(setting.classes).eval()
    x = torch.randint(0, 256, (setting.images, 3, setting.side, setting.side)) * _LEVEL
    return model, TensorDataset(x, model(x).argmax(1))


def processor_seconds(setting: Setting) -> float:
    """What an evaluation costs in this process."""
    model, data = subject(setting)
    defenses: dict[str, Chain] = {f"round {number}": Round(step=_LEVEL) for number in range(setting.defenses)}
    began = time.process_time()
    evaluate(
        model,
        data,
        threat=Threat.parse("linf", "8/255"),
        attacks={"pgd": PGD(steps=setting.steps, early_stop=False)},
        defenses=defenses,
        substitute="identity",
        batch_size=_BATCH,
    )
    return time.process_time() - began


def shared_seconds(setting: Setting) -> float:
    """What the command takes of the clock on the digits, its processes started by torchrun."""
    with tempfile.TemporaryDirectory() as folder:
        words = ["-m", "torch.distributed.run", "--nproc-per-node", str(setting.processes)]
        words += ["-m", "advbench", "attack", "--attack", f"pgd:steps={setting.steps},early_stop=no"]
        words += ["--first", str(setting.images), "--batch-size", str(_BATCH), "--device", "cpu"]
        words += ["--quiet", "--out", f"{folder}/run"]
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        began = time.perf_counter()
        subprocess.run([sys.executable, *words], check=True, capture_output=True, env=environment)
        return time.perf_counter() - began


def axes(base: Setting) -> list[Axis]:
    """All that varies, from a setting in the middle."""
    images = [base.images * factor // 2 for factor in (1, 2, 4, 8)]
    steps = [base.steps * factor for factor in (1, 2, 4, 8)]
    classes, sides, defenses, processes = (10, 100, 1000), (8, 16, 32, 64), (1, 2, 4, 8), (1, 2)
    by_images = [replace(base, images=value) for value in images]
    by_steps = [replace(base, steps=value) for value in steps]
    by_classes = [replace(base, classes=value) for value in classes]
    by_side = [replace(base, side=value) for value in sides]
    by_defenses = [replace(base, defenses=value) for value in defenses]
    by_processes = [
        replace(base, processes=value, images=min(2 * base.images, 360), steps=200 * base.steps)
        for value in processes
    ]
    squares = [side**2 for side in sides]
    undefended = [base] * len(defenses)
    return [
        Axis("images", images, by_images, [setting.idle() for setting in by_images], processor_seconds),
        Axis("steps", steps, by_steps, [setting.idle() for setting in by_steps], processor_seconds),
        Axis("classes", classes, by_classes, [setting.idle() for setting in by_classes], processor_seconds),
        Axis("pixels", squares, by_side, [setting.idle() for setting in by_side], processor_seconds),
        Axis("defenses", defenses, by_defenses, undefended, processor_seconds),
        Axis(
            "processes", processes, by_processes, [setting.idle() for setting in by_processes], shared_seconds
        ),
    ]


def exponent(x: Sequence[float], seconds: Sequence[float]) -> float:
    """The slope of log seconds over log x, by least squares; NaN where a fixed cost is all there is."""
    if min(seconds) <= 0.0:
        return float("nan")
    return float(np.polyfit(np.log(x), np.log(seconds), 1)[0])


def measure(chosen: Sequence[Axis], rounds: int) -> list[Curve]:
    """Run everything in turns and take medians.

    Args:
        chosen: what varies.
        rounds: how often each is run.
    """
    processor_seconds(Setting(images=_FEW, steps=1))  # wakes libraries up
    tasks = {(axis.seconds, setting) for axis in chosen for setting in (*axis.settings, *axis.fixed)}
    taken: dict[tuple[Callable[[Setting], float], Setting], list[float]] = {task: [] for task in tasks}
    for number in range(rounds):
        for task in random.sample(list(tasks), len(tasks)):
            seconds, setting = task
            taken[task].append(seconds(setting))
        print(f"round {number + 1} of {rounds}", file=sys.stderr, flush=True)
    medians = {task: statistics.median(times) for task, times in taken.items()}
    curves = []
    for axis in chosen:
        whole = [medians[axis.seconds, setting] for setting in axis.settings]
        fixed = [medians[axis.seconds, setting] for setting in axis.fixed]
        rest = [one - other for one, other in zip(whole, fixed, strict=True)]
        curves.append(Curve(axis.name, axis.x, whole, fixed, exponent(axis.x, rest)))
    return curves


def markdown(curves: Sequence[Curve]) -> str:
    """A line an axis: its values, seconds with the fixed cost in brackets, and the exponent."""
    lines = ["| grows with | values | seconds (of them fixed) | exponent |", "| :-- | :-- | :-- | --: |"]
    for curve in curves:
        values = ", ".join(f"{value:,.0f}" for value in curve.x)
        pairs = zip(curve.seconds, curve.fixed, strict=True)
        seconds = ", ".join(f"{whole:.2f} ({fixed:.2f})" for whole, fixed in pairs)
        lines.append(f"| {curve.name} | {values} | {seconds} | {curve.exponent:.2f} |")
    return "\n".join(lines)


def write(curves: Sequence[Curve], out: Path) -> None:
    """`growth.csv`, `growth.md`, and the figure as PNG and SVG."""
    out.mkdir(parents=True, exist_ok=True)
    rows = [
        {"grows_with": curve.name, "x": x, "seconds": whole, "fixed": fixed, "exponent": curve.exponent}
        for curve in curves
        for x, whole, fixed in zip(curve.x, curve.seconds, curve.fixed, strict=True)
    ]
    pd.DataFrame(rows).to_csv(out / "growth.csv", index=False)
    (out / "growth.md").write_text(f"{markdown(curves)}\n", encoding="utf-8")
    try:
        draw(curves, out)
    except ImportError:
        print("no figure: pip install 'advbench[figures]'", file=sys.stderr)


def draw(curves: Sequence[Curve], out: Path) -> None:
    """Seconds without the fixed cost over each axis, both logarithmic, and dashed what is proportional."""
    from matplotlib.figure import Figure  # noqa: PLC0415  # an extra

    figure = Figure(figsize=(7.5, 2.4 * -(-len(curves) // 3)), layout="constrained")
    panels = figure.subplots(-(-len(curves) // 3), min(3, len(curves)), squeeze=False).flatten()
    for panel, curve in zip(panels, curves, strict=False):
        rest = [whole - fixed for whole, fixed in zip(curve.seconds, curve.fixed, strict=True)]
        slope = -1 if curve.name == "processes" else 1
        panel.loglog(curve.x, [rest[0] * (x / curve.x[0]) ** slope for x in curve.x], "--", color="0.7")
        panel.loglog(curve.x, rest, "o-", color="C3", markersize=4)
        panel.set_xticks(curve.x, [f"{x:,.0f}" for x in curve.x])
        panel.set_xticks([], minor=True)
        panel.set_title(f"{curve.name}: exponent {curve.exponent:.2f}", fontsize="small")
        panel.tick_params(labelsize="x-small", which="both")
    for panel in panels[len(curves) :]:
        panel.remove()
    figure.supylabel("seconds beyond the fixed cost", fontsize="small")
    for ending in ("png", "svg"):
        figure.savefig(out / f"growth.{ending}", dpi=150)


def main(given: Sequence[str] | None = None) -> None:
    """Measure, and write and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    base = Setting()
    names = [axis.name for axis in axes(base)]
    parser.add_argument("--out", type=Path, required=True, help="where table and figure go")
    parser.add_argument("--axes", default=",".join(names), help=f"of {', '.join(names)}, with commas between")
    parser.add_argument("--images", type=int, default=base.images)
    parser.add_argument("--steps", type=int, default=base.steps)
    parser.add_argument("--rounds", type=int, default=3)
    words = parser.parse_args(given)
    wanted = words.axes.split(",")
    if unknown := set(wanted) - set(names):
        parser.error(f"there is no axis {min(unknown)!r}; known: {', '.join(names)}")
    torch.set_num_threads(1)
    chosen = [
        axis for axis in axes(replace(base, images=words.images, steps=words.steps)) if axis.name in wanted
    ]
    curves = measure(chosen, words.rounds)
    write(curves, words.out)
    print(markdown(curves))


if __name__ == "__main__":
    main()
