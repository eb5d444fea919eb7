"""A run's files: `run.json`, `parts/*.parquet`, `samples.parquet` and the tables, each written whole."""

import hashlib
import io
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd

from advbench.errors import RunError, RunFolderError
from advbench.records import SAMPLE_TYPES, join_samples

MANIFEST = "run.json"
SAMPLES = "samples.parquet"

_FILES = (MANIFEST, SAMPLES, "table.csv", "table.md", "table.json", "parts/*.parquet")
"""What a run writes, and so what another run may replace only when it is told to."""


@dataclass
class RunFolder:
    """The folder that one run writes to.

    Args:
        path: the folder.
        manifest: what `run.json` says.
        parts: the number of the next part file.
        known: the records that an earlier start of the same run has left.
        damaged: how many of its parts could not be read, and so are done again.
    """

    path: Path
    manifest: dict[str, Any] = field(default_factory=dict)
    parts: int = 0
    known: pd.DataFrame = field(default_factory=lambda: join_samples([]))
    damaged: int = 0

    def update(self, **entries: Any) -> None:
        """Write `run.json` anew with more entries."""
        self.manifest.update(entries)
        self.write_text(MANIFEST, json.dumps(self.manifest, indent=2) + "\n")

    def add_part(self, samples: pd.DataFrame) -> None:
        """Keep the records of one batch and rung; a crash after this line does not lose them."""
        contents = samples.to_parquet(index=False)
        _write_whole(self.path / f"parts/{self.parts:06d}-{_digest(contents)}.parquet", contents)
        self.parts += 1

    def write_samples(self, samples: pd.DataFrame) -> None:
        """Write the records of the whole run."""
        _write_whole(self.path / SAMPLES, samples.to_parquet(index=False))

    def write_text(self, name: str, text: str) -> None:
        """Write a text file."""
        _write_whole(self.path / name, text.encode())

    def discard(self) -> None:
        """Take back a run that found nothing: its files, and its folders where nothing else is in them."""
        for file in _present(self.path):
            file.unlink()
        for folder in (self.path / "parts", self.path):
            if not any(folder.iterdir()):
                folder.rmdir()


def check_free(path: Path, manifest: Mapping[str, Any], *, overwrite: bool) -> None:
    """Refuse a folder that cannot take a run, before anything is computed or written.

    A folder that holds an earlier start of the same run can take it; what the run depends on and does not
    know yet (the fingerprint of its images) is compared when it is opened.

    Args:
        path: the folder, which need not exist.
        manifest: what is to be run, as far as it is known.
        overwrite: whether a run's files there may be replaced.

    Raises:
        RunFolderError: not a folder, or one that holds another run or files of the same names.
    """
    try:
        blocked = any(each.exists() and not each.is_dir() for each in (path, *path.parents))
    except OSError as error:
        raise RunFolderError(f"--out {path} cannot be used: {error.strerror}.") from error
    if blocked:
        raise RunFolderError(f"--out {path} is not a folder.")
    found = next(_present(path), None)
    if found is None or overwrite:
        return
    if not (path / MANIFEST).exists():
        stray = found.relative_to(path)
        raise RunFolderError(f"{path} holds {stray}, but no run. Give another --out, or --overwrite.")
    differences = _differences(_read_manifest(path), manifest)
    if differences:
        more = f"; and {len(differences) - 3} more" if len(differences) > 3 else ""
        raise RunFolderError(
            f"{path} already holds another run ({'; '.join(differences[:3])}{more}). Give another --out, or "
            "--overwrite to replace it."
        )


def open_folder(
    path: Path | None, label: str, manifest: Mapping[str, Any], *, overwrite: bool = False
) -> RunFolder:
    """Create the folder and write its first `run.json`, or go on with an earlier start of the same run.

    Args:
        path: the folder; None for a new dated one under `runs/`.
        label: what is run, for the name of a dated folder.
        manifest: what `run.json` says at first.
        overwrite: whether to begin anew where there is a run.

    Raises:
        RunFolderError: the folder cannot be written, or holds another run.
    """
    try:
        folder = RunFolder(_new_dated_folder(label) if path is None else path)
        (folder.path / "parts").mkdir(parents=True, exist_ok=True)
        check_free(folder.path, manifest, overwrite=overwrite)
        if not overwrite and (folder.path / MANIFEST).exists():
            _read_parts(folder)
        else:
            for old in _present(folder.path):
                old.unlink()
    except OSError as error:
        raise RunFolderError(f"cannot write to {path or 'runs/'}: {error.strerror}.") from error
    folder.update(**manifest, hash=run_hash(manifest))
    return folder


