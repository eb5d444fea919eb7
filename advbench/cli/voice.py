"""Where several processes share a run, one speaks for all."""

import contextlib
import sys
import time
from collections.abc import Iterator

from advbench.errors import INTERRUPTED, AdvbenchError
from advbench.jobs.ranks import Ranks

_ERROR = "error"
_PATIENCE = 5.0  # seconds
_LONGEST_FAREWELL = 30.0  # seconds that a leading process may take to say what is wrong, and to end


@contextlib.contextmanager
def one_voice(ranks: Ranks) -> Iterator[None]:
    """Let an error that every process meets be said by the leading one; others say what they alone met."""
    try:
        yield
    except AdvbenchError as error:
        if ranks.leads:
            with contextlib.suppress(AdvbenchError):
                ranks.post(_ERROR, str(error).encode())
        elif _leader_says(str(error), ranks):
            await_the_end()
            sys.exit(error.exit_code)
        raise
    except KeyboardInterrupt:
        if not ranks.leads:
            sys.exit(INTERRUPTED)
        raise


def await_the_end() -> None:
    """Wait, in a process that has nothing to say, until torchrun stops it because the leading one ended.

    torchrun stops every process as soon as one of them ends: a process that ended first would take the word
    from the leading one before it has said what is wrong.
    """
    time.sleep(_LONGEST_FAREWELL)


def _leader_says(message: str, ranks: Ranks) -> bool:
    """Whether the leading process meets the same error, and says so."""
    with contextlib.suppress(AdvbenchError):
        patience = time.monotonic() + _PATIENCE
        while time.monotonic() < patience:
            if ranks.has(_ERROR):
                return ranks.await_post(_ERROR, lambda: None).decode() == message
            time.sleep(0.1)
    return False
