"""A project's defaults: `advbench.toml`, or `[tool.advbench]` in pyproject.toml.

The file is found from the working folder upward, and its user may not know of it. Therefore it sets numbers,
names and paths, and nothing in it lets code run: what could is asked for on the command line, or in a file
that the user has named in `ADVBENCH_SETTINGS`.
"""

import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple, NoReturn, get_args

from advbench.errors import InputError, SpecError, nearest
from advbench.jobs.sweep import toml_lines
from advbench.jobs.toml_text import Toml, parse_toml, read_text

from .commands import COMMANDS, GIVES_WAY
from .option import Setting, settings_of

SETTINGS_FILE: Final = "advbench.toml"
PYPROJECT: Final = "pyproject.toml"
VARIABLE: Final = "ADVBENCH_SETTINGS"
"""A variable of the environment: another file, or nothing at all where it is empty."""

_ROOTS: Final = (".git", ".hg", ".svn")

_BY_HAND: Final = ("overwrite", "trust_program", "no_limit", "debug", "sign")
"""What is said anew on each command line: it replaces or signs files, or lifts what protects the user."""

_LIBRARIES: Final = ("timm", "hf", "foolbox", "torchattacks", "art", "any", "refuse", "head")
"""Words before a colon that are no module: nothing is imported for them but what is installed."""

_BEFORE_COLON: Final = re.compile(r"([^\s:+,=@|()\[\]{}'\"]+)\s*:(?!\s*[\w-]+\s*=)")
_OWN_FILE: Final = re.compile(r"(?<![^\s+=,|])([^\s:+,=@|()\[\]{}'\"]+\.py)(?=\s*:)")


class Value(NamedTuple):
    """A value of the file, as `Setting.parse` returns it, and its place."""

    given: Any
    key: str
    line: int


@dataclass(frozen=True, kw_only=True)
class ProjectFile:
    """A file of defaults, every table of it checked.

    Args:
        path: of the file, relative to the working folder where it stands there or above.
        digest: SHA-256 of its text.
        heading: of its tables: empty, or `tool.advbench.`.
        tables: its values, by command and by the field's name.
        passed_over: another file in the same folder that could have been read.
    """

    path: Path
    digest: str
    heading: str
    tables: Mapping[str, Mapping[str, Value]]
    passed_over: str = ""

    def table(self, command: str) -> str:
        """The table of a command, as the file writes it."""
        return f"[{self.heading}{command}]"


@dataclass(frozen=True, kw_only=True)
class FromFile:
    """What one start of a command takes from a file.

    Args:
        file: the file.
        command: of the command line.
        values: by the field's name.
    """

    file: ProjectFile
    command: str
    values: Mapping[str, Value]

    @property
    def record(self) -> dict[str, Any]:
        """The same for `run.json`."""
        return {
            "file": str(self.file.path),
            "sha256": self.file.digest,
            "table": self.file.table(self.command),
            "values": {value.key: value.given for value in self.values.values()},
        }

    @property
    def sentence(self) -> str:
        """The same for people."""
        parts = [f"{value.key} = {_shown(value.given)}" for value in self.values.values()]
        beside = f" ({self.file.passed_over} beside it is not read)" if self.file.passed_over else ""
        return f"defaults of {self.file.path} {self.file.table(self.command)}{beside}: {', '.join(parts)}"

    def words(self) -> list[str]:
        """The words of a command line that say the same."""
        known = settings_of(COMMANDS[self.command])
        return [word for name, value in self.values.items() for word in known[name].words(value.given)]

    def blamed(self, message: str) -> str:
        """A message about options, with where those stand that the file has set."""
        known = settings_of(COMMANDS[self.command])
        places = [
            f"{known[name].word} is {value.key} of {self.file.path}, line {value.line}"
            for name, value in self.values.items()
            if re.search(rf"(?<![\w-]){known[name].word}(?![\w-])|^{known[name].word[2:]} ", message)
            or any(repr(part.strip()) in message for part in _texts(value.given))
        ]
        return f"{message} ({'; '.join(places)})" if places else message


