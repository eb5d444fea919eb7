"""The table of the rows: `python -m tests.verdict_rows.table` prints it, in six minutes on one core.

With the word `unseen` behind it, the rows alone that no threshold was set on.
"""

import sys
from collections.abc import Iterator, Sequence
from typing import Final, Literal

import torch
from torch.utils.data import TensorDataset

from advbench import evaluate
from advbench.attacks import PGD, Square
from advbench.results.records import LADDER, Row

from .rows import SPECIMENS
from .specimens import Specimen, Truth

Outcome = Literal["right", "undecided", "wrong"]

UNDECIDED: Final = frozenset(
    {
        "adversarially trained, logits divided by 10",
        "the same, its logits a hundredfold",
        "a Hopfield retrieval as a defense",
        "a Hopfield retrieval inside",
        "medians of quadrants, out of reach by construction",
    }
)
"""Rows on which the verdict rightly asks for more: Square beats PGD on the cross-entropy of small logits, the
cross-entropy of large ones is flat, and a gradient that foretells little accuses nobody. A median's leads to
one pixel of sixteen, though the row stands."""

WRONG: Final = frozenset({"sixty-five levels before an adversarially trained network"})
"""Rows on which the verdict is wrong, and why: rounding before a robust network hides a gradient (59 of 60
images stand along it, 42 with BPDA): the row is `masked`, what stands an upper bound. That is what stands."""

MOST_UNDECIDED: Final = 0.2

FAR: Final = 0.1
"""Share of all images by which a robust row may overstate what stands."""

RIGHT: Final[dict[Truth, tuple[str, ...]]] = {
    "stands": ("robust as measured",),
    "falls": ("not robust",),
    "hides": ("masked", "unreliable", "not robust"),
    "no function": ("unreliable",),
    "chance": ("unreliable",),
}


def judged(specimen: Specimen) -> Row:
    """Climb the ladder; returns the row of the defense, or of the network where there is none."""
    torch.manual_seed(5)
    found = evaluate(
        specimen.model().eval(),
        TensorDataset(*specimen.images()),
        threat=specimen.threat,
        attacks={"pgd": PGD()},
        gradient_free={"square:queries=500": Square(queries=500)},
        defenses=specimen.defenses,
        rungs=LADDER,
        **specimen.settings,
    )
    return found.rows[-1]


def outcome(specimen: Specimen, row: Row, left: int | None) -> Outcome:
    """Whether the verdict is right: wrong are praise for what falls further, and alarm at what stands."""
    kind = row.verdict.partition(":")[0]
    worst = row.rates["worst"]
    overstated = left is not None and worst.count - left > FAR * worst.n
    praised = kind == "robust as measured"
    if praised and (overstated or specimen.truth != "stands"):
        return "wrong"
    if specimen.truth == "stands" and kind in ("masked", "unreliable"):
        return "wrong"
    return "right" if kind in RIGHT[specimen.truth] else "undecided"


def lines(specimens: Sequence[Specimen] = SPECIMENS) -> Iterator[str]:
    """A table in Markdown, a line at a time, and the counts."""
    yield "| row | truth | left | clean | shattered | BPDA | gradient-free | worst | verdict | |"
    yield "|:--|:--|--:|--:|--:|--:|--:|--:|:--|:--|"
    counts = dict.fromkeys(("right", "undecided", "wrong"), 0)
    for specimen in specimens:
        row, left = judged(specimen), None if specimen.left is None else specimen.left()
        found = outcome(specimen, row, left)
        counts[found] += 1
        rates = [row.rates.get(rung) for rung in ("clean", "shattered", "bpda", "gradient_free", "worst")]
        cells = ["–" if each is None else str(each.count) for each in rates]
        known = "–" if left is None else str(left)
        advice = f" -> {'; '.join(row.advice)}" if row.advice else ""
        yield f"| {' | '.join([specimen.name, specimen.truth, known, *cells, row.verdict + advice, found])} |"
    yield f"\n{counts}"


if __name__ == "__main__":
    unseen = [each for each in SPECIMENS if each.unseen]
    for line in lines(unseen if sys.argv[1:] == ["unseen"] else SPECIMENS):
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
