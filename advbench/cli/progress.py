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

from advbench.evaluation import Checked, Event, RungDone


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

    def tell(self, event: Event) -> None:
        """Show an event of the harness."""
        match event:
            case Checked(work=work):
                self.note(self.announcement)
                self.bar.update(self.task, total=work, description="attacking")
            case RungDone(defense=defense, attack=attack, rung=rung, samples=samples):
                if self.rung != (defense, attack, rung):
                    self.rung, self.standing, self.seen = (defense, attack, rung), 0, 0
                self.standing += int(samples["robust"].sum())
                self.seen += len(samples)
                said = f"{defense} · {rung} · {self.standing}/{self.seen} stand"
                self.bar.update(self.task, advance=len(samples), description=escape(said))

    def note(self, text: str) -> None:
        """Say something once, beside the bar."""
        if not self.quiet:
            self.console.print(text, style="dim", markup=False, highlight=False, soft_wrap=True)
