"""A run that is done, read back from its folder: the rows of its table, without a model."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

import pandas as pd

from advbench.errors import RunFolderError
from advbench.regular_files import read_regular
from advbench.results.judging import MAJORITY
from advbench.results.records import ASKABLE, Row
from advbench.results.table import Heading, rows_of
from advbench.runs.manifest import Manifest, open_manifest
from advbench.runs.provenance import origin_of
from advbench.runs.samples import LARGEST, SAMPLES, read_samples
from advbench.runs.seal import digest_of
from advbench.runs.typed_json import Count

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


@dataclass(frozen=True, kw_only=True)
class StandIn:
    """A surrogate, or what static examples were made on.

    Args:
        name: as it was given.
        state: a digest of its parameters and code.
    """

    name: str
    state: str = ""


@dataclass(frozen=True, kw_only=True)
class _Named:
    """What a run's settings, which it was hashed with, call what its table is about."""

    model: str
    dataset: str
    norm: str
    eps: str
    attacks: Mapping[str, Any]
    gradient_free: Mapping[str, Any] = field(default_factory=dict)
    label_only: Mapping[str, Any] = field(default_factory=dict)
    rungs: tuple[str, ...]
    surrogate: StandIn | None = None
    source: StandIn | None = None
    judge: str = MAJORITY
    judge_draws: Count = 1


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
    check_own_word(manifest)
    file = path / SAMPLES
    try:
        contents = read_regular(file, LARGEST)
    except OSError as error:
        raise RunFolderError(f"{file} cannot be read: {error.strerror}.") from error
    if hashlib.sha256(contents).hexdigest() != manifest.files.get(SAMPLES):
        raise RunFolderError(f"{file} is not as the run wrote it.")
    heading = manifest.heading
    samples, _ = read_samples(contents, min(_MOST, len(heading.cells()) * manifest.n))
    if set(samples["defense"]) != set(heading.substitutes):
        raise RunFolderError(f"{file} does not hold the defenses that its run.json names.")
    return Records(manifest, heading, samples)


def check_own_word(manifest: Manifest) -> None:
    """Refuse a run whose `run.json` was changed since, or whose heading and settings differ.

    What `advbench verify` finds without looking at any model is no table's ground either.

    Raises:
        RunFolderError: such a run.
    """
    advice = f"'advbench verify {manifest.path}' says more, where examples were kept."
    if not manifest.hash_holds:
        raise RunFolderError(f"{manifest.where}: not the settings that the run was hashed with. {advice}")
    if manifest.seal is not None and digest_of(manifest.values) != manifest.seal.entries:
        raise RunFolderError(f"{manifest.where}: not what it was when the run was sealed. {advice}")
    if name := misnamed(manifest):
        raise RunFolderError(f"{manifest.where}: its heading and its settings name another {name}. {advice}")


def misnamed(manifest: Manifest) -> str:
    """What a table is said to be about and the settings, which the run was hashed with, do not say.

    Raises:
        RunFolderError: entries that no run has written.
    """
    settings, heading = manifest.group("settings", _Named), manifest.heading
    judging = None if heading.judging is None else (heading.judging.rule, heading.judging.draws)
    by_majority = settings.judge == MAJORITY
    pairs: dict[str, tuple[object, object]] = {
        "model": (heading.model, settings.model),
        "data set": (heading.dataset, settings.dataset),
        "norm": (heading.norm, settings.norm),
        "radius": (heading.eps, settings.eps),
        "attack": (heading.attacks, tuple(settings.attacks)),
        "gradient-free attack": (heading.gradient_free, "".join(settings.gradient_free)),
        "label-only attack": (heading.label_only, "".join(settings.label_only)),
        "rung": (heading.rungs, tuple(rung for rung in ASKABLE if rung in settings.rungs)),
        "surrogate": ("" if heading.surrogate is None else heading.surrogate.name, _name(settings.surrogate)),
        "source": (heading.source, _name(settings.source or settings.surrogate)),
        "judge": (judging, None if by_majority else (settings.judge, settings.judge_draws)),
    }
    return next((name for name, (claim, known) in pairs.items() if claim != known), "")


def _name(stand_in: StandIn | None) -> str:
    return "" if stand_in is None else stand_in.name
