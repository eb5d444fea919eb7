"""How far a job has come, on stderr, and the wish that it stop."""

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Final, final

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    Task,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from advbench.errors import printable


@dataclass
class Stopping:
    """Whether the run has been asked to stop.

    Args:
        asked: it has.
        is_under_way: something is computed that is worth finishing; before that a signal stops at once.
    """

    asked: bool = False
    is_under_way: bool = True


@contextmanager
def asked_to_stop(note: Callable[[str], None]) -> Iterator[Stopping]:
    """Turn the first Ctrl-C or SIGTERM (a cluster's pre-emption) into a wish; the second stops at once.

    Args:
        note: tells the user that the wish was heard.
    """
    stopping = Stopping()

    def hear(_number: int, _frame: FrameType | None) -> None:
        if stopping.asked or not stopping.is_under_way:
            raise KeyboardInterrupt
        stopping.asked = True
        note("stopping after the batch in flight; once more to stop at once")

    try:
        before = {number: signal.signal(number, hear) for number in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:  # not in the main thread: signals are somebody else's
        before = {}
    try:
        yield stopping
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


_SOON: Final = 30.0
"""Seconds over which rich measures the pace of a task."""


@final
class TimeLeft(TimeRemainingColumn):
    """How long a task will still take: at its latest pace, or at that of the whole where a batch takes long.

    rich forgets what it has heard of half a minute ago, so that batches which take longer would never have a
    time left; and what a fast rung promised, it would go on to promise all through a slow one.
    """

    def render(self, task: Task) -> Text:
        """The time, as rich writes it."""
        done = task.completed - task.fields.get("done_before", 0)
        waited = (task.elapsed or 0.0) - task.fields.get("heard", 0.0)
        if task.total is None or task.finished or done <= 0 or (task.speed and waited < _SOON):
            return super().render(task)
        seconds = int((task.elapsed or 0.0) * (task.total - task.completed) / done)
        minutes, seconds = divmod(seconds, 60)
        hours, minutes = divmod(minutes, 60)
        return Text(f"{hours:d}:{minutes:02d}:{seconds:02d}", style="progress.remaining")


@final
class Bar:
    """A watcher with one bar, which shows the task, its units and the time left; lines where no terminal is.

    Args:
        console: writes to stderr.
        quiet: say nothing but doubts.
        rank: the number of this process among those that share the job; the first one speaks for all.
    """

    def __init__(self, console: Console, *, quiet: bool = False, rank: int = 0) -> None:
        self.console = console
        self.quiet = quiet
        self.rank = rank
        self.stopping = Stopping()
        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeLeft(),
        )
        hidden = quiet or rank > 0 or not console.is_terminal
        self.progress = Progress(*columns, console=console, transient=True, disable=hidden)
        self.task = self.progress.add_task("", total=None)

    def note(self, text: str) -> None:
        """Print a sentence beside the bar, once for all processes."""
        if not self.quiet and self.rank == 0:
            self.console.print(text, style="dim", markup=False, highlight=False, soft_wrap=True)

    def say(self, text: str) -> None:
        """Print a sentence about this process, whichever it is."""
        if self.rank == 0:
            self.note(text)
        elif not self.quiet:
            self.console.print(f"process {self.rank}: {text}", markup=False, highlight=False)

    def warn(self, text: str) -> None:
        """Print a doubt, which `--quiet` does not hide."""
        if self.rank == 0:
            sys.stderr.write(printable(text) + "\n")

    def begin(self, task: str, total: int | None, done: int = 0) -> None:
        """Begin to count another task; from the first one on a signal waits for what is in flight."""
        self.stopping.is_under_way = True
        if not self.progress.disable:  # rich before 14.3 prints a blank line even so
            self.progress.start()
        self.progress.reset(
            self.task, total=total, completed=done, description=escape(task), done_before=done, heard=0.0
        )

    def advance(self, task: str, done: int) -> None:
        """Show what is done now, and how much of it in all."""
        heard = self.progress.tasks[self.task].elapsed or 0.0
        self.progress.update(self.task, completed=done, description=escape(task), heard=heard)

    def pass_by(self, text: str) -> None:
        """Print a line about what is done, where no bar has shown it."""
        if self.progress.disable:
            self.note(text)

    @property
    def asked_to_stop(self) -> bool:
        """Whether Ctrl-C or SIGTERM has asked the job to stop."""
        return self.stopping.asked


@contextmanager
def watched(*, quiet: bool, rank: int = 0) -> Iterator[Bar]:
    """Watch a job from the command line: a bar on stderr, and signals that end it after a batch in flight.

    Args:
        quiet: say nothing but doubts.
        rank: the number of this process among those that share the job.
    """
    bar = Bar(Console(stderr=True), quiet=quiet, rank=rank)
    with asked_to_stop(bar.note) as stopping:
        stopping.is_under_way = False
        bar.stopping = stopping
        try:
            yield bar
        finally:
            if not bar.progress.disable:
                bar.progress.stop()
