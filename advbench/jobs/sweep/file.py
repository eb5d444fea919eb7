"""A sweep's file: models x defenses x threats x attacks over shared defaults, read and its words checked.

Whether a name in it stands for anything is looked at in `cells`; here it is only what may be written.
"""

import hashlib
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple, NoReturn

from advbench.errors import InputError, SpecError, nearest
from advbench.jobs.settings.in_files import file_settings
from advbench.jobs.toml_text import parse_toml, read_text
from advbench.results.records import UNDEFENDED

from . import toml_lines

DEFAULTS: Final = "defaults"
MODELS: Final = "models"
NAME: Final = "name"

CURVE: Final = "curve"
"""Whether what falls at a radius has fallen at every larger one too."""

AXES: Final[Mapping[str, str]] = {
    MODELS: "model",
    "threats": "eps",
    "defenses": "defense",
    "attacks": "attack",
}
"""What a file lists, and the setting that a plain text in each list is for."""

LISTED: Final = {"defenses": "defense", "attacks": "attack"}
"""Settings that only an entry of their own list may have."""

OWN: Final = ("threats", "defenses", "attacks")
"""Lists that a model may have for itself, in place of the file's."""

_EITHER: Final = {"limit": "first", "first": "limit"}
"""Settings of which the later one takes the other's place."""

_UNNAMED: Final = "grid"
"""What a sweep is called that has no file."""

_MOST: Final = 100_000  # cells


class Given(NamedTuple):
    """A value, as `Setting.parse` returns it, and the line of the file where it stands."""

    value: Any
    line: int


@dataclass(frozen=True)
class Draft:
    """A cell of the grid as it was written.

    Args:
        given: everything that was said about it, by key; `defense` and `attack` are single texts.
        name: what the table is to call the model; None for its own name.
        line: where it begins: the model's entry, or the file's first line.
    """

    given: Mapping[str, Given]
    name: str | None
    line: int


@dataclass(frozen=True)
class Entry:
    """One entry of a list: what it sets, and the lists of its own."""

    given: Mapping[str, Given] = field(default_factory=dict)
    name: str | None = None
    line: int = 1
    own: Mapping[str, Sequence["Entry"]] = field(default_factory=dict)


@dataclass(frozen=True)
class Grid:
    """What a sweep is to fill: models x threats x defenses x attacks over shared defaults.

    Args:
        name: what the sweep is called.
        axes: what each list holds.
        defaults: settings of every cell, where no entry says otherwise.
        is_curve: whether what falls at a radius has fallen at every larger one too.
        file: where it was read, so that a fault is told with its line; None for one that was made of options.
        digest: a hash of what it was made of.
    """

    name: str
    axes: Mapping[str, Sequence[Entry]]
    defaults: Entry
    is_curve: bool
    file: Path | None
    digest: str

    def drafts(self) -> list[Draft]:
        """Every cell of the grid, in the order of the table: model, threat, defense, attack.

        Raises:
            InputError: too many of them.
        """
        models = self.axes.get(MODELS, [Entry()])
        cells = itertools.chain.from_iterable(map(self._cells, models))
        drafts = list(itertools.islice(cells, _MOST + 1))
        if len(drafts) > _MOST:
            raise InputError(f"{self.file or self.name} asks for more than {_MOST} cells; split it.")
        return drafts

    def refuse_line(self, line: int, message: str) -> NoReturn:
        """Say what is wrong, and on which line where there are lines.

        Raises:
            InputError: always.
        """
        raise InputError(message if self.file is None else f"{self.file}, line {line}: {message}")

    def _cells(self, model: Entry) -> Iterator[Draft]:
        lists = {**self.axes, **model.own}
        none, attack = Given(UNDEFENDED, model.line), Given("pgd", model.line)
        defenses = list(lists.get("defenses", ()))
        if not any(entry.given["defense"].value == UNDEFENDED for entry in defenses):
            defenses.insert(0, Entry({"defense": none}))  # it is always there, as in `advbench attack`
        defenses.sort(key=lambda entry: bool(entry.given["defense"].value != UNDEFENDED))
        attacks = lists.get("attacks", [Entry({"attack": attack})])
        for others in itertools.product(lists.get("threats", [Entry()]), defenses, attacks):
            given: dict[str, Given] = {}
            for entry in (self.defaults, model, *others):
                for key in entry.given.keys() & _EITHER.keys():
                    given.pop(_EITHER[key], None)
                if "norm" in entry.given:
                    given.pop("eps", None)  # a radius in one norm says nothing in another
                given |= entry.given
            yield Draft(given, model.name, model.line)


def read_grid(path: Path) -> Grid:
    """The grid that a sweep's file describes.

    Raises:
        InputError: missing, unreadable, no TOML, or something that no sweep can say; with its line.
    """
    text, tree = parse_toml(path, read_text(path), "file of a sweep")
    return _Reading(path, tree, toml_lines.lines_of(text)).grid(hashlib.sha256(text.encode()).hexdigest())


