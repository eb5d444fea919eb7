"""The gallery: every line, in the order of the table."""

from typing import Final

from benchmarks.adaptive import (
    anti_adversary,
    batch_statistics,
    binarised,
    codes,
    dropout,
    forest,
    neighbours,
    purifier,
    reject,
    sharp,
    squeezing,
    vote,
)
from benchmarks.adaptive.line import Line

LINES: Final[tuple[Line, ...]] = (
    purifier.BLOCKED,
    purifier.EXACT,
    squeezing.LINE,
    reject.LINE,
    anti_adversary.LINE,
    batch_statistics.LINE,
    vote.VOTE,
    vote.PICK,
    vote.ROBUST_VOTE,
    neighbours.LINE,
    codes.LINE,
    forest.LINE,
    sharp.PLACED,
    sharp.INSIDE,
    binarised.ESTIMATED,
    binarised.BARE,
    dropout.DROPOUT,
    dropout.NOISE,
)
