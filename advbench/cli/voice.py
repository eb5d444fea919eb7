"""Where several processes share a run, one speaks for all."""

import contextlib
import sys
import time
from collections.abc import Iterator

from advbench.cli.ranks import Ranks
from advbench.errors import INTERRUPTED, AdvbenchError

_ERROR = "error"
_PATIENCE = 5.0  # seconds


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
            sys.exit(error.exit_code)
        raise
    except KeyboardInterrupt:
        if not ranks.leads:
            sys.exit(INTERRUPTED)
        raise


def _leader_says(message: str, ranks: Ranks) -> bool:
    """Whether the leading process meets the same error, and says so."""
    with contextlib.suppress(AdvbenchError):
        patience = time.monotonic() + _PATIENCE
        while time.monotonic() < patience:
            if ranks.has(_ERROR):
                return ranks.await_post(_ERROR, lambda: None).decode() == message
            time.sleep(0.1)
    return False
