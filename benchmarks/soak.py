"""An hour of trouble: kills, a full disk, denied memory, restarted processes, other clocks, removed folders.

    python -m benchmarks.soak --minutes 60 --out soak

A small run is disturbed again and again, in an order that the seed decides, and is then finished in peace.
Nothing may be lost: a part that was finished stays unless it was removed by hand, a command that ends with 0
has all that it promised, and the finished run has the records of a run that nobody disturbed and stands up to
`verify`. One line of figures is printed at the end, and the exit code is 1 if anything was lost. The same
command goes on where an earlier one ended: what happened stands in `soak.jsonl`.

A small disk needs root and Linux, other clocks need libfaketime; without them the line says so.
"""

import argparse
import json
import os
import random
import shutil
import sys
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from benchmarks.soak_troubles import Run, Trouble, troubles

WORDS = ["attack", "--defense", "round", "--bpda", "--steps", "60", "--batch-size", "16", "--first", "96"]
WORDS += ["--save-adversarial", "--out", "run"]
LADDER = ["--ladder", "--gradient-free", "square:queries=300"]
KEYS = ["defense", "attack", "rung", "index"]
PEACEFUL = 3
"""How often the undisturbed command may be needed until it ends with 0: a death may cost it one."""


class Episode(NamedTuple):
    """What was done to one run, and what was lost."""

    troubles: tuple[str, ...]
    losses: tuple[str, ...]
    blamed: int
    """How often `advbench` called something a fault of its own."""
    ranks_killed: int = 0
    """How many processes of `torchrun` were killed."""


def undisturbed(home: Path, words: Sequence[str] = WORDS) -> tuple[pd.DataFrame, float]:
    """The records of a run that nobody disturbs, in the order of `KEYS`, and how many seconds it takes."""
    shutil.rmtree(home, ignore_errors=True)
    began = time.monotonic()
    calm = Run(home, words, 0.0)
    outcome = calm.in_peace()
    if outcome.code:
        raise SystemExit(outcome.err)
    return records_of(calm), time.monotonic() - began


def live_through(run: Run, kinds: Sequence[Trouble], expected: pd.DataFrame) -> Episode:
    """Disturb one run with some troubles in turn, finish it in peace and look at what is there.

    Args:
        run: not begun.
        kinds: the troubles.
        expected: the records of a run that nobody disturbed, in the order of `KEYS`.
    """
    losses: list[str] = []
    blamed = 0
    torn = False  # by hand, since the run was last whole: parts without their examples are made again
    for trouble in kinds:
        before = run.parts()
        ended = trouble.disturb(run)
        blamed += ended.err.count("a fault of advbench")
        if "Traceback" in ended.err:
            losses.append(f"{trouble.name}: a traceback")
        torn |= trouble.removes
        if not torn and not before <= run.parts():
            losses.append(f"{trouble.name}: {len(before - run.parts())} finished parts are gone")
        if ended.code == 0 and (missing := _missing(run, expected, removed=trouble.removes)):
            losses.append(f"{trouble.name}: it ended with 0, and {missing}")
        torn &= trouble.removes or ended.code != 0
    for _ in range(PEACEFUL):
        ended = run.in_peace()
        if ended.code == 0:
            break
    else:
        return Episode(_names(kinds), (*losses, f"it never ends in peace: {ended.err[-300:]}"), blamed)
    if missing := _missing(run, expected):
        losses.append(f"in the end {missing}")
    return Episode(_names(kinds), tuple(losses), blamed, run.ranks_killed)


def _names(kinds: Iterable[Trouble]) -> tuple[str, ...]:
    return tuple(trouble.name for trouble in kinds)


def _missing(run: Run, expected: pd.DataFrame, *, removed: bool = False) -> str:
    """What a run that ended with 0 does not have, in words; empty where it has everything.

    Args:
        run: that ended.
        expected: the records that it should have.
        removed: whether a folder was removed by hand: what the seal names was there when the run ended.
    """
    samples = records_of(run)
    if len(samples) != len(expected):
        return f"{len(expected) - len(samples)} of {len(expected)} records are missing"
    differing = int((samples["robust"].to_numpy() != expected["robust"].to_numpy()).sum())
    if differing:
        return f"{differing} of {len(expected)} records are others"
    verified = run.verified()
    faults = [line for line in verified.out.splitlines() if not line.startswith("ok")]
    sealed = {f"WRONG  {name}: missing" for name in _sealed(run)} if removed else set()
    if sealed and sealed.intersection(faults):
        return ""
    return "" if verified.code == 0 else f"verify says: {' / '.join(faults[:2])[:300]}"


def _sealed(run: Run) -> list[str]:
    """The files whose contents the run had read when it wrote its seal."""
    return list(json.loads((run.folder / "run.json").read_text(encoding="utf-8"))["seal"]["files"])


def records_of(run: Run) -> pd.DataFrame:
    """The records of a run in the order of `KEYS`; none where there is no such file."""
    file = run.folder / "samples.parquet"
    return pd.read_parquet(file).sort_values(KEYS, ignore_index=True) if file.exists() else pd.DataFrame()


def _read(log: Path) -> list[Episode]:
    if not log.exists():
        return []
    lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    return [Episode(**line) for line in lines]


def _summary(episodes: list[Episode], absent: list[str]) -> str:
    """The line of figures."""
    counts = Counter(name for episode in episodes for name in episode.troubles)
    by_kind = ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))
    lost = sum(map(len, (episode.losses for episode in episodes)))
    blamed = sum(episode.blamed for episode in episodes)
    line = f"{len(episodes)} runs, {counts.total()} troubles ({by_kind}): {lost} losses"
    line += f", {blamed} blamed on advbench"
    if killed := sum(episode.ranks_killed for episode in episodes):
        line += f"; processes of torchrun killed: {killed}"
    return line + (f"; not tried here: {', '.join(absent)}" if absent else "")


def main() -> None:
    """Disturb runs for a while and print the line of figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("soak"))
    parser.add_argument("--only", action="append", help="a trouble by its name; repeat it for more")
    parser.add_argument("--ladder", action="store_true", help="disturb a run of every rung")
    options = parser.parse_args()
    options.out.mkdir(exist_ok=True)
    log = options.out / "soak.jsonl"
    episodes = _read(log)
    words = [*WORDS, *(LADDER if options.ladder else [])]
    calm, seconds = undisturbed(options.out / "calm", words)
    began = time.monotonic()
    with troubles(options.out) as (known, absent):
        while time.monotonic() - began < 60.0 * options.minutes:
            number = len(episodes)
            choice = random.Random(f"{options.seed}/{number}")  # noqa: S311  # troubles, not secrets
            wanted = [trouble for trouble in known if trouble.name in (options.only or [trouble.name])]
            kinds = choice.choices(wanted, k=choice.randint(1, 4))
            for trouble in kinds:
                trouble.moments.seed(f"{options.seed}/{number}/{trouble.name}")
            home = options.out / f"run-{number}"
            shutil.rmtree(home, ignore_errors=True)
            episode = live_through(Run(home, words, seconds), kinds, calm)
            episodes.append(episode)
            with log.open("a", encoding="utf-8") as lines:
                print(json.dumps(episode._asdict()), file=lines)
            if not episode.losses:
                shutil.rmtree(home, ignore_errors=True)
            else:
                print(f"{home}: {'; '.join(episode.losses)}", file=sys.stderr)
    print(_summary(episodes, absent))
    if any(episode.losses for episode in episodes):
        raise SystemExit(1)


if __name__ == "__main__":
    os.nice(5)
    main()
