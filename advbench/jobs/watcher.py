"""Who looks on while a job goes on, and may end it."""

from dataclasses import dataclass
from typing import Protocol, final


class Watcher(Protocol):
    """Is told how far a job has come, and is asked whether it shall go on.

    A job prints nothing and takes no signal: the caller hands in a watcher that does. A *task* is a stretch
    of work whose units are counted, for example the images of a run or the steps of a training.
    """

    def note(self, text: str) -> None:
        """Take a sentence that the whole job says once, through its leading process."""

    def say(self, text: str) -> None:
        """Take a sentence of this process alone."""

    def warn(self, text: str) -> None:
        """Take a doubt about the numbers, which nobody may keep from the user."""

    def begin(self, task: str, total: int | None, done: int = 0) -> None:
        """Learn that a task begins.

        Args:
            task: what is done, in a word or two.
            total: its units in all; None while that is not known.
            done: the units that an earlier start has done.
        """

    def advance(self, task: str, done: int) -> None:
        """Learn how many units of the task are done in all, and what is done now."""

    def pass_by(self, text: str) -> None:
        """Take a line about a stage that is done, for those who see no bar."""

    @property
    def asked_to_stop(self) -> bool:
        """Whether the job shall end after the batch in flight, with everything that is finished kept."""


def check_stop(watcher: Watcher) -> None:
    """End a job that is asked to stop.

    Raises:
        KeyboardInterrupt: the job is asked to stop.
    """
    if watcher.asked_to_stop:
        raise KeyboardInterrupt


@final
@dataclass
class Unwatched:
    """Nobody looks on: a job called from Python says nothing and goes on to its end."""

    asked_to_stop: bool = False

    def note(self, text: str) -> None:
        """Say nothing."""

    def say(self, text: str) -> None:
        """Say nothing."""

    def warn(self, text: str) -> None:
        """Say nothing: the records keep the doubt."""

    def begin(self, task: str, total: int | None, done: int = 0) -> None:
        """Show nothing."""

    def advance(self, task: str, done: int) -> None:
        """Show nothing."""

    def pass_by(self, text: str) -> None:
        """Show nothing."""


@final
@dataclass(frozen=True)
class PartWatcher:
    """Watches a part of a larger job, which every sentence and task names first.

    Args:
        whole: watches the larger job.
        part: the part in a word or two and a space, for example `[2/5] `.
    """

    whole: Watcher
    part: str

    def note(self, text: str) -> None:
        """Hand the sentence on."""
        self.whole.note(self.part + text)

    def say(self, text: str) -> None:
        """Hand the sentence on."""
        self.whole.say(self.part + text)

    def warn(self, text: str) -> None:
        """Hand the doubt on."""
        self.whole.warn(self.part + text)

    def begin(self, task: str, total: int | None, done: int = 0) -> None:
        """Hand the task on."""
        self.whole.begin(self.part + task, total, done)

    def advance(self, task: str, done: int) -> None:
        """Hand the progress on."""
        self.whole.advance(self.part + task, done)

    def pass_by(self, text: str) -> None:
        """Hand the line on."""
        self.whole.pass_by(self.part + text)

    @property
    def asked_to_stop(self) -> bool:
        """Whether the larger job is asked to stop."""
        return self.whole.asked_to_stop
