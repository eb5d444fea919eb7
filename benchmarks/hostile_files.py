"""Hostile files of every kind that is read: checkpoints, data, sweeps, runs, trainings.

    python -m benchmarks.hostile_files --count 1200 --seed 0 --out files.jsonl

Prints a line of figures; ends with 1 where a file made a command hang, fill memory, show a traceback, blame
advbench, or start a program. The same command goes on where it was stopped.
"""

import random
import tempfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Final

from benchmarks.forked_cases import Case, asked, in_a_fork, outcomes, tell
from benchmarks.fuzz_lines import import_everything
from benchmarks.hostile_checkpoints import hostile_checkpoint
from benchmarks.hostile_data import (
    hostile_arrays,
    hostile_bank,
    hostile_mnist,
    hostile_names,
    hostile_pictures,
)
from benchmarks.hostile_runs import Stock, hostile_toml, make_stock

Make = Callable[[random.Random, Path], list[str]]

_PLAIN: Final[dict[str, tuple[Make, int]]] = {
    "checkpoint": (hostile_checkpoint, 5),
    "arrays": (hostile_arrays, 2),
    "bank": (hostile_bank, 1),
    "class names": (hostile_names, 1),
    "files of MNIST": (hostile_mnist, 1),
    "pictures": (hostile_pictures, 3),
    "sweep's file": (hostile_toml, 2),
}
"""Each kind with how often it comes."""


def main() -> None:
    """The figures, as the module says."""
    asked("Hostile files.", 1200, run)


def run(count: int, seed: int, kept: Path | None = None, *, verbose: bool = False) -> tuple[str, bool]:
    """Run a command on each file; the figures, and whether all is well."""
    from advbench.cli import main as advbench  # noqa: PLC0415  # with all that it imports

    import_everything()
    with tempfile.TemporaryDirectory(prefix="stock-") as home:
        stock = make_stock(Path(home), partial(in_a_fork, advbench))
        tried = outcomes(cases(count, seed, stock), kept, advbench)
        return tell(tried, "hostile files", seed, verbose=verbose)


def cases(count: int, seed: int, stock: Stock) -> Iterator[Case]:
    """The files, each a function of the seed and its number."""
    kinds = {
        **_PLAIN,
        "run": (stock.hostile_run, 6),
        "training": (stock.hostile_training, 1),
        "sweep": (stock.hostile_sweep, 1),
    }
    weights = [weight for _, weight in kinds.values()]
    for number in range(count):
        draw = random.Random(f"{seed}/{number}")  # noqa: S311  # no secrets
        kind = draw.choices([*kinds], weights)[0]
        yield Case(number, kind, partial(kinds[kind][0], draw))


if __name__ == "__main__":
    main()
