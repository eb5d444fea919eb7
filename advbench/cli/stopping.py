"""Stopping between two batches, so that nothing that was begun is lost."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType


@dataclass
class Stopping:
    """Whether the run has been asked to stop.

    Args:
        asked: it has.
        is_under_way: something is computed that is worth finishing; before that a signal stops at once.
    """

    asked: bool = False
    is_under_way: bool = True

    def check(self) -> None:
        """Stop here if the run has been asked to.

        Raises:
            KeyboardInterrupt: it has.
        """
        if self.asked:
            raise KeyboardInterrupt


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
