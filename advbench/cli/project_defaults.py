"""What a command is told by nobody, and by the project's settings file; and the words that take it back."""

import inspect
import sys
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Annotated, Final

import typer

from advbench.errors import SpecError, printable
from advbench.jobs.ranks import follows
from advbench.jobs.settings.option import Setting

if TYPE_CHECKING:
    from advbench.jobs.settings.project import FromFile

IGNORE: Final = "no_settings"


def typed_names(context: typer.Context, names: Collection[str]) -> set[str]:
    """The parameters that the command line has set."""
    sources = {name: context.get_parameter_source(name) for name in names}
    return {name for name, source in sources.items() if source is not None and source.name != "DEFAULT"}


def from_file(command_name: str, typed: frozenset[str]) -> "FromFile | None":
    """What the project's settings file says of a command, but for what is typed; None for nothing.

    Raises:
        InputError: a file that cannot be read, or says what no command can be told.
    """
    from advbench.jobs.settings.commands import COMMANDS  # noqa: PLC0415  # --help needs no file
    from advbench.jobs.settings.project import of_start, project_file_here  # noqa: PLC0415

    return of_start(project_file_here(), command_name, typed) if command_name in COMMANDS else None


def tell(source: "FromFile | None", *, quiet: bool) -> None:
    """Say in one line what came from the file, once for all processes."""
    if source is not None and not quiet and not follows():
        sys.stderr.write(f"{printable(source.sentence)}\n")


def check_denied(both: Collection[str], known: Mapping[str, Setting]) -> None:
    """Refuse what is said and taken back in one line.

    Raises:
        SpecError: such an option.
    """
    for name in both:
        word = known[name].word
        raise SpecError(f"{word} and --no-{word.removeprefix('--')} are both given; give one.")


def denial(setting: Setting) -> str:
    """The parameter that takes back a flag."""
    return f"no_{setting.name}"


def hidden_denial(setting: Setting) -> inspect.Parameter:
    """The word that takes back a flag which a settings file has set; without a file nobody needs it."""
    return _flag(denial(setting), typer.Option(f"--no-{setting.word.removeprefix('--')}", hidden=True))


def no_settings() -> inspect.Parameter:
    """The word that takes back the whole file."""
    help_text = "Take no defaults from advbench.toml or pyproject.toml."
    return _flag(IGNORE, typer.Option("--no-settings", help=help_text))


def _flag(name: str, declaration: object) -> inspect.Parameter:
    return inspect.Parameter(
        name,
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
        default=False,
        annotation=Annotated[bool, declaration],
    )
