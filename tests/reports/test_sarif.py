"""SARIF: what section 3 of the OASIS specification asks of a log."""

import json
from pathlib import Path
from typing import Any

from advbench.reports.exports import EXPORTS
from advbench.reports.sarif import FINGERPRINT, _relative, sarif
from tests.reports.outcomes import outcomes
from tests.reports.records import HOSTILE

KINDS = {"pass", "open", "informational", "notApplicable", "review", "fail"}
LEVELS = {"none", "note", "warning", "error"}


def log_of(text: str) -> dict[str, Any]:
    """A log, checked as far as the specification goes for what we write."""
    log: dict[str, Any] = json.loads(text)
    assert log["version"] == "2.1.0"
    assert log["$schema"].endswith("sarif-schema-2.1.0.json")
    for run in log["runs"]:
        driver = run["tool"]["driver"]
        assert driver["name"]
        rules = [rule["id"] for rule in driver["rules"]]
        assert len(set(rules)) == len(rules)  # 3.19.23: unique
        assert all(rule["shortDescription"]["text"] for rule in driver["rules"])
        assert all(isinstance(call["executionSuccessful"], bool) for call in run["invocations"])
        for result in run["results"]:
            assert result["message"]["text"]
            assert rules[result["ruleIndex"]] == result["ruleId"]  # 3.27.6
            assert result["kind"] in KINDS
            assert result["level"] in LEVELS
            assert result["kind"] == "fail" or result["level"] == "none"  # 3.27.10
            assert all(
                location.keys() <= {"logicalLocations", "physicalLocation"}
                for location in result["locations"]
            )
    return log


def test_a_failure_is_an_error_and_what_stands_is_none() -> None:
    (run,) = log_of(sarif(outcomes()))["runs"]
    levels = {result["properties"]["traits"]["defense"]: result["level"] for result in run["results"]}
    assert levels == {
        "none": "none",
        "round": "error",
        "trained": "none",
        HOSTILE: "error",
        "mixed": "warning",
        "thin": "none",
        "plain": "none",
        "broken": "error",
    }


def test_a_result_has_its_evidence_and_a_name_that_later_runs_share() -> None:
    (outcome,) = outcomes("round")
    (result,) = log_of(sarif([outcome]))["runs"][0]["results"]
    assert "BPDA fell 90 of the 180 images" in result["message"]["text"]
    assert result["partialFingerprints"] == {FINGERPRINT: outcome.key}
    assert result["properties"]["rungs"]["worst"]["count"] == 80


def test_no_path_from_the_root_is_written(tmp_path: Path) -> None:
    assert _relative(tmp_path / "run 1") == Path("run 1/run.json")
    assert _relative(Path("runs/one")) == Path("runs/one/run.json")
    assert not _relative(Path("../../secret/one")).is_absolute()
    assert _relative(Path("../../secret/one")) == Path("one/run.json")


def test_the_registry_says_what_each_format_needs() -> None:
    assert all(export.summary for export in EXPORTS.values())
    assert "--ladder" in EXPORTS["sarif"].needs
