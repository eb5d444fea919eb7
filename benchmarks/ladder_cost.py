"""What the ladder costs beside its rungs' attacks: clean images, judging, the search, indicators.

    python -m benchmarks.ladder_cost [--images 360]

Counts forward and backward passes of the bundled network behind three defenses, not times, so that any
machine prints nearly the same. A pass is one image; backward passes count twice, as they cost.
"""

import argparse
import sys

from torch.utils.data import TensorDataset

from advbench import Placement, Threat, evaluate
from advbench.attacks import PGD, Square
from advbench.defenses import Median, Round
from advbench.evaluation.plan import Chain
from advbench.results.records import LADDER
from benchmarks.gallery import bundled, digits
from benchmarks.meter import metered

DEFENSES: dict[str, Chain] = {
    "round": Round(),
    "round@layer2": Placement(Round(), "network.layer2"),
    "median": Median(),
}
BACKWARD = 2  # forward passes that a backward pass costs


def passes_of(name: str, data: TensorDataset, *, whole: bool) -> int:
    """Passes of the ladder, or of its rungs' attacks alone: with a named substitute, and no indicators."""
    model, meter = metered(bundled())
    evaluate(
        model,
        data,
        threat=Threat("linf", 0.15),
        attacks={"pgd": PGD()},
        gradient_free={"square:queries=1000": Square(queries=1000)},
        defenses={name: DEFENSES[name]},
        substitute=() if whole else "identity",
        rungs=LADDER if whole else LADDER[:-1],
        batch_size=len(data),
    )
    return meter.forward + BACKWARD * meter.backward


def held_out(count: int) -> TensorDataset:
    """The last so many of the digits."""
    x, y = digits()
    return TensorDataset(x[-count:], y[-count:])


def main() -> None:
    """Print a table in Markdown."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=360, help="the last so many of the digits")
    count = parser.parse_args().images
    data = held_out(count)
    sys.stdout.write("| defense | attacks | the whole ladder | ratio |\n|:--|--:|--:|--:|\n")
    for name in DEFENSES:
        attacks, whole = (passes_of(name, data, whole=is_whole) for is_whole in (False, True))
        sys.stdout.write(f"| {name} | {attacks:,} | {whole:,} | {whole / attacks:.2f} |\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