def _read_parts(folder: RunFolder) -> None:
    """Take over what an earlier start has finished; a part that is not what its name says is removed."""
    for half in [*folder.path.glob(".*.partial"), *(folder.path / "parts").glob(".*.partial")]:
        half.unlink()  # left by a crash
    readable = []
    for part in sorted((folder.path / "parts").glob("*.parquet")):
        contents = part.read_bytes()
        try:
            if part.stem.rpartition("-")[2] != _digest(contents):
                raise ValueError(part.name)
            readable.append(join_samples([pd.read_parquet(io.BytesIO(contents))[list(SAMPLE_TYPES)]]))
        except Exception:  # a damaged part can make its reader raise anything
            part.unlink()
            folder.damaged += 1
        number = part.name.partition("-")[0]
        folder.parts = max(folder.parts, int(number) + 1 if number.isdigit() else 0)
    if readable:
        folder.known = join_samples(readable).drop_duplicates(["index", "rung", "defense", "attack"])


def _read_manifest(path: Path) -> dict[str, Any]:
    try:
        manifest = json.loads((path / MANIFEST).read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise RunFolderError(f"{path / MANIFEST} is damaged; give another --out, or --overwrite.") from error
    if not isinstance(manifest, dict):
        raise RunFolderError(f"{path / MANIFEST} describes no run; give another --out, or --overwrite.")
    return manifest


def run_hash(manifest: Mapping[str, Any]) -> str:
    """SHA-256 of everything that a run's results depend on."""
    return hashlib.sha256(json.dumps(_identity(manifest), sort_keys=True).encode()).hexdigest()


def _identity(manifest: Mapping[str, Any]) -> dict[str, Any]:
    """What a run's results depend on, as flat keys: its settings, its checkpoint and its images."""
    parts = {
        "settings": manifest.get("settings"),
        "checkpoint": _entry(manifest, "checkpoint", "sha256"),
        "images": _entry(manifest, "data", "fingerprint"),
    }
    flat = dict(_flatten(json.loads(json.dumps(parts))))  # through JSON, so that tuples are lists here too
    return {key.removeprefix("settings."): value for key, value in flat.items() if value is not None}


def _entry(manifest: Mapping[str, Any], group: str, name: str) -> Any:
    values = manifest.get(group)
    return values.get(name) if isinstance(values, Mapping) else None


def _flatten(value: Any, key: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for name, inner in value.items():
            yield from _flatten(inner, f"{key}.{name}" if key else str(name))
    else:
        yield key, value


def _differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """What two runs depend on and do not share, in words; images that are not known yet are left out."""
    before, after = _identity(old), _identity(new)
    keys = dict.fromkeys([*before, *after])
    if "images" not in after:
        keys.pop("images", None)
    return [
        f"{key} was {json.dumps(before.get(key))}, now {json.dumps(after.get(key))}"
        for key in keys
        if before.get(key) != after.get(key)
    ]


def _new_dated_folder(label: str) -> Path:
    """Make a folder that no other run has; two that begin in the same second get different ones."""
    stamp = f"{datetime.now(UTC).astimezone():%Y-%m-%dT%H-%M-%S}"
    name = re.sub(r"[^A-Za-z0-9.]+", "-", label).strip("-.")[:40]
    Path("runs").mkdir(exist_ok=True)
    number = 1
    while True:
        path = Path("runs") / (f"{stamp}-{name}" if number == 1 else f"{stamp}-{name}-{number}")
        try:
            path.mkdir()
        except FileExistsError:
            number += 1
        else:
            return path


def _present(path: Path) -> Iterator[Path]:
    """The files of a run that are there, with those that a crash left half-written."""
    for pattern in _FILES:
        home, name = path / Path(pattern).parent, Path(pattern).name
        yield from home.glob(name)
        yield from home.glob(f".{name}.*.partial")


def _digest(contents: bytes) -> str:
    """Short enough for a file's name; tells a damaged part from a whole one."""
    return hashlib.blake2b(contents, digest_size=8).hexdigest()


def _write_whole(path: Path, contents: bytes) -> None:
    """Write a file so that at every moment it is either absent, the old one, or complete."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with temporary.open("wb") as file:
            file.write(contents)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise RunError(f"cannot write {path}: {error.strerror}. What was finished before is kept.") from error