def find_project_file(
    folder: Path, variable: str | None = None, home: Path | None = None
) -> ProjectFile | None:
    """The file whose defaults hold in a folder, with every table of it checked; None where there is none.

    The nearest one holds, alone: in the folder itself, or in a folder above it up to the root of the
    repository that it lies in, else up to the user's home; outside of both nothing above it is looked at. In
    one folder `advbench.toml` is read, and pyproject.toml only without it.

    Args:
        folder: the working folder.
        variable: what `ADVBENCH_SETTINGS` says: a file, whose user has named it; empty for none; None where
            it is not set.
        home: of the user.

    Raises:
        InputError: a file that cannot be read, or says what no command can be told; with its line.
    """
    if variable is not None:
        if not variable.strip():
            return None
        path = Path(variable).expanduser()
        is_pyproject = path.name == PYPROJECT
        return _read(path, read_text(path), is_pyproject=is_pyproject, named=True)
    for above in _searched(folder, home):
        shown = Path(os.path.relpath(above, folder))
        own, shared = (shown / name for name in (SETTINGS_FILE, PYPROJECT))
        text = _pyproject_of_ours(folder, shared)
        if os.path.lexists(folder / own):
            settings = _read(own, _read_there(folder, own), is_pyproject=False, named=False)
            return replace(settings, passed_over=PYPROJECT if text else "")
        if text:
            return _read(shared, text, is_pyproject=True, named=False)
    return None


def project_file_here() -> ProjectFile | None:
    """The file whose defaults hold for this process.

    Raises:
        InputError: as `find_project_file`.
    """
    try:
        home: Path | None = Path.home()
    except RuntimeError:  # a user without an entry and without HOME
        home = None
    return find_project_file(Path(), os.environ.get(VARIABLE), home)


def of_start(file: ProjectFile | None, command: str, typed: frozenset[str]) -> FromFile | None:
    """What a start of a command takes from the file; None for nothing.

    Args:
        file: the project's.
        command: of the command line.
        typed: fields that the command line has set, which hold; what describes what they replace gives way.
    """
    if file is None:
        return None
    gone = typed.union(*(GIVES_WAY.get(name, ()) for name in typed))
    values = {name: value for name, value in file.tables.get(command, {}).items() if name not in gone}
    return FromFile(file=file, command=command, values=values) if values else None


def _searched(folder: Path, home: Path | None) -> Iterator[Path]:
    """The folder and those above it in which a project's file may lie."""
    folder = folder.resolve()
    chain = [folder, *folder.parents]
    roots = [number for number, above in enumerate(chain) if any((above / name).exists() for name in _ROOTS)]
    homes = [number for number, above in enumerate(chain) if home is not None and above == home.resolve()]
    last = min([*roots, *homes], default=0)
    yield from chain[: last + 1]


def _pyproject_of_ours(folder: Path, path: Path) -> str:
    """The text of a pyproject.toml; empty where there is none, or none with a table of ours."""
    text = _read_there(folder, path) if os.path.lexists(folder / path) else ""
    if "advbench" not in text:
        return ""
    tool = _parsed(path, text).tree.get("tool")
    return text if isinstance(tool, dict) and "advbench" in tool else ""


def _read_there(folder: Path, path: Path) -> str:
    try:
        return read_text(folder / path)
    except InputError as error:
        raise InputError(f"{error} {_ADVICE}") from error


def _parsed(path: Path, text: str) -> Toml:
    try:
        return parse_toml(path, text, "settings file")
    except InputError as error:
        raise InputError(f"{error} {_ADVICE}") from error


_ADVICE: Final = "--no-settings does without it."


def _read(path: Path, text: str, *, is_pyproject: bool, named: bool) -> ProjectFile:
    """A file's tables, checked against the options that there are."""
    tree: Any = _parsed(path, text).tree
    prefix: tuple[str, ...] = ("tool", "advbench") if is_pyproject else ()
    for key in prefix:
        tree = tree.get(key, {}) if isinstance(tree, dict) else {}
    reading = _Reading(path, toml_lines.lines_of(text), prefix, named)
    return ProjectFile(
        path=path,
        digest=hashlib.sha256(text.encode()).hexdigest(),
        heading="".join(f"{key}." for key in prefix),
        tables=reading.tables(tree),
    )