def grid_of_tables(tables: Mapping[str, Any]) -> Grid:
    """The grid that dictionaries and lists describe, as a sweep's file would hold them.

    Raises:
        InputError: something that no sweep can say; with its place.
    """
    tree = _plain(tables)
    digest = hashlib.sha256(json.dumps(tree, sort_keys=True, default=str).encode()).hexdigest()
    return _Reading(None, tree, {}).grid(digest)


def _plain(value: Any) -> Any:
    """A value as TOML would hold it."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value


@dataclass(frozen=True)
class _Reading:
    """A sweep's file, or its tables, under the eye of a reader who knows where everything stands."""

    path: Path | None
    tree: Mapping[str, Any]
    lines: Mapping[toml_lines.Path, int]

    def grid(self, digest: str) -> Grid:
        """All of it."""
        for key in self.tree:
            if key not in (CURVE, DEFAULTS, *AXES):
                known = nearest(key, [CURVE, DEFAULTS, *AXES])
                hint = f"It belongs into [{DEFAULTS}]." if key in file_settings() else known
                self.refuse((key,), f"a sweep has no {key!r}. {hint}")
        if not isinstance(self.tree.get(CURVE, False), bool):
            self.refuse((CURVE,), f"{CURVE} must be true or false, got {self.tree[CURVE]!r:.60}.")
        defaults = self._entry((DEFAULTS,), self.tree.get(DEFAULTS, {}), "")
        axes = {axis: self._axis((axis,), self.tree[axis]) for axis in AXES if axis in self.tree}
        name = self.path.stem if self.path else _UNNAMED
        return Grid(name, axes, defaults, self.tree.get(CURVE) is True, self.path, digest)

    def refuse(self, where: toml_lines.Path, message: str) -> NoReturn:
        """Say what is wrong at a place of the file.

        Raises:
            InputError: always.
        """
        if self.path is None:
            raise InputError(f"{'.'.join(map(str, where))}: {message}")
        while where and where not in self.lines:
            where = where[:-1]
        raise InputError(f"{self.path}, line {self.lines.get(where, 1)}: {message}")

    def _axis(self, where: toml_lines.Path, value: Any) -> list[Entry]:
        axis = str(where[-1])
        if not isinstance(value, list) or not value:
            self.refuse(where, f"{axis} must be a list of texts and tables, got {value!r:.60}.")
        return [self._element((*where, number), item, axis) for number, item in enumerate(value)]

    def _element(self, where: toml_lines.Path, value: Any, axis: str) -> Entry:
        if isinstance(value, str):
            words = value.split()
            if axis == "threats" and len(words) == 2:
                value = {"norm": words[0], "eps": words[1]}
            else:
                value = {AXES[axis]: value}
        if not isinstance(value, dict):
            self.refuse(where, f"an entry of {axis} must be a text or a table, got {value!r:.60}.")
        if axis in LISTED and LISTED[axis] not in value:
            self.refuse(where, f'an entry of {axis} must say which: {LISTED[axis]} = "...".')
        return self._entry(where, value, axis)

    def _entry(self, where: toml_lines.Path, table: Any, axis: str) -> Entry:
        if not isinstance(table, dict):
            self.refuse(where, f"{where[-1]} must be a table, got {table!r:.60}.")
        line = self.lines.get(where, 1)
        given: dict[str, Given] = {}
        own: dict[str, Sequence[Entry]] = {}
        for key, value in table.items():
            place = (*where, key)
            if axis == MODELS and key in OWN:
                own[key] = self._axis(place, value)
            elif axis == MODELS and key == NAME:
                if not isinstance(value, str) or not value.strip():
                    self.refuse(place, f"{NAME} must be a text, got {value!r:.60}.")
            else:
                given[key] = Given(self._read(place, key, value, axis), self.lines.get(place, line))
        return Entry(given, table.get(NAME) if axis == MODELS else None, line, own)

    def _read(self, where: toml_lines.Path, key: str, value: Any, axis: str) -> Any:
        if key in LISTED.values() and key != LISTED.get(axis):
            plural = next(plural for plural, singular in LISTED.items() if singular == key)
            self.refuse(where, f'{key} stands in a list of its own: {plural} = ["..."].')
        if key not in file_settings():
            known = [*file_settings(), *((NAME, *OWN) if axis == MODELS else ())]
            self.refuse(where, f"there is no setting {key!r}. {nearest(key, known)}")
        if key == LISTED.get(axis) and not isinstance(value, str):
            self.refuse(where, f"{key}: it must be a text, got {value!r:.60}.")
        try:
            read = file_settings()[key].parse(value)
        except SpecError as error:
            self.refuse(where, f"{key}: {error}")
        return value.strip() if key == LISTED.get(axis) else read
