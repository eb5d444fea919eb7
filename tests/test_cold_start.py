"""How long a command takes from nothing, imports included: the processor's seconds, the best of three.

With a single thread, which waits for no other.
"""

import os
import sys
from pathlib import Path

import pytest

from tests.processor import measured

ROUNDS = 3


def seconds_of(words: str, folder: Path) -> float:
    """What a command takes of the processor."""
    command = [sys.executable, "-m", "advbench", *words.split()]
    process, seconds = measured(command, folder, {**os.environ, "OMP_NUM_THREADS": "1"})
    assert process.returncode == 0, process.stderr
    return seconds


@pytest.mark.parametrize(
    ("words", "most"),
    [
        ("--help", 0.5),
        pytest.param("attack --device cpu --out run-{}", 6.0, marks=pytest.mark.slow),
    ],
)
def test_a_command_answers_in_time(words: str, most: float, tmp_path: Path) -> None:
    seconds: list[float] = []
    while len(seconds) < ROUNDS and min(seconds, default=most) >= most:
        seconds.append(seconds_of(words.format(len(seconds)), tmp_path))
    assert min(seconds) < most, seconds
