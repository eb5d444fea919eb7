"""Measure the gallery and print its table in Markdown: `python -m benchmarks.adaptive --out FOLDER`.

Four minutes of one core. What the folder has is not measured again: the script goes on where it was stopped.
"""

import argparse
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch

from benchmarks.adaptive.line import Line
from benchmarks.adaptive.lines import LINES
from benchmarks.adaptive.measure import Measured, measure

_HEAD = (
    "defense",
    "kind",
    "clean",
    "our worst rung",
    "adaptive attack",
    "difference",
    "verdict",
    "right verdict",
    "command line",
)


def folder_of(line: Line, out: Path) -> Path:
    """Where a line's measurements are kept."""
    return out / line.name.replace(" ", "-")


def table_row(line: Line, measured: Measured) -> str:
    """A row of the table in Markdown."""
    verdict = measured.verdict.partition(":")[0]
    right = " or ".join(line.right)
    cells = (
        line.name,
        line.kind,
        str(measured.clean),
        str(measured.worst),
        str(measured.adaptive),
        f"{measured.behind:+d}",
        verdict,
        right,
        f"`advbench {' '.join(line.words)}`",
    )
    return f"| {' | '.join(cells)} |"


def table(lines: Sequence[Line], out: Path) -> Iterator[str]:
    """The table, a line at a time."""
    yield f"| {' | '.join(_HEAD)} |"
    yield "|:--|:--|--:|--:|--:|--:|:--|:--|:--|"
    for line in lines:
        yield table_row(line, measure(line, folder_of(line, out)))


def main() -> None:
    """Print the table, or only some of its rows."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="where measurements are kept")
    parser.add_argument("--only", nargs="*", default=[], help="a part of the names of the lines to measure")
    parser.add_argument("--seconds", action="store_true", help="also print what each line took of a core")
    options = parser.parse_args()
    torch.set_num_threads(1)
    chosen = [line for line in LINES if not options.only or any(part in line.name for part in options.only)]
    started = time.process_time()
    for text in table(chosen, options.out):
        print(text, flush=True)
        if options.seconds:
            print(f"{time.process_time() - started:.0f} s", flush=True)


if __name__ == "__main__":
    main()
