"""What `run.json` says, and what of it a run's results depend on."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final, TypeVar, final

from advbench.errors import RunFolderError, refused_name
from advbench.regular_files import IrregularFileError, read_regular
from advbench.results.records import Candidate
from advbench.results.table import Heading
from advbench.runs.seal import SEAL, Seal
from advbench.runs.typed_json import Count, Where, read_as

MANIFEST = "run.json"

LATER: Final = "later"
"""Marks fields of attacks and defenses that came later: their default is what was done before, and is no part
of what describes them, so that runs which were begun before go on."""

LARGEST_MANIFEST = 64 << 20  # bytes; a seal has about 130 a file
LARGEST_MANIFEST_COSINE: Final = 1.001  # up to rounding
_EARLIEST_RULES: Final = 1  # of verdicts, before runs wrote down which

Group = TypeVar("Group")


@dataclass(frozen=True, kw_only=True)
class _Images:
    """What the images were."""

    n: Count
    fingerprint: str = ""


@dataclass(frozen=True, kw_only=True)
class _Files:
    """SHA-256 of each file, by name."""

    files: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class _Sealed:
    """The seal, where there is one."""

    seal: Seal | None = None


@final
@dataclass(frozen=True)
class Manifest:
    """A `run.json` whose entries have the types that they should, whoever wrote it.

    An entry is checked when it is asked for, so that a file with entries of a later version can still be read
    for those that are understood.

    Args:
        path: the run's folder.
        values: what the file holds.
    """

    path: Path
    values: Mapping[str, Any]

    @property
    def status(self) -> str:
        """How far the run has come: `running`, `done`, `interrupted`, `failed`; empty where none is said."""
        status = self.values.get("status")
        return status if isinstance(status, str) else ""

    @property
    def is_done(self) -> bool:
        """Whether the run has come to its end."""
        return self.status == "done"

    @property
    def hash_holds(self) -> bool:
        """Whether its settings, checkpoint and images are those that the run was hashed with."""
        return run_hash(self.values) == self.values.get("hash")

    @property
    def keeps_examples(self) -> bool:
        """Whether the run was asked to keep its adversarial examples."""
        return keeps_examples(self.values)

    @property
    def n(self) -> int:
        """How many images the run has.

        Raises:
            RunFolderError: it does not say.
        """
        return self.group("data", _Images).n

    @property
    def fingerprint(self) -> str:
        """Of the images; empty where they are not known yet.

        Raises:
            RunFolderError: it is no text.
        """
        return self.group("data", _Images).fingerprint

    @property
    def files(self) -> Mapping[str, str]:
        """SHA-256 of each file, by its name.

        Raises:
            RunFolderError: other entries.
        """
        return read_as(_Files, self.values, self.where, whole=False).files

    @cached_property
    def seal(self) -> Seal | None:
        """The run's seal; None of a run that an earlier version wrote, or that is not done.

        Raises:
            RunFolderError: other entries.
        """
        return read_as(_Sealed, {SEAL: self.values.get(SEAL)}, self.where).seal

    @cached_property
    def heading(self) -> Heading:
        """What the run's table is about.

        Raises:
            RunFolderError: it does not say.
        """
        entries = self.values.get("heading")
        if isinstance(entries, Mapping):
            entries = {"rules": _EARLIEST_RULES, **entries}
        return read_as(Heading, entries, self.where.within("heading"))

    @cached_property
    def candidates(self) -> tuple[Candidate, ...]:
        """What a search for substitutes found; what is no candidate is left out."""
        entries = self.values.get("candidates")
        candidates = []
        for place, item in enumerate(entries if isinstance(entries, list) else []):
            with suppress(RunFolderError):
                candidates.append(read_as(Candidate, item, self.where.within(f"candidates[{place}]")))
        return tuple(
            candidate
            for candidate in candidates
            if candidate.agreement is None or abs(candidate.agreement) <= LARGEST_MANIFEST_COSINE
        )

    def group(self, name: str, kind: type[Group]) -> Group:
        """A group of entries as a dataclass, whose fields are those that the reader understands.

        Raises:
            RunFolderError: an entry that is missing or of another type.
        """
        return read_as(kind, self.values.get(name), self.where.within(name), whole=False)

    @property
    def where(self) -> Where:
        """The file, for what is said about it."""
        return Where(str(self.path / MANIFEST))


def open_manifest(path: Path) -> Manifest:
    """The `run.json` of a folder, to be read by somebody who trusts none of it.

    Raises:
        RunFolderError: missing, unreadable or damaged.
    """
    return Manifest(path, read_manifest(path))


def read_manifest(path: Path) -> dict[str, Any]:
    """The `run.json` of a run's folder; nothing is promised of its contents but that it is a dictionary.

    Raises:
        RunFolderError: missing, unreadable or damaged.
    """
    file = path / MANIFEST
    try:
        manifest = json.loads(read_regular(file, LARGEST_MANIFEST))
    except (FileNotFoundError, NotADirectoryError, IrregularFileError) as error:
        raise RunFolderError(f"{path} is not a run's folder: there is no {MANIFEST} in it.") from error
    except OSError as error:
        if refused_name(error) is not None:
            raise
        raise RunFolderError(f"{file} cannot be read: {error.strerror}.") from error
    except (ValueError, RecursionError) as error:
        raise RunFolderError(f"{file} is damaged.") from error
    if not isinstance(manifest, dict):
        raise RunFolderError(f"{file} describes no run.")
    return manifest


def run_hash(manifest: Mapping[str, Any]) -> str:
    """SHA-256 of everything that a run's results depend on."""
    return hashlib.sha256(json.dumps(_identity(manifest), sort_keys=True).encode()).hexdigest()


def differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """What two runs depend on and do not share, in words; images that are not known yet are left out."""
    before, after = _identity(old), _identity(new)
    keys = dict.fromkeys([*before, *after])
    if "images" not in after:
        keys.pop("images", None)
    named = []
    for group in ("attacks", "defenses"):
        one, other = (_named(run, group) for run in (old, new))
        if one != other:
            named.append(f"{group} was {json.dumps(one)}, now {json.dumps(other)}")
            keys = dict.fromkeys(key for key in keys if not key.startswith(group))
    return [
        f"{key} was {json.dumps(before.get(key))}, now {json.dumps(after.get(key))}"
        for key in keys
        if before.get(key) != after.get(key)
    ] + named


def _named(manifest: Mapping[str, Any], group: str) -> list[Any]:
    """The attacks or defenses of a run in their order; none where something else stands in their place."""
    named = entry(manifest, "settings", group)
    return list(named) if isinstance(named, Mapping) else []


def _identity(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """What a run's results depend on, as flat keys: its settings, its checkpoint and its images."""
    parts = {
        "settings": manifest.get("settings"),
        "checkpoint": entry(manifest, "checkpoint", "sha256"),
        "images": entry(manifest, "data", "fingerprint"),
    }
    flat = dict(_flatten(json.loads(json.dumps(parts))))  # through JSON, so that tuples are lists here too
    return {key.removeprefix("settings."): value for key, value in flat.items() if value is not None}


def entry(manifest: Mapping[str, Any], group: str, name: str) -> Any:
    """`manifest[group][name]`, None where either is missing."""
    values = manifest.get(group)
    return values.get(name) if isinstance(values, Mapping) else None


def keeps_examples(manifest: Mapping[str, Any]) -> bool:
    """Whether a run was asked to keep its adversarial examples."""
    return entry(manifest, "settings", "save_adversarial") is not None


def _flatten(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for name, inner in value.items():
            yield from _flatten(inner, f"{key}.{name}" if key else str(name))
    else:
        yield key, value
