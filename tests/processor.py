"""What a command takes of the processor: other programs on the machine do not count."""

import resource
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple


class Measured(NamedTuple):
    """A command that has ended, and the seconds of all its threads and processes."""

    process: subprocess.CompletedProcess[str]
    seconds: float


def measured(command: Sequence[str], folder: Path, environment: Mapping[str, str] | None = None) -> Measured:
    """Run a command to its end; no other child of this process may end meanwhile."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    process = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return Measured(process, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
