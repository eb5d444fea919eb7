"""The verdict on classifiers whose robustness is known: never wrong, and seldom undecided.

`python -m tests.verdict_rows.table` prints the table.
"""

import pytest

from advbench.results.verdict import FLAT
from tests.verdict_rows.rows import SPECIMENS, Specimen
from tests.verdict_rows.table import MOST_UNDECIDED, UNDECIDED, judged, outcome

LEAST_ROWS = 30


@pytest.mark.slow
@pytest.mark.parametrize("specimen", SPECIMENS, ids=[each.name for each in SPECIMENS])
def test_the_verdict_is_right_or_known_to_be_undecided(specimen: Specimen) -> None:
    row = judged(specimen)
    left = None if specimen.left is None else specimen.left()
    found = outcome(specimen, row, left)
    assert found == ("undecided" if specimen.name in UNDECIDED else "right"), (row.verdict, left)
    worst = row.rates["worst"]
    unsettled = "not enough evidence" in row.verdict or "upper bound" in row.verdict
    assert row.advice or not unsettled, "what is not settled ends in something to do"
    assert "upper bound" in row.verdict or not row.verdict.startswith("masked") or worst.accuracy <= FLAT


def test_few_rows_are_undecided() -> None:
    names = [each.name for each in SPECIMENS]
    assert len(names) == len(set(names)) >= LEAST_ROWS
    assert set(names) >= UNDECIDED
    assert len(UNDECIDED) <= MOST_UNDECIDED * len(names)
