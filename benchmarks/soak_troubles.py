"""The troubles of the soak test, and the run that they disturb."""

import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

import psutil  # type: ignore[import-untyped]  # no stubs

ENVIRONMENT: Final = {**os.environ, "OMP_NUM_THREADS": "1"}
ADVBENCH: Final = [sys.executable, "-m", "advbench"]
TORCHRUN: Final = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
PATIENCE: Final = 900.0
"""Seconds after which a command counts as one that hangs."""


class Ended(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


class Run:
    """A run in a folder of its own, and the command that makes it.

    Args:
        home: its folder, made where it is missing.
        words: of the command, behind `advbench`.
        seconds: about how long the undisturbed command takes; troubles come within that time.
    """

    def __init__(self, home: Path, words: Sequence[str], seconds: float) -> None:
        self.home = home
        self.words = list(words)
        self.seconds = seconds
        self.ranks_killed = 0
        home.mkdir(parents=True, exist_ok=True)

    @property
    def folder(self) -> Path:
        """Where the run's files are."""
        return self.home / "run"

    @property
    def command(self) -> list[str]:
        """The command, in one process."""
        return [*ADVBENCH, *self.words]

    def parts(self) -> set[str]:
        """The parts that are finished."""
        return {path.name for path in self.folder.glob("parts/*.parquet")}

    def start(
        self,
        command: Sequence[str] | None = None,
        more: dict[str, str] | None = None,
        before: Callable[[], None] | None = None,
    ) -> subprocess.Popen[str]:
        """The command, or another one, begun.

        Args:
            command: by default the run's own.
            more: variables of its environment.
            before: called in the new process before the program starts.
        """
        return subprocess.Popen(
            list(command or self.command),
            cwd=self.home,
            env={**ENVIRONMENT, **(more or {})},
            preexec_fn=before,  # noqa: PLW1509  # this process has no other threads
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def in_peace(self) -> Ended:
        """The command, undisturbed."""
        return ended(self.start())

    def verified(self) -> Ended:
        """What `verify` says of the run."""
        return ended(self.start([*ADVBENCH, "verify", "run"]))


class Trouble:
    """One kind of trouble.

    Args:
        name: for the line of figures.
        act: disturbs a run that it starts, and says how the run ended.
        removes: whether it takes finished parts away itself.
    """

    def __init__(
        self, name: str, act: Callable[[Run, random.Random], Ended], *, removes: bool = False
    ) -> None:
        self.name = name
        self.removes = removes
        self.moments = random.Random(name)  # noqa: S311  # moments, not secrets
        self._act = act

    def disturb(self, run: Run) -> Ended:
        """Start the run's command, disturb it, and wait for its end."""
        return self._act(run, self.moments)


def ended(process: subprocess.Popen[str]) -> Ended:
    """How a process ends; one that hangs is killed, which is a traceback for whoever counts losses."""
    try:
        out, err = process.communicate(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        return Ended(-1, out, f"Traceback: it hung for {PATIENCE:g} s\n{err}")
    return Ended(process.returncode, out, err)


@contextmanager
def troubles(home: Path) -> Iterator[tuple[list[Trouble], list[str]]]:
    """The troubles that can be made here, and the names of those that cannot.

    Args:
        home: a folder in which a small disk may be made.
    """
    known = [
        Trouble("kills", _kill),
        Trouble("signals", _signal),
        Trouble("pauses", _pause),
        Trouble("killed ranks", _kill_a_rank),
        Trouble("denied memory", _deny_memory),
        Trouble("other file times", _change_times),
        Trouble("removed folders", _remove, removes=True),
    ]
    absent = []
    clock = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)
    if clock is None:
        absent.append("other clocks")
    else:
        known.append(Trouble("other clocks", partial(_change_clock, clock)))
    with _small_disk(home / "small") as disk:
        if disk is None:
            absent.append("full disks")
        else:
            known.append(Trouble("full disks", partial(_fill_disk, disk)))
        yield known, absent


def _kill(run: Run, moments: random.Random) -> Ended:
    process = run.start()
    time.sleep(moments.uniform(0.2, 1.2) * run.seconds)
    process.kill()
    return ended(process)


def _signal(run: Run, moments: random.Random) -> Ended:
    process = run.start()
    time.sleep(moments.uniform(0.2, 1.2) * run.seconds)
    process.send_signal(moments.choice([signal.SIGINT, signal.SIGTERM]))
    return ended(process)


def _pause(run: Run, moments: random.Random) -> Ended:
    process = run.start()
    time.sleep(moments.uniform(0.2, 1.0) * run.seconds)
    process.send_signal(signal.SIGSTOP)
    time.sleep(moments.uniform(0.5, 3.0))
    process.send_signal(signal.SIGCONT)
    return ended(process)


def _kill_a_rank(run: Run, moments: random.Random) -> Ended:
    more = moments.choice([[], ["--overwrite"]]) if not run.parts() else []
    process = run.start([*TORCHRUN, "--max-restarts", "3", "-m", "advbench", *run.words, *more])
    for _ in range(moments.randint(1, 3)):
        time.sleep(moments.uniform(0.3, 1.5) * run.seconds)
        workers = _workers(process)
        if process.poll() is None and workers:
            moments.choice(workers).kill()
            run.ranks_killed += 1
    return ended(process)


def _workers(process: subprocess.Popen[str]) -> list[psutil.Process]:
    try:
        children = psutil.Process(process.pid).children(recursive=True)
        return [child for child in children if "RANK" in child.environ()]
    except psutil.Error:
        return []


def _deny_memory(run: Run, moments: random.Random) -> Ended:
    room = int(moments.uniform(1.0, 6.0) * 2**30)
    return ended(run.start(before=partial(resource.setrlimit, resource.RLIMIT_AS, (room, room))))


def _change_times(run: Run, moments: random.Random) -> Ended:
    process = run.start()
    for _ in range(5):
        time.sleep(0.2 * run.seconds)
        when = time.time() + moments.choice([-1, 1]) * moments.uniform(0.0, 1e9)
        for path in run.folder.rglob("*"):
            try:
                os.utime(path, (when, when))
            except FileNotFoundError:  # renamed meanwhile
                continue
    return ended(process)


def _change_clock(library: Path, run: Run, moments: random.Random) -> Ended:
    """The command in another year, on a clock that may run a thousand times too fast; killed or not."""
    speed = moments.choice(["", " x1000", " x0.1"])
    shift = f"{moments.choice('+-')}{moments.randint(1, 4000)}d{speed}"
    process = run.start(more={"LD_PRELOAD": str(library), "FAKETIME": shift})
    if moments.random() < 0.5:
        time.sleep(moments.uniform(0.2, 1.0) * run.seconds)
        process.kill()
    return ended(process)


def _remove(run: Run, moments: random.Random) -> Ended:
    process = run.start()
    time.sleep(moments.uniform(0.4, 1.0) * run.seconds)
    folders = [path for path in run.folder.glob("*") if path.is_dir()]
    if folders:
        shutil.rmtree(moments.choice(folders), ignore_errors=True)
    return ended(process)


def _fill_disk(disk: Path, run: Run, moments: random.Random) -> Ended:
    """The run on a disk with little room left; then it moves back to where it was."""
    small, ballast = disk / "run", disk / "ballast"
    if run.folder.exists():
        shutil.copytree(run.folder, small)
    room = shutil.disk_usage(disk).free - moments.randint(4, 400) * 1024
    if room > 0:
        ballast.write_bytes(bytes(room))
    words = [word if word != "run" else str(small) for word in run.words]
    outcome = ended(run.start([*ADVBENCH, *words]))
    ballast.unlink(missing_ok=True)
    if small.exists():
        shutil.rmtree(run.folder, ignore_errors=True)
        shutil.move(small, run.folder)
    return outcome


@contextmanager
def _small_disk(place: Path) -> Iterator[Path | None]:
    """A disk of 8 MB in memory, or none where this user may not make one."""
    mount = shutil.which("mount")
    place = place.resolve()
    place.mkdir(parents=True, exist_ok=True)
    made = mount is not None and os.geteuid() == 0
    if made and place.is_mount():  # what a soak test that was killed has left
        subprocess.run(["umount", str(place)], check=False, capture_output=True)  # noqa: S607
    if made:
        words = [str(mount), "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(place)]
        made = subprocess.run(words, check=False, capture_output=True).returncode == 0
    try:
        yield place if made else None
    finally:
        if made:
            subprocess.run(["umount", str(place)], check=False, capture_output=True)  # noqa: S607
        shutil.rmtree(place, ignore_errors=True)
