"""How far a training has come, on stderr."""

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

from advbench.training.loop import StepDone
from advbench.training.state import EpochRecord


class TrainingProgress:
    """A bar with loss, accuracy and the time left; one line an epoch where stderr is no terminal.

    Args:
        console: writes to stderr.
        quiet: say nothing.
    """

    def __init__(self, console: Console, *, quiet: bool) -> None:
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
        self.task = self.bar.add_task("", total=None)

    def __enter__(self) -> "TrainingProgress":
        if not self.bar.disable:
            self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if not self.bar.disable:
            self.bar.stop()

    def begin(self, what: str, total: int | None, done: int = 0) -> None:
        """Begin with something that has `total` steps."""
        self.bar.reset(self.task, total=total, completed=done, description=escape(what))

    def step(self, way: str, epochs: int, done: StepDone) -> None:
        """Show what a step has come to."""
        said = f"{way} · epoch {done.epoch}/{epochs} · loss {done.loss:.3f} · accuracy {done.accuracy:.1%}"
        completed = (done.epoch - 1) * done.steps + done.step
        self.bar.update(self.task, completed=completed, description=escape(said))

    def epoch(self, way: str, epochs: int, record: EpochRecord) -> None:
        """Say what an epoch has come to, where no bar has shown it."""
        if self.bar.disable:
            held = "" if record.held_out != record.held_out else f", held out {record.held_out:.1%}"
            self.note(
                f"{way} · epoch {record.epoch}/{epochs} · loss {record.loss:.3f} · accuracy "
                f"{record.accuracy:.1%}{held} · {record.seconds:.0f} s"
            )

    def measured(self, what: str) -> None:
        """Show that a measurement was made."""
        self.bar.update(self.task, advance=1, description=escape(what))

    def note(self, text: str) -> None:
        """Say something once, beside the bar."""
        if not self.quiet:
            self.console.print(text, style="dim", markup=False, highlight=False, soft_wrap=True)