@dataclass(frozen=True)
class _Reading:
    """A file under the eye of a reader who knows where everything stands."""

    path: Path
    lines: Mapping[toml_lines.Path, int]
    prefix: tuple[str, ...]
    named: bool

    def tables(self, tree: Any) -> dict[str, dict[str, Value]]:
        """The values of every command."""
        if not isinstance(tree, dict):
            self.refuse((), f"tool.advbench must be a table, got {tree!r:.60}.")
        tables = {}
        for command, table in tree.items():
            if command not in COMMANDS and not isinstance(table, dict):
                self.refuse((command,), f"{command!r} belongs into a command's table, as [{self._attack}].")
            if command not in COMMANDS:
                self.refuse((command,), f"there is no command {command!r}. {nearest(command, COMMANDS)}")
            if not isinstance(table, dict):
                self.refuse((command,), f"{command} must be a table, got {table!r:.60}.")
            tables[command] = self._table(command, table)
        return tables

    def _table(self, command: str, table: Mapping[str, Any]) -> dict[str, Value]:
        known = {setting.key: setting for setting in settings_of(COMMANDS[command]).values()}
        values: dict[str, Value] = {}
        for written, given in table.items():
            place, key = (command, written), written.replace("-", "_")
            refuse = partial(self.refuse, place)
            if key not in known or known[key].option.argument:
                names = [name for name, setting in known.items() if self._is_free(setting)]
                refuse(f"there is no option {written!r}. {nearest(key, names)}")
            setting = known[key]
            if not self._is_free(setting):
                refuse(f"{written} is said on each command line, by {setting.word}, and in no file.")
            if setting.name in values:
                refuse(f"{written} is there twice, with a hyphen and with an underscore.")
            try:
                read = _value(setting, given)
            except SpecError as error:
                refuse(f"{written}: {error}")
            self._check_names(setting, written, read, place)
            values[setting.name] = Value(self._from_here(setting, read), key, self._line(place))
        return values

    @property
    def _attack(self) -> str:
        return ".".join((*self.prefix, "attack"))

    def _is_free(self, setting: Setting) -> bool:
        return not setting.option.argument and setting.name not in _BY_HAND

    def _check_names(self, setting: Setting, written: str, read: Any, place: toml_lines.Path) -> None:
        """Refuse names of code in a file that was found, and that nobody has named."""
        if (
            self.named or _holds_paths(setting) or setting.name == "dataset"
        ):  # which is looked up, and no code
            return
        for text in read if isinstance(read, list) else [read]:
            code = [word for word in _BEFORE_COLON.findall(str(text)) if word not in _LIBRARIES]
            if code:
                self.refuse(
                    place,
                    f"{written} names code, {text!r:.60}, which a file that is only found may not run. Type "
                    f"{setting.word}, or name the file: {VARIABLE}={self.path}.",
                )

    def _from_here(self, setting: Setting, read: Any) -> Any:
        """A value whose relative paths are seen from the file."""
        home = self.path.parent
        if isinstance(read, list):
            return [self._from_here(setting, text) for text in read]
        if _holds_paths(setting):
            return str(home / Path(read).expanduser())
        if setting.name == "dataset":
            name, colon, place = read.partition(":")
            there = home / Path(place).expanduser()
            is_elsewhere = not colon or (name == "hf" and not there.exists())
            return read if is_elsewhere else f"{name}:{there}"
        if isinstance(read, str):
            return _OWN_FILE.sub(lambda match: str(home / match.group()), read)
        return read

    def _line(self, place: toml_lines.Path) -> int:
        where = (*self.prefix, *place)
        while where and where not in self.lines:
            where = where[:-1]
        return self.lines.get(where, 1)

    def refuse(self, place: toml_lines.Path, message: str) -> NoReturn:
        """Say what is wrong at a place of the file.

        Raises:
            InputError: always.
        """
        heading = ".".join(map(str, (*self.prefix, *place[:1])))
        table = f"[{heading}] " if len(place) > 1 else ""
        raise InputError(f"{self.path}, line {self._line(place)}: {table}{message}")


def _holds_paths(setting: Setting) -> bool:
    return setting.type is Path or Path in get_args(setting.type)


def _value(setting: Setting, given: Any) -> Any:
    """A value as the command line would take it, through the same bounds.

    Raises:
        SpecError: of another type, out of its bounds, or a text that cannot be read.
    """
    if setting.type is float:
        if isinstance(given, bool) or not isinstance(given, int | float):
            raise SpecError(f"it must be a number, got {given!r:.60}.")
        return float(given)
    if setting.type is Path and not (isinstance(given, str) and given):
        raise SpecError(f"it must be a path, got {given!r:.60}.")
    if (
        setting.kind == "text"
        and isinstance(given, list)
        and given
        and all(isinstance(x, str) for x in given)
    ):
        given = ",".join(given)
    if setting.kind == "texts" and any(
        text == "" for text in (given if isinstance(given, list) else [given])
    ):
        raise SpecError("one of its texts is empty.")
    read = setting.parse(given)
    setting.value(read)
    return read


def _texts(given: Any) -> list[str]:
    """The texts of a value, each by itself where it lists several."""
    texts = given if isinstance(given, list) else [given]
    return [part for text in texts if isinstance(text, str) for part in text.split(",")]


def _shown(given: Any) -> str:
    """A value as TOML would have it."""
    if isinstance(given, bool):
        return str(given).lower()
    if isinstance(given, list):
        return f"[{', '.join(map(_shown, given))}]"
    return f'"{given}"' if isinstance(given, str) else str(given)
