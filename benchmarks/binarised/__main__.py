"""Print what stands of 100 MNIST images: `python -m benchmarks.binarised --data-root FOLDER --out FOLDER`.

Minutes of one core. Rows of one network differ in how its signs are written, not in its logits. Runs that the
folder has are not done again.
"""

import argparse
import os
from pathlib import Path
from typing import Final, NamedTuple

import pandas as pd
import torch

from benchmarks.adaptive.measure import run_quietly
from benchmarks.binarised.networks import ROOT

_RUNGS: Final = ("clean", "shattered", "bpda", "gradient_free", "worst")


class Case(NamedTuple):
    """A network, the radius in L-inf, and what stands before it."""

    factory: str
    eps: str
    defense: str = "none"


CASES: Final = (
    Case("connected", "0.05"),
    Case("connected__by_detach", "0.05"),
    Case("connected__bare", "0.05"),
    Case("connected_binary_input", "0.3"),
    Case("connected", "0.3", "bit-depth:bits=1"),
    Case("convolutional", "0.05"),
)


def words_of(case: Case, data_root: Path) -> list[str]:
    """The command of a case, behind `advbench`."""
    before = [] if case.defense == "none" else ["--defense", case.defense]
    shared = f"attack --dataset mnist --first 100 --normalization none --ladder --eps {case.eps}".split()
    model = f"benchmarks.binarised.networks:{case.factory}"
    stand_in = ["--surrogate", "soft-steps", "--gradient-free", "square:queries=1000"]
    return [*shared, "--data-root", str(data_root), "--model", model, *before, *stand_in]


def row_of(case: Case, run: Path) -> str:
    """A row of the table in Markdown, of the run's own last row."""
    row = pd.read_csv(run / "table.csv").iloc[-1]
    counts = [str(int(row[f"{rung}_count"])) for rung in _RUNGS]
    return f"| {' | '.join((case.factory, case.defense, case.eps, *counts))} |"


def main() -> None:
    """Run what is missing, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data-root", type=Path, required=True, help="where MNIST is")
    parser.add_argument("--out", type=Path, required=True, help="where runs are kept")
    options = parser.parse_args()
    os.environ[ROOT] = str(options.data_root)
    torch.set_num_threads(1)
    print("| network | before it | eps | clean | its own gradient | soft steps | gradient-free | worst |")
    print("|:--|:--|--:|--:|--:|--:|--:|--:|")
    for number, case in enumerate(CASES):
        run = options.out / f"{number}-{case.factory}"
        run_quietly(words_of(case, options.data_root), run)
        print(row_of(case, run), flush=True)


if __name__ == "__main__":
    main()
