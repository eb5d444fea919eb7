"""What an attack in bfloat16 leaves standing, and what it costs, beside the same attack in float32.

    python -m benchmarks.precision --cifar-data data/cifar10-jpeg --cifar-checkpoint resnet20-12fca82f.th \
        --mnist-data data/mnist --mnist-checkpoint mnist_lenet5_advtrained.pt

Without data it compares on the digits that the package brings. The images are classified correctly when they
are clean; `of them` counts those that stand in one of the two alone. Seconds are the processor's, of the
whole evaluation, after one that warms up.
"""

import argparse
import time
from dataclasses import replace
from pathlib import Path
from typing import Final, NamedTuple

from torch.utils.data import TensorDataset

from advbench import Copies, Threat, evaluate
from advbench.attacks import APGD, PGD
from advbench.speed.working_copy import Precision
from advbench.threat.attack import Attack
from benchmarks.peer_points import POINTS, ROBUST, Case, Source, case_of

RADII: Final = {
    "cifar-pgd": ("0.25/255", "0.5/255", "1/255"),
    "robust-pgd": ("4/255", "8/255"),
    "mnist-pgd": ("0.3",),
    "digits-pgd": ("0.05", "0.1"),
}
ATTACKS: Final[dict[str, Attack]] = {"pgd:steps=20": PGD(steps=20), "apgd:steps=50": APGD(steps=50)}


class Outcome(NamedTuple):
    """What one evaluation came to."""

    standing: set[int]
    seconds: float


def outcome_of(case: Case, eps: str, attack: str, precision: Precision) -> Outcome:
    """Evaluate the undefended network."""
    began = time.process_time()
    done = evaluate(
        case.model,
        TensorDataset(case.x, case.y),
        threat=Threat.parse("linf", eps),
        attacks={attack: ATTACKS[attack]},
        rungs=(),
        copies=Copies(precision=precision),
    )
    seconds = time.process_time() - began
    samples = done.samples
    standing = samples[(samples["rung"] == "shattered") & samples["robust"]]["index"]
    return Outcome(set(standing), seconds)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name in ("cifar-data", "cifar-checkpoint", "mnist-data", "mnist-checkpoint"):
        parser.add_argument(f"--{name}", type=Path)
    parser.add_argument("--images", type=int, default=500)
    parser.add_argument("--device", default="cpu")
    words = parser.parse_args()
    sources = {"digits-pgd": Source("digits-cnn", "digits")}
    if words.cifar_data is not None:
        sources["cifar-pgd"] = Source("resnet20", "imagefolder", words.cifar_checkpoint, words.cifar_data)
        sources["robust-pgd"] = Source("resnet20", "imagefolder", ROBUST, words.cifar_data)
    if words.mnist_data is not None:
        sources["mnist-pgd"] = Source("lenet5", "mnist", words.mnist_checkpoint, words.mnist_data)
    print("| network | eps | attack | n | float32 stand | bfloat16 stand | of them | time |")
    print("| :-- | :-- | :-- | --: | --: | --: | --: | --: |")
    for point in POINTS:
        if point.name not in sources or point.name not in RADII:
            continue
        count = 200 if point.name == "digits-pgd" else words.images
        case = case_of(replace(point, images=count), sources[point.name], words.device)
        network = point.name.removesuffix("-pgd")
        for eps in RADII[point.name]:
            for attack in ATTACKS:
                outcome_of(case._replace(x=case.x[:32], y=case.y[:32]), eps, attack, "bf16")
                exact, rough = (outcome_of(case, eps, attack, precision) for precision in ("fp32", "bf16"))
                alone = len(exact.standing ^ rough.standing)
                print(
                    f"| {network} | {eps} | {attack} | {len(case.x)} | {len(exact.standing)} "
                    f"| {len(rough.standing)} | {alone} | {rough.seconds / exact.seconds:.2f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
