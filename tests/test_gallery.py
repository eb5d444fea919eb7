"""Verdicts on classifiers that hide their gradients in different ways, and on some that do not."""

import pytest

from benchmarks.gallery import EXHIBITS, Exhibit, look_at


@pytest.mark.slow
@pytest.mark.parametrize("exhibit", EXHIBITS, ids=[each.name for each in EXHIBITS])
def test_the_verdict_is_right_and_names_its_evidence(exhibit: Exhibit) -> None:
    row = look_at(exhibit)
    assert row.verdict.startswith(exhibit.expected)
    assert exhibit.evidence in row.verdict
