"""The fuzzing scripts, a few cases of each: no hang, no bomb, no traceback, no program, nothing blamed."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not sys.platform.startswith("linux"), reason="watches forks by Linux's means"),
]


@pytest.mark.parametrize(
    ("script", "count", "what"), [("fuzz_lines", 40, "fuzzed lines"), ("hostile_files", 25, "hostile files")]
)
def test_a_few_seeded_cases_end_as_they_should(script: str, count: int, what: str) -> None:
    words = [sys.executable, "-m", f"benchmarks.{script}", "--count", str(count), "--seed", "7", "--verbose"]
    ended = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    line = ended.stdout.splitlines()[-1]
    assert line.startswith(f"{count} {what}, seed 7: 0 hang over 10 s")
    assert "programs started: none" in line
