"""Many command lines in a short time: one process imports everything, and each case runs in a fork of it.

A case may hang, fill the memory or start programs; the fork is watched from outside and ended where it does.
"""

import argparse
import io
import json
import os
import resource
import select
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, NamedTuple, NoReturn

SECONDS: Final = 10.0
"""Of the processor, from which a case counts as one that hangs; a clock would count other programs too."""

_BY_THE_CLOCK: Final = 60.0
"""Seconds after which a case is ended that does nothing, as one that waits for a pipe."""

BYTES: Final = 2 << 30
"""Beside what importing takes; a case that takes more counts as a bomb."""

_OWN_PROGRAMS: Final = frozenset({"git", "uname", "ldconfig"})
"""What a run starts to say in `run.json` where it ran, and torch to find its libraries."""

_STARTS: Final = frozenset(
    {"subprocess.Popen", "os.system", "os.posix_spawn", "os.spawn", "os.exec", "os.fork", "os.forkpty"}
)
_LOOK: Final = 0.05  # seconds between two looks at a case's memory
_GRACE: Final = 1.2  # times the seconds, after which a case is ended
_LONGEST: Final = 8_000  # characters that a refusal may say beside what it repeats

Write = Callable[[Path], list[str]]
"""Writes a case's files into its folder, which is the current one, and returns the command's words."""


@dataclass(frozen=True)
class Case:
    """A command line and its files.

    Args:
        number: of the case.
        kind: in a few words.
        write: makes its files.
    """

    number: int
    kind: str
    write: Write


@dataclass(frozen=True)
class Outcome:
    """What came of a case.

    Args:
        number: of the case.
        kind: of the case.
        words: of its command.
        code: the exit code; negative for a signal.
        seconds: of the processor; a minute where it only waited.
        peak: bytes beside what importing takes.
        programs: which it started that are not our own.
        faults: what should not have been; empty where all is well.
        last: the last line that it said.
    """

    number: int
    kind: str
    words: list[str]
    code: int
    seconds: float
    peak: int
    programs: list[str]
    faults: list[str]
    last: str


class _Spent(NamedTuple):
    """What a fork came to, and what it took."""

    code: int
    seconds: float
    peak: int


def outcomes(cases: Iterable[Case], kept: Path | None, main: Callable[[list[str]], int]) -> Iterator[Outcome]:
    """What came of each case; those that a file has are not run again, and the others are added to it.

    Args:
        cases: in their order.
        kept: a line of JSON for each case that was run; None to keep nothing.
        main: runs a command line.
    """
    known = {}
    if kept is not None and kept.is_file():
        known = {
            entry["number"]: Outcome(**entry) for entry in map(json.loads, kept.read_text().splitlines())
        }
    base = _peak(_idle)
    for case in cases:
        outcome = known.get(case.number) or run_case(case, base, main)
        if kept is not None and case.number not in known:
            with kept.open("a") as file:
                file.write(json.dumps(asdict(outcome)) + "\n")
        yield outcome


def run_case(case: Case, base: int, main: Callable[[list[str]], int]) -> Outcome:
    """Run one case in a fork of this process, in a folder of its own that is removed."""
    home = Path(tempfile.mkdtemp(prefix="case-"))
    work = home / "work"
    work.mkdir()
    try:
        in_a_fork(lambda _: _write(case, home), [])
        assert (home / "words").is_file(), f"case {case.number} ({case.kind}) could not be written"
        pid = os.fork()
        if pid == 0:
            _in_the_fork(home, main)
        return _judged(case, home, _watched(pid, base))
    finally:
        shutil.rmtree(home, ignore_errors=True)


def in_a_fork(main: Callable[[list[str]], int], words: list[str]) -> int:
    """The exit code of a command line that runs in a fork, in silence."""
    pid = os.fork()
    if pid == 0:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.dup2(null, 2)
        code = 70
        try:
            code = main(words)
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def asked(what: str, count: int, run: Callable[..., tuple[str, bool]]) -> None:
    """The command line of a script that tries cases: it prints the figures, and ends with 1 for a fault.

    Args:
        what: is tried, for the help.
        count: how many cases there are by default.
        run: is called with the number of cases, the seed, where outcomes are kept, and `verbose`.
    """
    parser = argparse.ArgumentParser(description=what)
    parser.add_argument("--count", type=int, default=count)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=None, help="lines of JSON, to go on from")
    parser.add_argument("--verbose", action="store_true", help="print each case that was at fault")
    given = parser.parse_args()
    line, sound = run(given.count, given.seed, given.out, verbose=given.verbose)
    print(line)
    raise SystemExit(0 if sound else 1)


def tell(tried: Iterator[Outcome], what: str, seed: int, *, verbose: bool) -> tuple[str, bool]:
    """The figures; with `verbose`, each outcome that has a fault is printed as it comes."""
    ran = []
    for outcome in tried:
        ran.append(outcome)
        if verbose and outcome.faults:
            words = " ".join(word[:60] for word in outcome.words)
            print(
                f"{outcome.number} {outcome.kind}: {outcome.faults} {ascii(words)[:300]}: {outcome.last}",
                flush=True,
            )
    return summary(ran, what, seed)


