"""One table, however it was computed: the same evaluation at several batch sizes and numbers of processes.

    python -m benchmarks.same_table --checkpoint mnist_lenet5_advtrained.pt --data-root data/mnist

The last two columns compare the runs' records, image by image, with those of the first run: on how many
images and rungs they disagree about the verdict, and how far the losses are apart at most.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

ATTACK = ["-m", "advbench", "attack", "--model", "lenet5", "--dataset", "mnist"]
ATTACK += ["--defense", "bit-depth:bits=2", "--bpda", "--quiet"]
TORCHRUN = ["-m", "torch.distributed.run", "--nproc-per-node"]
COLUMNS = {
    "clean": ("none", "clean"),
    "undefended": ("none", "shattered"),
    "2 bits, shattered": ("bit-depth:bits=2", "shattered"),
    "2 bits, BPDA": ("bit-depth:bits=2", "bpda"),
}
KEYS = ["defense", "attack", "rung", "index"]


class Way(NamedTuple):
    """A way to compute the evaluation."""

    batch_size: str
    processes: int


WAYS = [*(Way(size, 1) for size in ("256", "64", "7", "1", "auto")), Way("256", 2), Way("7", 2)]


def compute(way: Way, words: list[str], home: Path) -> pd.DataFrame:
    """Run the command in one way, and return its samples."""
    out = home / f"{way.batch_size}-{way.processes}"
    launcher = [*TORCHRUN, str(way.processes)] if way.processes > 1 else []
    command = [sys.executable, *launcher, *ATTACK, *words, "--batch-size", way.batch_size, "--out", str(out)]
    done = subprocess.run(
        command, check=False, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    if done.returncode:
        raise SystemExit(done.stderr)
    assert json.loads((out / "run.json").read_text())["execution"]["processes"] == way.processes
    return pd.read_parquet(out / "samples.parquet").sort_values(KEYS, ignore_index=True)


def main() -> None:
    """Compute the evaluation in every way and print a line for each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--checkpoint", type=Path, required=True, help="mnist_lenet5_advtrained.pt")
    parser.add_argument("--data-root", type=Path, required=True, help="the folder that holds MNIST/raw")
    parser.add_argument("--first", type=int, default=1000, help="images (default: 1000)")
    given = parser.parse_args()
    words = ["--checkpoint", str(given.checkpoint), "--data-root", str(given.data_root)]
    words += ["--first", str(given.first)]
    print(
        f"| {' | '.join(['batch size', 'processes', *COLUMNS, 'verdicts that differ', 'losses, at most'])} |"
    )
    print(f"|{' --: |' * (len(COLUMNS) + 4)}")
    reference: pd.DataFrame | None = None
    with tempfile.TemporaryDirectory() as home:
        for way in WAYS:
            samples = compute(way, words, Path(home))
            reference = samples if reference is None else reference
            standing = samples.groupby(["defense", "rung"])["robust"].sum()
            assert samples[KEYS].equals(reference[KEYS])
            differing = int((samples["robust"] != reference["robust"]).sum())
            apart = float(np.abs(samples["loss"] - reference["loss"]).max())
            counts = " | ".join(str(standing[rung]) for rung in COLUMNS.values())
            print(
                f"| {way.batch_size} | {way.processes} | {counts} | {differing} | {apart:.2g} |", flush=True
            )


if __name__ == "__main__":
    main()
