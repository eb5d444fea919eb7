"""Watching for programs that this process starts."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

_EVENTS: Final = frozenset(
    {"subprocess.Popen", "os.system", "os.posix_spawn", "os.spawn", "os.exec", "os.fork", "os.forkpty"}
)
_watching: Final[list[list[str]]] = []


def _hear(event: str, arguments: tuple[Any, ...]) -> None:
    if _watching and event in _EVENTS:
        for heard in _watching:
            heard.append(f"{event}: {arguments[0] if arguments else 'a copy of this process'}")


sys.addaudithook(_hear)  # for good: Python has no way to take one away


@contextmanager
def programs_started() -> Iterator[list[str]]:
    """A list that fills with the event and the name of each program that any thread starts meanwhile."""
    heard: list[str] = []
    _watching.append(heard)
    try:
        yield heard
    finally:
        _watching.remove(heard)
