"""Which indicators a run must have, and what each can come to, told from its records."""

from dataclasses import replace

import pytest

from advbench import Evaluation, Threat
from advbench.evaluation.expected_indicators import faults_of
from advbench.results.indicators import Test
from advbench.results.table import Heading
from tests.evaluation.test_binarization import judged, rounded


@pytest.fixture(scope="module")
def evaluation() -> Evaluation:
    return judged({"round": rounded})


def faults(evaluation: Evaluation, heading: Heading, *tests: Test) -> list[str]:
    clean = evaluation.samples[evaluation.samples["rung"] == "clean"]
    right = {
        str(defense): records[records["robust"]]["index"].tolist()
        for defense, records in clean.groupby("defense")
    }
    images = sorted(set(clean["index"]))
    return faults_of(heading, right, images, 0, threat=Threat("linf", 0.1), pixels=36, tests=tests)


def test_a_run_has_what_its_ladder_and_its_tests_measure(evaluation: Evaluation) -> None:
    assert faults(evaluation, evaluation.heading, "binarization") == []


def test_an_outcome_of_a_test_that_was_not_asked_for_is_a_fault(evaluation: Evaluation) -> None:
    told = faults(evaluation, evaluation.heading)
    assert "round · pgd · bpda · binarization is none that a run measures" in told


def test_an_outcome_that_was_taken_away_is_missed(evaluation: Evaluation) -> None:
    left = [one for one in evaluation.heading.indicators if one.name != "binarization"]
    told = faults(evaluation, evaluation.heading.with_indicators(left), "binarization")
    assert "none · pgd · shattered · binarization is missing" in told


def test_more_than_all_images_cannot_be(evaluation: Evaluation) -> None:
    raised = [
        replace(one, part=99.0, whole=99.0) if one.name == "binarization" else one
        for one in evaluation.heading.indicators
    ]
    told = faults(evaluation, evaluation.heading.with_indicators(raised), "binarization")
    assert "round · pgd · bpda · binarization is 99 of 99, which it cannot be" in told