def summary(tried: Iterable[Outcome], what: str, seed: int) -> tuple[str, bool]:
    """One line of figures, and whether all is well."""
    ran = list(tried)
    count = Counter(fault.partition(":")[0] for outcome in ran for fault in outcome.faults)
    codes = Counter(outcome.code for outcome in ran)
    slowest = max((outcome.seconds for outcome in ran), default=0.0)
    peak = max((outcome.peak for outcome in ran), default=0) / 2**20
    programs = sorted({program for outcome in ran for program in outcome.programs})
    line = (
        f"{len(ran):,} {what}, seed {seed}: {count['hang']} hang over {SECONDS:g} s "
        f"(slowest {slowest:.1f} s), {count['memory']} over {BYTES >> 30} GiB beside the imports "
        f"(most {peak:,.0f} MiB), {count['traceback']} tracebacks, {count['blamed']} faults of advbench, "
        f"{count['escape']} raw escapes, "
        f"{count['long']} long messages, {count['signal']} signals, "
        f"programs started: {', '.join(programs) or 'none'}; exit codes "
        + ", ".join(f"{code}: {number:,}" for code, number in sorted(codes.items()))
    )
    return line, not count


def _write(case: Case, home: Path) -> int:
    """Write the files in a fork of their own: what that takes is none of the command's."""
    os.chdir(home / "work")
    (home / "words").write_text(json.dumps(case.write(home / "work")))
    return 0


def _in_the_fork(home: Path, main: Callable[[list[str]], int]) -> NoReturn:
    code = 70
    try:
        os.setsid()
        for name, descriptor in (("out", 1), ("err", 2)):
            os.dup2(os.open(home / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), descriptor)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        files = (io.BufferedWriter(io.FileIO(descriptor, "w")) for descriptor in (1, 2))
        sys.stdout, sys.stderr = (io.TextIOWrapper(file, "utf-8", "backslashreplace") for file in files)
        os.chdir(home / "work")
        words = json.loads((home / "words").read_text())
        _note_programs(home / "programs")
        code = main(words)
    except BaseException:  # what gets as far as this is what the case is for
        traceback.print_exc()
    finally:
        with suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _note_programs(path: Path) -> None:
    def hear(event: str, arguments: tuple[object, ...]) -> None:
        if event in _STARTS:
            with path.open("a") as file:
                file.write(f"{Path(str(arguments[0])).name if arguments else event}\n")

    sys.addaudithook(hear)


def _watched(pid: int, base: int) -> _Spent:
    """What came of a fork, which is ended where it takes too long or too much."""
    descriptor = os.pidfd_open(pid)
    began = time.perf_counter()
    try:
        while not select.select([descriptor], [], [], _LOOK)[0]:
            late = time.perf_counter() - began > _BY_THE_CLOCK or _spent(pid) > _GRACE * SECONDS
            if late or _resident(pid) - base > 1.5 * BYTES:
                with suppress(ProcessLookupError):
                    os.killpg(pid, signal.SIGKILL)
    finally:
        os.close(descriptor)
    _, status, usage = os.wait4(pid, 0)
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)  # whatever it has left behind
    seconds = usage.ru_utime + usage.ru_stime
    waited = time.perf_counter() - began > _BY_THE_CLOCK
    return _Spent(
        os.waitstatus_to_exitcode(status), max(seconds, waited * _BY_THE_CLOCK), usage.ru_maxrss * 1024 - base
    )


def _spent(pid: int) -> float:
    """Seconds of the processor."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    except (OSError, IndexError):
        return 0.0


def _resident(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize()
    except (OSError, IndexError):
        return 0


def _judged(case: Case, home: Path, spent: _Spent) -> Outcome:
    code, seconds, peak = spent.code, spent.seconds, max(0, spent.peak)
    written = {name: _text(home / name) for name in ("out", "err")}
    both = written["out"] + written["err"]
    started = [name for name in _text(home / "programs").splitlines() if name not in _OWN_PROGRAMS]
    words = json.loads(_text(home / "words") or "[]")
    given = 2 * sum(map(len, words))  # a message may repeat what it was given
    faults = [
        *([f"hang: {seconds:.1f} s"] if seconds > SECONDS else []),
        *([f"memory: {peak >> 20} MiB"] if peak > BYTES else []),
        *(["traceback"] if "Traceback (most recent call last)" in both else []),
        *(["blamed"] if "a fault of advbench" in both else []),
        *(["escape"] if any(ord(letter) < 32 and letter not in "\n\r\t" for letter in both) else []),
        *([f"long: {len(written['err'])}"] if code and len(written["err"]) > _LONGEST + given else []),
        *([f"signal: {-code}"] if code < 0 else []),
        *([f"code: {code}"] if code not in (0, 1, 2) and code >= 0 else []),
        *([f"program: {name}" for name in started]),
    ]
    lines = written["err"].strip().splitlines() or [""]
    return Outcome(case.number, case.kind, words, code, seconds, peak, started, faults, lines[-1][:300])


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(1 << 20).decode(errors="replace")
    except OSError:
        return ""


def _peak(function: Callable[[], None]) -> int:
    """Bytes that a fork takes at most which calls a function."""
    pid = os.fork()
    if pid == 0:
        function()
        os._exit(0)
    return os.wait4(pid, 0)[2].ru_maxrss * 1024


def _idle() -> None:
    """Nothing."""
