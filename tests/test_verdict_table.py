"""The verdict on classifiers whose robustness is known: never wrong, and seldom undecided.

`python -m tests.verdict_rows.table` prints the table.
"""

import pytest

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
    kind = row.verdict.partition(":")[0]
    assert kind in ("robust as measured", "not robust") or row.advice or specimen.truth == "no function", (
        "what is not settled ends in something to do"
    )


def test_few_rows_are_undecided() -> None:
    names = [each.name for each in SPECIMENS]
    assert len(names) == len(set(names)) >= LEAST_ROWS
    assert set(names) >= UNDECIDED
    assert len(UNDECIDED) <= MOST_UNDECIDED * len(names)
