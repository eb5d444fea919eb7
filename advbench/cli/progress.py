"""How far a run has come, on stderr."""

from types import TracebackType

from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from advbench.cli.ranks import Ranks
from advbench.evaluation.attack_batch import RungDone

_DONE = "done"


class RunProgress:
    """A bar with the rung, the images done and the time left; one line a rung where stderr is no terminal.

    Args:
        console: writes to stderr.
        announcement: what is run, said once the input has proved usable.
        ranks: the processes that share the run; one bar shows the work of all.
        quiet: say nothing.
        part: which part of a larger whole the run is, in a word or two.
    """

    def __init__(
        self, console: Console, announcement: str, ranks: Ranks, *, quiet: bool, part: str = ""
    ) -> None:
        self.announcement = announcement
        self.part = part
        self.console = console
        self.ranks = ranks
        self.hushed = quiet
        self.quiet = quiet or not ranks.leads
        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
        )
        self.bar = Progress(
            *columns, console=console, transient=True, disable=self.quiet or not console.is_terminal
        )
        self.task = self.bar.add_task("checking clean images", total=None)

    def __enter__(self) -> "RunProgress":
        if not self.bar.disable:  # rich before 14.3 prints a blank line even so
            self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self.bar.disable:
            self.bar.stop()

    def begin(self, work: int, batch_size: int) -> None:
        """Say what is run, and how many (image, rung) pairs there are to do."""
        shared = f", {self.ranks.count} processes" if self.ranks.count > 1 else ""
        self.note(f"{self.part}{self.announcement}, {batch_size} images at a time{shared}")
        self.bar.update(self.task, total=work, description=f"{escape(self.part)}attacking")

    def resume(self, found: int, damaged: int) -> None:
        """Say what an earlier start has left."""
        again = f"; {damaged} damaged parts are done again" if damaged else ""
        self.note(f"going on with an earlier start of this run: {found} records found{again}")
        self.bar.update(self.task, completed=self.ranks.add(_DONE, found))

    def advance(self, done: RungDone) -> None:
        """Show what one batch has come to."""
        rung = "/".join(done.cell)
        standing = self.ranks.add(f"{rung}/standing", int(done.samples["robust"].sum()))
        seen = self.ranks.add(f"{rung}/seen", len(done.samples))
        self.ranks.add(_DONE, len(done.samples))
        self.follow(f"{done.cell.defense} · {done.rung} · {standing}/{seen} stand")

    def follow(self, said: str = "waiting for the other processes") -> None:
        """Show how far all processes have come."""
        self.bar.update(self.task, completed=self.ranks.add(_DONE, 0), description=escape(self.part + said))

    def say(self, text: str) -> None:
        """Say something about this process, whichever it is."""
        if self.ranks.leads:
            self.note(text)
        elif not self.hushed:
            self.console.print(f"process {self.ranks.rank}: {text}", markup=False, highlight=False)

    def note(self, text: str) -> None:
        """Say something once, beside the bar."""
        if not self.quiet:
            self.console.print(text, style="dim", markup=False, highlight=False, soft_wrap=True)
