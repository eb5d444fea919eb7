"""Why something failed, in a line."""

import errno

from advbench.errors import AdvbenchError


def reason_of(error: Exception) -> str:
    """What to tell a user about an error, whether advbench has raised it on purpose or not."""
    if isinstance(error, AdvbenchError):
        return str(error)
    if (name := refused_name(error)) is not None:
        return f"{name!r} is no name that a file can have."
    if type(error).__name__ == "OutOfMemoryError":
        return "the device is out of memory: lower --batch-size."
    return f"{type(error).__name__}: {error} (a fault of advbench or of the model; --debug shows where)"


def refused_name(error: Exception) -> str | None:
    """The name of a file that was asked for and that no file can have; None for another error."""
    if isinstance(error, UnicodeEncodeError):  # words of the command line; older click lets it through
        return error.object
    if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
        return str(error.filename)
    return None
