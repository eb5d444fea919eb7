"""The errors that advbench raises on purpose; anything else that escapes is a fault of advbench."""

import difflib
import errno
from collections.abc import Iterable
from typing import Final

_OUT_OF_MEMORY: Final = (
    "out of memory",
    "can't allocate",
    "not enough memory",
    "Cannot allocate memory",
    "std::bad_alloc",
    "could not create a primitive",  # oneDNN, where its workspace finds no room
    "could not create a memory",
)
"""What messages say where memory ran out, of which torch has no type."""

_UNMAPPED: Final = "failed to map segment from shared object"
"""What a loader says where memory is denied to a library."""

_CIRCLE: Final = "Symlink loop from "

INTERRUPTED: Final = 130
"""The exit code of a run that was asked to stop."""


class AdvbenchError(Exception):
    """Base of every error that advbench raises on purpose; its message is one line and says what to do."""

    exit_code = 1


class RunError(AdvbenchError):
    """A run that could not go on: a disk that is full, for example."""


class StoppedError(AdvbenchError):
    """A run that has begun and cannot go on now; the same command goes on with it later."""


class InputError(AdvbenchError, ValueError):
    """What the user gave cannot be used: a name, a number, a file, a model or a data set."""

    exit_code = 2


class SpecError(InputError):
    """A `NAME[:key=value,...][@place]` that cannot be read, or a parameter outside its range."""


class KeywordError(InputError, TypeError):
    """A keyword that a function of Python's side does not have."""


class CheckpointError(InputError):
    """A checkpoint that is missing, damaged, unsafe, or does not fit the model."""


class DatasetError(InputError):
    """A data set that is missing, damaged, or not in the form that was promised."""


class ModelError(InputError):
    """A model that breaks the contract: pixels `(n, c, h, w)` in [0, 1] to finite logits `(n, k)`."""


class ApartError(InputError):
    """APART used out of turn, or on batches that its groups do not divide."""


class DefenseError(InputError):
    """A defense that cannot be put where it was asked for, or a substitute that cannot stand in for it."""


class RunFolderError(InputError):
    """A run folder that cannot be written, or that already holds another run."""


def ran_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out: on an accelerator, on the CPU, or in another library."""
    if (
        isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    ):  # torch's; torch is not imported
        return True
    message = str(error)  # CPU, MPS and oneDNN raise plain RuntimeErrors
    return isinstance(error, RuntimeError) and any(sign in message for sign in _OUT_OF_MEMORY)


def first_line(error: BaseException) -> str:
    """The first line of another library's message, for use inside one of ours."""
    lines = str(error).strip().splitlines()
    return lines[0].rstrip() if lines else type(error).__name__


def printable(text: str) -> str:
    """Text from files and names as a terminal may see it: control characters are spelt out."""
    return "".join(character if character.isprintable() else repr(character)[1:-1] for character in text)


def nearest(name: str, known: Iterable[str], count: int = 3) -> str:
    """What to suggest for a misspelt name, as the end of an error message.

    Args:
        name: what was given.
        known: every name that would have been right.
        count: how many names to suggest at most.

    Returns:
        `Did you mean 'a' or 'b'?`, or the known names where none is near.
    """
    names = sorted(known)
    close = difflib.get_close_matches(name, names, n=count, cutoff=0.5)
    if close:
        return f"Did you mean {' or '.join(repr(guess) for guess in close)}?"
    listed = ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")
    return f"Known: {listed}."


def reason_of(error: Exception) -> str:
    """What to tell a user about an error, whether advbench has raised it on purpose or not."""
    if isinstance(error, AdvbenchError):
        return str(error)
    if (name := refused_name(error)) is not None:
        if isinstance(error, RuntimeError):
            return f"the links of {name} lead round in a circle."
        return f"{name!r} is no name that a file can have."
    if type(error).__name__ == "OutOfMemoryError":
        return "the device is out of memory: lower --batch-size."
    if ran_out_of_memory(error) or (isinstance(error, ImportError) and _UNMAPPED in str(error)):
        return f"memory ran out ({first_line(error)}): allow the process more of it."
    return f"{type(error).__name__}: {error} (a fault of advbench or of the model; --debug shows where)"


def refused_name(error: Exception) -> str | None:
    """The name of a file that was asked for and that no file can have; None for another error."""
    if isinstance(error, UnicodeEncodeError):  # words of the command line; older click lets it through
        return error.object
    if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
        return str(error.filename)
    if isinstance(error, RuntimeError) and str(error).startswith(_CIRCLE):  # of pathlib before Python 3.13
        return str(error).removeprefix(_CIRCLE)
    return None
