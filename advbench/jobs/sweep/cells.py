"""The cells of a sweep: every name looked up, every number checked, and the runs that the cells make."""

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final, NoReturn, TypeVar

from advbench.data.load import check_place, find_dataset
from advbench.defended.model import Placement
from advbench.errors import InputError
from advbench.jobs.build_attacks import attack_tests, full_attack, shared_parameters
from advbench.jobs.build_chain import make_chain
from advbench.jobs.build_subject import (
    check_selection,
    choose_device,
    make_threat,
    names_of,
    place_of,
)
from advbench.jobs.build_surrogate import check_words
from advbench.jobs.classifier import shown_name
from advbench.jobs.normalizing import given_normalization
from advbench.jobs.objects import NO_OBJECTS, Objects
from advbench.jobs.ranks import Ranks
from advbench.jobs.settings.in_files import file_settings, settings_from, words_of
from advbench.jobs.settings.run import RunSettings
from advbench.jobs.sweep.file import Draft, Grid
from advbench.models.checkpoint.formats import detect_format
from advbench.models.network import find_model
from advbench.names import registry
from advbench.names.grammar import parse_spec
from advbench.names.user_code import check_there
from advbench.reports.formats import FILE_NAMES, HTML, formats_of
from advbench.results.records import UNDEFENDED, Row
from advbench.threat.attack import Attack
from advbench.threat.threat import Threat

NOWHERE: Final = Path()

_BESIDE: Final = {
    "eps": ("norm",),
    "mean": ("std",),
    "data_root": ("dataset",),
    "limit": ("first",),
    "surrogate": ("source",),
}
"""Where to look for a fault's line if the setting itself is not given."""

_OF_AN_ATTACK: Final = ("steps", "step_size", "restarts", "random_start")
"""Settings that become parameters of the attacks that have them."""

_SPLIT: Final = ("defense", "attack")

Result = TypeVar("Result")


@dataclass(frozen=True)
class Cell:
    """One row of the table that a sweep is to fill: a model behind a defense under a threat and an attack.

    Args:
        model: what the table calls the model.
        dataset: the data set's name.
        threat: norm and radius.
        defense: as it is written, `none` for the undefended model.
        attack: with all its parameters, as the table names it.
        shared: every other setting, by key; cells that share them can share a run.
        made: the attack.
        is_random: whether the defense, or the model, is said to draw random numbers.
        objects: a digest of the objects behind the words; empty without any.
    """

    model: str
    dataset: str
    threat: Threat
    defense: str
    attack: str
    shared: Mapping[str, Any]
    made: Attack
    is_random: bool
    objects: str = ""

    @property
    def key(self) -> tuple[str, ...]:
        """What tells it from the other cells of the table."""
        return self.model, self.dataset, self.threat.norm, self.threat.text, self.defense, self.attack

    @property
    def identity(self) -> str:
        """A hash of those shared settings that the numbers depend on."""
        return _hash(self._of_numbers())

    @property
    def identity_beside_radius(self) -> str:
        """The same, but for the radius: cells that share it are points of one curve."""
        return _hash({key: value for key, value in self._of_numbers().items() if key not in ("norm", "eps")})

    def _of_numbers(self) -> dict[str, Any]:
        known = file_settings()
        values = {key: value for key, value in self.shared.items() if known[key].option.changes_numbers}
        return {**values, "objects": self.objects} if self.objects else values

    def failed(self, reason: str) -> Row:
        """The row of a cell that could not be filled."""
        return Row(
            model=self.model,
            dataset=self.dataset,
            n=0,
            defense=self.defense,
            norm=self.threat.norm,
            eps=self.threat.text,
            attack=self.attack,
            rates={},
            error=reason,
        )


