"""Measure a line: the adaptive attack, and the command; what is measured is kept in a folder."""

import contextlib
import io
import json
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from advbench import cli
from benchmarks.adaptive.digits import attacked
from benchmarks.adaptive.line import Line


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What came of a line, in images of 100.

    Args:
        clean: right, when clean.
        worst: standing on every rung of the tool.
        adaptive: standing against the attack that was written for the defense.
        verdict: the tool's.
    """

    clean: int
    worst: int
    adaptive: int
    verdict: str

    @property
    def behind(self) -> int:
        """How many images more than the adaptive attack the tool leaves."""
        return self.worst - self.adaptive


def measure(line: Line, folder: Path) -> Measured:
    """Measure a line, or go on with it: a finished run is read, and so is a kept count.

    Raises:
        RuntimeError: the command fails.
    """
    adaptive = _adaptive(line, folder)
    words = [*line.words, "--quiet", "--out", str(folder / "run")]
    told = io.StringIO()
    with contextlib.redirect_stdout(told), contextlib.redirect_stderr(told):
        code = cli.main(words)
    if code:
        raise RuntimeError(f"advbench {' '.join(words)}: exit code {code}\n{told.getvalue()}")
    row = pd.read_csv(folder / "run/table.csv").iloc[-1]
    return Measured(
        clean=int(row["clean_count"]),
        worst=int(row["worst_count"]),
        adaptive=adaptive,
        verdict=str(row["verdict"]),
    )


def _adaptive(line: Line, folder: Path) -> int:
    """How many images stand against the adaptive attack; read where it was measured before."""
    kept = folder / "adaptive.json"
    if kept.is_file():
        return int(json.loads(kept.read_text())["standing"])
    x, y = attacked()
    count = int(line.adaptive(x, y, line.eps).sum())
    folder.mkdir(parents=True, exist_ok=True)
    kept.write_text(json.dumps({"standing": count, "of": len(x)}))
    return count
