"""The verdict on classifiers whose robustness is known: never wrong but where it is said, seldom undecided.

`python -m tests.verdict_rows.table` prints the table.
"""

import pytest

from advbench.results.gradient_grounds import FLAT
from tests.verdict_rows.rows import SPECIMENS
from tests.verdict_rows.specimens import Specimen
from tests.verdict_rows.table import MOST_UNDECIDED, UNDECIDED, WRONG, judged, outcome

LEAST_ROWS = 30
LEAST_UNSEEN = 12


@pytest.mark.slow
@pytest.mark.parametrize("specimen", SPECIMENS, ids=[each.name for each in SPECIMENS])
def test_the_verdict_is_right_or_known_to_be_undecided(specimen: Specimen) -> None:
    row = judged(specimen)
    left = None if specimen.left is None else specimen.left()
    found = outcome(specimen, row, left)
    known = {**dict.fromkeys(UNDECIDED, "undecided"), **dict.fromkeys(WRONG, "wrong")}
    assert found == known.get(specimen.name, "right"), (row.verdict, left)
    worst = row.rates["worst"]
    unsettled = "not enough evidence" in row.verdict or "upper bound" in row.verdict
    assert row.advice or not unsettled, "what is not settled ends in something to do"
    assert "upper bound" in row.verdict or not row.verdict.startswith("masked") or worst.accuracy <= FLAT


def test_few_rows_are_undecided() -> None:
    names = [each.name for each in SPECIMENS]
    assert len(names) == len(set(names)) >= LEAST_ROWS
    assert set(names) >= UNDECIDED | WRONG
    assert len(UNDECIDED) <= MOST_UNDECIDED * len(names)


def test_only_rows_that_no_threshold_was_set_on_are_wrong() -> None:
    unseen = {each.name for each in SPECIMENS if each.unseen}
    assert len(unseen) >= LEAST_UNSEEN
    assert len(WRONG - unseen) == 0, "a row that thresholds were set on is right or undecided"