@dataclass(frozen=True)
class Run:
    """Cells that one `advbench attack` fills: every defense under every attack.

    Args:
        cells: those of the sweep; at least one.
        defenses: as they are written, without the undefended model, which is in every run.
        attacks: with all their parameters.
        folder: its name inside the sweep's folder; made of what it is to hold.
    """

    cells: Sequence[Cell]
    defenses: tuple[str, ...]
    attacks: tuple[str, ...]
    folder: str

    @property
    def values(self) -> dict[str, Any]:
        """All settings, by key."""
        listed = {"defense": list(self.defenses), "attack": list(self.attacks)}
        return {**self.cells[0].shared, **{key: entries for key, entries in listed.items() if entries}}

    def options(self, home: Path, *, overwrite: bool = False) -> RunSettings:
        """What `advbench attack` is to do, in a folder inside `home`."""
        options = settings_from(self.values, home / self.folder, overwrite=overwrite)
        return replace(options, quiet=True)

    def words(self, home: Path) -> list[str]:
        """The command line that does the same."""
        return ["advbench", "attack", *words_of(self.values), "--out", str(home / self.folder)]

    def split(self) -> list["Run"]:
        """The same cells in two runs, by their defense, else by their attack; a single cell stays whole.

        The undefended model is in the first of them: what it fails by, everything fails by.
        """
        names = [list(dict.fromkeys(getattr(cell, name) for cell in self.cells)) for name in _SPLIT]
        name, values = next(((_SPLIT[at], name) for at, name in enumerate(names) if len(name) > 1), ("", []))
        if not name:
            return [self]
        first = values[: (len(values) + 1) // 2]
        halves: tuple[list[Cell], list[Cell]] = [], []
        for cell in self.cells:
            halves[getattr(cell, name) not in first].append(cell)
        return [_run(half) for half in halves]


def make_runs(cells: Sequence[Cell]) -> list[Run]:
    """The fewest runs that fill the cells and no others, in the order of the cells."""
    attacks: dict[tuple[str, str], list[Cell]] = {}
    for cell in cells:
        attacks.setdefault((_hash(cell.shared), cell.defense), []).append(cell)
    runs: dict[tuple[str, ...], list[Cell]] = {}
    for (shared, _), defense_cells in attacks.items():
        runs.setdefault((shared, *(cell.attack for cell in defense_cells)), []).extend(defense_cells)
    return [_run(run) for run in runs.values()]


def make_cells(grid: Grid, objects: Objects = NO_OBJECTS) -> list[Cell]:
    """Every cell of a grid, with everything looked up that can be without loading anything.

    Raises:
        InputError: a name that stands for nothing, a number out of its range, a file that is not there, or
            a cell that is there twice; with its line.
    """
    drafts = grid.drafts()
    cells: list[Cell] = []
    seen: set[tuple[str, ...]] = set()
    taken: set[tuple[str, int]] = set()
    for draft in drafts:
        cell, of_attack = _Checking(grid, draft, objects).cell()
        taken |= of_attack
        if cell.key in seen:
            row_name = f"{cell.model}, {cell.defense}, {cell.attack}, {cell.threat.norm} {cell.threat.text}"
            grid.refuse_line(
                draft.given["defense"].line,
                f"the table would have two rows of {row_name}. Give one of the models a name of its own.",
            )
        seen.add(cell.key)
        cells.append(cell)
    for draft in drafts:
        for key in _OF_AN_ATTACK:
            given = draft.given.get(key)
            if given is not None and (key, given.line) not in taken and given.value is not True:
                grid.refuse_line(given.line, f"{key} fits none of the attacks.")
    return cells


class _Checking:
    """One draft, whose settings are looked at one after another; each fault knows its line."""

    def __init__(self, grid: Grid, draft: Draft, objects: Objects) -> None:
        self.grid = grid
        self.draft = draft
        self.objects = objects
        self.values = {key: given_value.value for key, given_value in draft.given.items()}
        listed = {key: [self.values[key]] for key in ("defense", "attack")}
        self.options = self._try("batch_size", lambda: settings_from({**self.values, **listed}, NOWHERE))

    def cell(self) -> tuple[Cell, set[tuple[str, int]]]:
        """The cell, and those settings with their lines that became parameters of its attack."""
        subject = self.options.subject
        model, dataset = self._try("model", lambda: names_of(subject))
        entry = self.objects.entry or self._try("dataset", lambda: find_dataset(dataset))
        threat = self._try("eps", lambda: make_threat(subject, entry))
        name = self._try("model", lambda: shown_name(model, subject.checkpoint))
        if model is not None and self.objects.model is None:
            self._try("model", lambda: _find_model(model))
        path = subject.checkpoint
        if path is not None:
            self._try("checkpoint", lambda: detect_format(path))
        self._try("mean", lambda: given_normalization(subject, entry))
        self._try("limit", lambda: check_selection(subject))
        if self.objects.images is None:
            self._try("data_root", lambda: check_place(dataset, place_of(subject)))
        self._try("device", lambda: choose_device(subject.device, Ranks()))
        self._try("format", lambda: formats_of(self.options.formats, [*FILE_NAMES, HTML]))
        self._try("surrogate", lambda: self._stand_ins(model))
        chain = self._try("defense", self._chain)
        attack, made, taken = self._attack(self.values["attack"])
        gone = (*_OF_AN_ATTACK, "defense", "attack")
        cell = Cell(
            model=self.draft.name or name,
            dataset=dataset,
            threat=threat,
            defense=self.values["defense"],
            attack=attack,
            shared={key: value for key, value in self.values.items() if key not in gone},
            made=made,
            is_random=self.options.random_model or any(placement.is_random for placement in chain),
            objects=self.objects.digest,
        )
        return cell, {(key, self.draft.given[key].line) for key in taken if key in self.draft.given}

    def _attack(self, text: str) -> tuple[str, Attack, frozenset[str]]:
        """The attack's name and itself, and the settings that became its parameters."""
        if text in self.objects.attacks:
            return text, self.objects.attacks[text], frozenset()
        full = self._try("attack", lambda: full_attack(text, shared_parameters(self.options)))
        made = self._try("attack", lambda: registry.build(full.factory, full.spec, "attack"))
        return str(full.spec), made, full.taken

    def _stand_ins(self, model: str | None) -> None:
        attack_tests(self.options)
        own = self.objects
        surrogate = None if own.surrogate else self.options.surrogate
        source = None if own.source else self.options.source
        check_words(surrogate, source, None if own.model else model)

    def _chain(self) -> tuple[Placement, ...]:
        text = self.values["defense"]
        if text in self.objects.defenses:
            return self.objects.defenses[text]
        return () if text == UNDEFENDED else make_chain(text)

    def _try(self, key: str, look: Callable[[], Result]) -> Result:
        try:
            return look()
        except InputError as error:
            self._refuse(key, error)

    def _refuse(self, key: str, error: InputError) -> NoReturn:
        """Blame the setting whose option the message names, else the one that was looked at."""
        given = self.draft.given
        named = [name for name in given if re.search(rf"{file_settings()[name].word}(?![\w-])", str(error))]
        blamed = next((name for name in (*named, key, *_BESIDE.get(key, ())) if name in given), None)
        if blamed is None:
            self.grid.refuse_line(self.draft.line, str(error))
        self.grid.refuse_line(given[blamed].line, f"{blamed}: {error}")


def _find_model(text: str) -> None:
    """See whether a model can be named; the file of one's own is looked for, not run."""
    name = parse_spec(text).name
    check_there(name)
    find_model(name)


def _run(cells: Sequence[Cell]) -> Run:
    defenses = tuple(dict.fromkeys(other.defense for other in cells if other.defense != UNDEFENDED))
    attacks = tuple(dict.fromkeys(other.attack for other in cells))
    return Run(cells, defenses, attacks, folder_of(cells[0], defenses, attacks))


def folder_of(cell: Cell, defenses: Sequence[str], attacks: Sequence[str]) -> str:
    """The name of a run's folder: a label for people, then what tells it from all others."""
    label = re.sub(r"[^A-Za-z0-9.]+", "-", f"{cell.model}-{cell.threat.norm}-{cell.threat.text}")
    return f"{label.strip('-.')[:40]}-{cell.identity}-{_hash([list(defenses), list(attacks)])}"


def _hash(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.blake2b(text.encode(), digest_size=4).hexdigest()
