"""Cases in forks: what hangs, fills the memory, starts programs or shows a traceback is seen from outside."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

PROGRAM = """
import subprocess, sys, time
from pathlib import Path
from benchmarks import forked_cases
from benchmarks.forked_cases import Case, outcomes, summary

forked_cases.SECONDS, forked_cases.BYTES, forked_cases._BY_THE_CLOCK = 0.5, 100 << 20, 2.0

def main(words):
    match words[0]:
        case "sound":
            print(Path("file").read_text())
            return 0
        case "hangs":
            while True:
                pass
        case "waits":
            time.sleep(100)
        case "fills":
            held = []
            while True:
                held.append(bytearray(b"x" * (1 << 20)))
        case "raises":
            raise ValueError("words")
        case "blames":
            print("a fault of advbench", file=sys.stderr)
            return 1
        case "escapes":
            print("\\x1b[31m")
            return 2
        case "starts":
            subprocess.run(["true"], check=True)
            return 0

def write(name, folder):
    (folder / "file").write_text("text")
    return [name]

names = ["sound", "hangs", "waits", "fills", "raises", "blames", "escapes", "starts"]
cases = [Case(n, name, lambda folder, name=name: write(name, folder)) for n, name in enumerate(names)]
kept = Path(sys.argv[1])
for outcome in outcomes(cases, kept, main):
    print(outcome.kind, [fault.partition(":")[0] for fault in outcome.faults])
line, sound = summary(outcomes(cases, kept, None), "cases", 0)  # nothing is run again
print(line)
print(sound)
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="watches forks by Linux's means")
def test_each_kind_of_fault_is_seen_and_cases_are_run_once(tmp_path: Path) -> None:
    kept = tmp_path / "kept.jsonl"
    words = [sys.executable, "-c", PROGRAM, str(kept)]
    said = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=120, check=True).stdout
    lines = said.splitlines()
    assert lines[:1] == ["sound []"]
    assert "hang" in lines[1]
    assert "signal" in lines[1]
    assert "hang" in lines[2]
    assert "memory" in lines[3]
    assert lines[4:8] == [
        "raises ['traceback', 'code']",
        "blames ['blamed']",
        "escapes ['escape']",
        "starts ['program']",
    ]
    assert lines[-2].startswith("8 cases, seed 0: 2 hang over 0.5 s")
    assert "programs started: true; exit codes -9: 3, 0: 2, 1: 1, 2: 1, 70: 1" in lines[-2]
    assert lines[-1] == "False"
    assert [json.loads(line)["number"] for line in kept.read_text().splitlines()] == list(range(8))
