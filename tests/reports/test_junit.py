"""JUnit XML: read back by a parser of its own, and by the standard library's."""

from pathlib import Path
from xml.etree import ElementTree as Tree

import pytest

from advbench.reports.junit import junit
from tests.reports.outcomes import outcomes
from tests.reports.records import HOSTILE


def marks_of(text: str) -> dict[str, str]:
    """What each test comes to, by its defense."""
    marks = {}
    for test in Tree.fromstring(text.split("?>", 1)[1]).iter("testcase"):
        states = [child.tag for child in test if child.tag != "system-out"]
        assert len(states) <= 1
        marks[test.attrib["name"].removeprefix("pgd:steps=40 ")] = states[0] if states else "passed"
    return marks


def test_each_state_has_its_mark() -> None:
    assert marks_of(junit(outcomes())) == {
        "none": "skipped",
        "round": "failure",
        "trained": "passed",
        HOSTILE: "failure",
        "mixed": "error",
        "thin": "skipped",
        "plain": "skipped",
        "broken": "error",
    }


def test_counts_of_the_suite_are_those_of_its_tests() -> None:
    (suite,) = Tree.fromstring(junit(outcomes()).split("?>", 1)[1])
    assert [suite.attrib[name] for name in ("tests", "failures", "errors", "skipped")] == ["8", "2", "2", "3"]


def test_evidence_and_numbers_stand_in_the_test() -> None:
    text = junit(outcomes("round"))
    assert "attacks with BPDA fell 90 of the 180 images" in text
    assert "worst: 80/200" in text


def test_control_characters_are_spelt_out() -> None:
    assert "\x1b" not in junit(outcomes("broken"))
    assert "out of memory\\x1b[31m" in junit(outcomes("broken"))


def test_junitparser_reads_it(tmp_path: Path) -> None:
    junitparser = pytest.importorskip("junitparser", reason="junitparser is not installed")
    (tmp_path / "junit.xml").write_text(junit(outcomes()), encoding="utf-8")
    suites = junitparser.JUnitXml.fromfile(str(tmp_path / "junit.xml"))
    suites.update_statistics()
    assert (suites.tests, suites.failures, suites.errors, suites.skipped) == (8, 2, 2, 3)
