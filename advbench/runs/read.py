"""A run that is done, read back from its folder: the rows of its table, without a model."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import pandas as pd

from advbench.errors import RunFolderError
from advbench.results.records import Row
from advbench.results.table import Heading, rows_of
from advbench.runs.manifest import Manifest, open_manifest
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

    manifest: Manifest
    heading: Heading
    samples: pd.DataFrame
    """One record an image and rung, columns as in `records.SAMPLE_TYPES`."""


def read_finished_run(path: Path) -> FinishedRun:
    """The table of a run's folder, counted anew from its records.

    Raises:
        RunFolderError: no run, one that is not done, or files that are not as the run wrote them.
    """
    records = read_records(path)
    return FinishedRun(rows_of(records.samples, records.heading), origin_of(records.manifest.values))


def read_records(path: Path) -> Records:
    """The records of a run's folder, and what its table is about.

    Raises:
        RunFolderError: no run, one that is not done, or files that are not as the run wrote them.
    """
    manifest = open_manifest(path)
    if not manifest.is_done:
        raise RunFolderError(f"{path} is not finished (status {manifest.status!r:.60}).")
    file = path / SAMPLES
    try:
        contents = file.read_bytes()
    except OSError as error:
        raise RunFolderError(f"{file} cannot be read: {error.strerror}.") from error
    if hashlib.sha256(contents).hexdigest() != manifest.files.get(SAMPLES):
        raise RunFolderError(f"{file} is not as the run wrote it.")
    heading = manifest.heading
    samples, _ = read_samples(contents, _MOST)
    if set(samples["defense"]) != set(heading.substitutes):
        raise RunFolderError(f"{file} does not hold the defenses that its run.json names.")
    return Records(manifest, heading, samples)
