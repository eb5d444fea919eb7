"""A report of 100,000 records takes less than 5 seconds and 1 GB."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["samples", "rows csv"])
def test_a_hundred_thousand_records_render_in_5_seconds_and_a_gigabyte(kind: str) -> None:
    """Of the processor's time, imports included: what else runs on the machine is none of the report's."""
    words = [sys.executable, "-m", "benchmarks.report_cost", "--one", kind]
    line = subprocess.run(words, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    found = re.search(r"([\d.]+) s +(\d+) MB", line)
    assert found
    assert float(found[1]) < 5
    assert float(found[2]) < 1000
