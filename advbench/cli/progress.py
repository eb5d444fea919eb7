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

from advbench.evaluation import Checked, RungDone


class RunProgress:
    """A bar with the rung, the images done and the time left; one line a rung where stderr is no terminal.

    Args:
        console: writes to stderr.
        announcement: what is run, said once the input has proved usable.
        quiet: say nothing.
    """

    def __init__(self, console: Console, announcement: str, *, quiet: bool) -> None:
        self.announcement = announcement
        self.rung = ("", "", "")
        self.standing = self.seen = 0
        self.console = console
        self.quiet = quiet
        columns = (
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
        )
        self.bar = Progress(
            *columns, console=console, transient=True, disable=quiet or not console.is_terminal
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

    def begin(self, checked: Checked) -> None:
        """Say what is run, and how much there is to do."""
        self.note(self.announcement)
        self.bar.update(self.task, total=checked.work, description="attacking")

    def resume(self, found: int, damaged: int) -> None:
        """Say what an earlier start has left."""
        again = f"; {damaged} damaged parts are done again" if damaged else ""
        self.note(f"going on with an earlier start of this run: {found} records found{again}")
        self.bar.update(self.task, advance=found)

    def advance(self, done: RungDone) -> None:
        """Show what one batch has come to."""
        rung = (done.defense, done.attack, done.rung)
        if self.rung != rung:
            self.rung, self.standing, self.seen = rung, 0, 0
        self.standing += int(done.samples["robust"].sum())
        self.seen += len(done.samples)
        said = f"{done.defense} · {done.rung} · {self.standing}/{self.seen} stand"
        self.bar.update(self.task, advance=len(done.samples), description=escape(said))

    def note(self, text: str) -> None:
        """Say something once, beside the bar."""
        if not self.quiet:
            self.console.print(text, style="dim", markup=False, highlight=False, soft_wrap=True)
