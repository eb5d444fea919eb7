"""One table behind random and fixed defenses: by copies that differ in last bits, batch sizes and processes.

    python -m benchmarks.same_ways --norm linf

Six attacks on digits behind a defense that draws and one that does not, computed in every way. Each line says
of how many records the verdict is another than in the first way, and how many of the judged examples are
further than 1e-3 from those of the first way at some pixel. The first also comes of the judge's draws, at an
example whose last bits are others; the second is where an attack went another way.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Final, NamedTuple

import pandas as pd
import torch

import advbench
from advbench.evaluation import faster_plan
from advbench.runs.examples import read_examples

KEYS: Final = ["defense", "attack", "rung", "index"]
ATTACKS: Final = (
    "pgd:steps=10",
    "apgd:steps=10",
    "square:queries=30",
    "fab:steps=4,targets=2",
    "autoattack:steps=3,queries=20",
    "strongest:steps=4,queries=20",
)
RANDOM, FIXED = "noise:sigma=0.15", "median"
FAR: Final = 1e-3
EPS: Final = {"linf": "0.1", "l2": "0.8"}


class Way(NamedTuple):
    """How the evaluation is computed."""

    copy: str = "fast"
    """`fast`, `plain`, `compiled` or `bf16`."""
    batch_size: int = 256
    processes: int = 1


WAYS: Final = (
    Way(),
    *(Way(copy) for copy in ("plain", "compiled", "bf16")),
    *(Way(batch_size=size) for size in (64, 16, 7, 1)),
    Way(processes=2),
    Way(processes=4),
)


class Computed(NamedTuple):
    """The records of a run, and its examples beside them."""

    samples: pd.DataFrame
    x_adv: dict[tuple[Any, ...], torch.Tensor]


def compute(way: Way, settings: dict[str, Any], out: Path) -> Computed:
    """Run the evaluation in one way."""
    if way.processes == 1:
        copies: dict[str, Any] = {"fast": way.copy != "plain", "compiled": way.copy == "compiled"}
        precision = "bf16" if way.copy == "bf16" else "fp32"
        advbench.run(**settings, **copies, precision=precision, batch_size=way.batch_size, out=out)
    else:
        _launch(way, settings, out)
    samples = pd.read_parquet(out / "samples.parquet").sort_values(KEYS, ignore_index=True)
    x_adv = {}
    for file in (out / "adversarial").glob("*.safetensors"):
        examples = read_examples(file)
        for index, example in zip(examples.indices.tolist(), examples.x_adv, strict=True):
            x_adv[*examples.cell, index] = example
    return Computed(samples, x_adv)


def _launch(way: Way, settings: dict[str, Any], out: Path) -> None:
    words = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(way.processes)]
    words += ["-m", "advbench", "attack", "--quiet", "--out", str(out), "--save-adversarial"]
    words += ["--batch-size", str(way.batch_size), *(["--no-fast"] if way.copy == "plain" else [])]
    for name in ("first", "norm", "eps", "eot"):
        words += [f"--{name}", str(settings[name])]
    words += ["--judge-draws", str(settings["judge_draws"])]
    for option, values in (("--defense", settings["defenses"]), ("--attack", settings["attacks"])):
        words += [word for value in values for word in (option, value)]
    done = subprocess.run(
        words, check=False, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    if done.returncode:
        raise SystemExit(done.stderr)


def _differing(way: Computed, first: Computed, defense: str) -> str:
    """In how many records the verdict, and in how many examples a pixel, is another than in the first way."""
    assert way.samples[KEYS].equals(first.samples[KEYS])
    its = way.samples["defense"] == defense
    verdicts = int((way.samples["robust"] != first.samples["robust"])[its].sum())
    keys = [key for key in first.x_adv if defense in key]
    assert all(key in way.x_adv for key in keys)
    far = sum(float((way.x_adv[key] - first.x_adv[key]).abs().max()) > FAR for key in keys)
    return f"{verdicts} of {int(its.sum())} | {far} of {len(keys)}"


def main() -> None:
    """Compute the evaluation in every way and print a line for each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--norm", choices=EPS, default="linf")
    parser.add_argument("--first", type=int, default=12, help="images (default: 12)")
    given = parser.parse_args()
    settings: dict[str, Any] = {
        "attacks": ATTACKS,
        "defenses": [RANDOM, FIXED],
        "norm": given.norm,
        "eps": EPS[given.norm],
        "first": given.first,
        "eot": 2,
        "judge_draws": 21,
    }
    names = [f"{what} ({defense})" for defense in (RANDOM, FIXED) for what in ("verdicts", "examples")]
    print(f"| {' | '.join(['copy', 'batch size', 'processes', *names])} |")
    print("|:--|" + " --: |" * 6)
    torch.set_num_threads(1)
    faster_plan._PAYS = 0.0  # type: ignore[misc]  # runs as short as these are not compiled otherwise
    first: Computed | None = None
    with tempfile.TemporaryDirectory() as home:
        for number, way in enumerate(WAYS):
            computed = compute(
                way,
                {**settings, "data": "digits", "save_adversarial": True},
                Path(home, str(number)),
            )
            first = computed if first is None else first
            differing = " | ".join(_differing(computed, first, defense) for defense in (RANDOM, FIXED))
            print(f"| {way.copy} | {way.batch_size} | {way.processes} | {differing} |", flush=True)


if __name__ == "__main__":
    main()
