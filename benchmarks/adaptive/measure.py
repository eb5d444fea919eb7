"""Measure a line: the adaptive attack, and the command; what is measured is kept in a folder."""

import contextlib
import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
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
    """Measure a line, or read what the folder keeps of the same command; a run that was stopped goes on.

    Raises:
        RuntimeError: the command fails.
    """
    kept = folder / "measured.json"
    if kept.is_file() and (known := json.loads(kept.read_text()))["words"] == line.words:
        return Measured(**known["measured"])
    x, y = attacked()
    adaptive = int(line.adaptive(x, y, line.eps).sum())
    run_quietly(line.words, folder / "run")
    measured = read_table(folder / "run", adaptive)
    kept.write_text(json.dumps({"words": line.words, "measured": asdict(measured)}))
    return measured


def read_table(run: Path, adaptive: int) -> Measured:
    """What a run's table says of the defense, its last row, beside the adaptive attack's count."""
    row = pd.read_csv(run / "table.csv").iloc[-1]
    return Measured(
        clean=int(row["clean_count"]),
        worst=int(row["worst_count"]),
        adaptive=adaptive,
        verdict=str(row["verdict"]),
    )


def run_quietly(words: Sequence[str], out: Path) -> None:
    """Run a command in this process, with its words kept to itself.

    Args:
        words: behind `advbench`.
        out: the run's folder.

    Raises:
        RuntimeError: it fails; with what it has printed.
    """
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
        code = cli.main([*words, "--quiet", "--out", str(out)])
    if code:
        raise RuntimeError(f"advbench {' '.join(words)}: exit code {code}\n{printed.getvalue()}")
