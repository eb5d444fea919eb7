"""The command line: the only place that knows the core, the attacks, the defenses and the reports."""

import os
import sys
import warnings
from collections.abc import Sequence
from itertools import pairwise

from advbench.cli.voice import await_the_end
from advbench.errors import INTERRUPTED, AdvbenchError, printable, reason_of, refused_name
from advbench.jobs.ranks import follows

FAILED = 1
WRONG_USE = 2
_LONGEST = 4000  # characters of a message
_END = 500  # of these from its end, where the advice is
_PATHS = ("--out", "--checkpoint", "--data-root", "--baseline")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line and return its exit code.

    0 done, 1 the run failed, 2 wrong use or bad input, 130 interrupted. Every failure is one line on
    stderr; `--debug` shows where it came from.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        return _run(words)
    except AdvbenchError as error:
        return _fail(str(error), error.exit_code, error, words)
    except KeyboardInterrupt:
        return _fail("interrupted", INTERRUPTED, None, words)
    except BrokenPipeError:
        # The reader of our output (head, less) has left; nothing more can be said to it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if _is_usage_error(error):
            return _misused(_usage_message(error), words)
        code = WRONG_USE if refused_name(error) is not None else FAILED
        return _fail(reason_of(error), code, error, words)


def _run(words: list[str]) -> int:
    import typer  # noqa: PLC0415  # imported when a command runs, not when the package is named

    from advbench.cli.allocator import keep_freed_memory  # noqa: PLC0415
    from advbench.cli.app import app  # noqa: PLC0415

    # Pillow warns of a picture that is too large for us, and then we refuse it: one line says it better.
    warnings.filterwarnings("ignore", "Image size .* could be decompression bomb")
    without_path = _option_without_path(words)
    if without_path is not None:
        return _misused(f"{without_path} needs a path, and is given none: ''.", words)
    keep_freed_memory()
    if not words:
        words = ["--help"]
    try:
        code = typer.main.get_command(app)(args=words, prog_name="advbench", standalone_mode=False, obj=words)
    except typer.Abort:
        raise KeyboardInterrupt from None
    if code == INTERRUPTED:  # recent typers return what older ones raise
        raise KeyboardInterrupt
    return code if isinstance(code, int) else 0


def _option_without_path(words: Sequence[str]) -> str | None:
    """The option whose path is empty, as of an unset variable: it would be the folder that the user is in."""
    for word, following in pairwise([*words, "-"]):
        name, is_whole, value = word.partition("=")
        if name in _PATHS and not (value if is_whole else following):
            return name
    return None


def _misused(message: str, words: Sequence[str]) -> int:
    """Every process of a run has read the same words, and the leading one says what is wrong with them."""
    if follows():
        await_the_end()
        return WRONG_USE
    return _fail(message, WRONG_USE, None, words)


def _fail(message: str, code: int, error: Exception | None, words: Sequence[str]) -> int:
    if error is not None and "--debug" in words:
        raise error
    print(f"advbench: error: {_shortened(printable(' '.join(message.split())))}", file=sys.stderr)  # noqa: T201
    return code


def _shortened(message: str) -> str:
    """A message without its middle where it repeats a name of a hundred thousand letters, say."""
    if len(message) <= _LONGEST:
        return message
    return f"{message[: _LONGEST - _END]} [...] {message[-_END:]}"


def _is_usage_error(error: Exception) -> bool:
    """Whether the command line itself was wrong: click's errors, or typer's copy of them."""
    return hasattr(error, "format_message") and hasattr(error, "exit_code")


def _usage_message(error: Exception) -> str:
    context = getattr(error, "ctx", None)
    command = getattr(context, "command_path", None) or "advbench"
    message: str = error.format_message()  # type: ignore[attr-defined]  # as _is_usage_error found
    sentence = message.rstrip(".")
    return f"{sentence}{'' if sentence.endswith('?') else '.'} See '{command} --help'."
