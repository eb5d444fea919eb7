"""A run that is done, read back from its folder: the rows of its table, without a model."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Final, NamedTuple

import pandas as pd

from advbench.errors import RunFolderError
from advbench.results.indicators import Indicator, read_indicator
from advbench.results.records import Row
from advbench.results.table import Heading, rows_of
from advbench.runs.manifest import entry, read_manifest
from advbench.runs.provenance import origin_of
from advbench.runs.samples import SAMPLES, read_samples

_MOST: Final = 100_000_000  # records


@dataclass(frozen=True)
class FinishedRun:
    """What a run found.

    Args:
        rows: its table.
        origin: where the rows come from, in a few words each.
    """

    rows: tuple[Row, ...]
    origin: Mapping[str, str]


class Records(NamedTuple):
    """What a run wrote down."""

    manifest: Mapping[str, Any]
    """What `run.json` says."""
    heading: Heading
    samples: pd.DataFrame
    """One record an image and rung, columns as in `records.SAMPLE_TYPES`."""


def read_finished_run(path: Path) -> FinishedRun:
    """The table of a run's folder, counted anew from its records.

    Raises:
        RunFolderError: no run, one that is not done, or files that are not as the run wrote them.
    """
    found = read_records(path)
    return FinishedRun(rows_of(found.samples, found.heading), origin_of(found.manifest))


def read_records(path: Path) -> Records:
    """The records of a run's folder, and what its table is about.

    Raises:
        RunFolderError: no run, one that is not done, or files that are not as the run wrote them.
    """
    manifest = read_manifest(path)
    if manifest.get("status") != "done":
        raise RunFolderError(f"{path} is not finished (status {manifest.get('status')!r}).")
    file = path / SAMPLES
    try:
        contents = file.read_bytes()
    except OSError as error:
        raise RunFolderError(f"{file} cannot be read: {error.strerror}.") from error
    if hashlib.sha256(contents).hexdigest() != entry(manifest, "files", SAMPLES):
        raise RunFolderError(f"{file} is not as the run wrote it.")
    heading = _heading(path, manifest.get("heading"))
    samples, _ = read_samples(contents, _MOST)
    if set(samples["defense"]) != set(heading.substitutes):
        raise RunFolderError(f"{file} does not hold the defenses that its run.json names.")
    return Records(manifest, heading, samples)


def _heading(path: Path, said: Any) -> Heading:
    """What the table is about, as `run.json` says it, which may have been forged."""
    known = {each.name: each for each in fields(Heading)}
    if not isinstance(said, Mapping) or not said.keys() <= known.keys():
        raise RunFolderError(f"the run.json of {path} does not say what its table is about.")
    words = [said.get(name) for name in ("model", "dataset", "norm", "eps")]
    listed: Any = said.get("attacks")
    substitutes: Any = said.get("substitutes")
    doubts: Any = said.get("doubts")
    holds = (
        all(isinstance(each, str) for each in words)
        and _are_texts(said.get("rungs"))
        and isinstance(said.get("gradient_free"), str)
        and _are_texts(listed)
        and isinstance(substitutes, Mapping)
        and _are_texts(list(substitutes.values()))
        and isinstance(said.get("indicators"), list)
        and isinstance(said.get("rules", 1), int)
        and isinstance(doubts, Mapping)
        and all(map(_are_texts, doubts.values()))
        and _are_texts(said.get("notes", []))
    )
    if not holds:
        raise RunFolderError(f"the run.json of {path} does not say what its table is about.")
    return Heading(
        **{
            **said,
            "rules": said.get("rules", 1),
            "attacks": tuple(listed),
            "rungs": tuple(said["rungs"]),
            "doubts": {name: tuple(each) for name, each in doubts.items()},
            "notes": tuple(said.get("notes", ())),
            "indicators": _indicators(path, said["indicators"]),
        }
    )


def _indicators(path: Path, said: Sequence[Any]) -> tuple[Indicator, ...]:
    try:
        return tuple(read_indicator(each) for each in said)
    except ValueError as error:
        raise RunFolderError(f"the run.json of {path} holds an indicator that is none: {error}.") from error


def _are_texts(values: Any) -> bool:
    return isinstance(values, list) and all(isinstance(each, str) for each in values)
