"""A run's seal: a digest of every file that a number rests on, and of everything that `run.json` says beside.

The seal finds what was changed afterwards by somebody who did not make it anew. Whoever makes it anew too is
found out by what can be derived again (`advbench.jobs.verify`), or by the seal's own digest, where that was
published.
"""

import hashlib
import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

from advbench.files import sha256

SEAL: Final = "seal"
"""The entry of `run.json`."""

How = Literal["missing", "not in the seal", "not as sealed"]


@dataclass(frozen=True, kw_only=True)
class Seal:
    """What a run was when it was done.

    Args:
        entries: SHA-256 of everything else that `run.json` says.
        files: SHA-256 of each file, by its path in the folder, in the order of these.
        folder: the folder's name then, which the run's page bears.
    """

    entries: str
    files: Mapping[str, str]
    folder: str = ""

    @property
    def digest(self) -> str:
        """SHA-256 of the seal: a line that, published elsewhere, holds the whole run to what it was."""
        return hashlib.sha256(_canonical(asdict(self))).hexdigest()


class Breach(NamedTuple):
    """A file that is not what the seal says."""

    name: str
    how: How


def seal_of(folder: Path, names: Iterable[str], entries: Mapping[str, Any]) -> Seal:
    """The seal of a run that is done.

    Args:
        folder: where the files are.
        names: their paths in it.
        entries: what `run.json` is about to say, with or without a seal.
    """
    return Seal(
        entries=digest_of(entries),
        files={name: sha256(folder / name) for name in sorted(names)},
        folder=folder.resolve().name,
    )


def digest_of(entries: Mapping[str, Any]) -> str:
    """SHA-256 of what a `run.json` says beside its seal, whatever its order and its blanks."""
    return hashlib.sha256(
        _canonical({name: entry for name, entry in entries.items() if name != SEAL})
    ).hexdigest()


def breaches(folder: Path, seal: Seal, present: Collection[str]) -> list[Breach]:
    """Every file that is missing, was added, or has other contents, in the order of their paths.

    Args:
        folder: where the files are.
        seal: what they should be; it may have been forged, and only names that are present are opened.
        present: the paths of the run's files that are there.
    """
    broken = []
    for name in sorted({*seal.files, *present}):
        if name not in present:
            broken.append(Breach(name, "missing"))
        elif name not in seal.files:
            broken.append(Breach(name, "not in the seal"))
        elif sha256(folder / name) != seal.files[name]:
            broken.append(Breach(name, "not as sealed"))
    return broken


def _canonical(value: Any) -> bytes:
    """JSON that is the same for the same values: as they are read back, with their keys in order."""
    plain = json.loads(json.dumps(value))
    return json.dumps(plain, sort_keys=True, separators=(",", ":")).encode()
