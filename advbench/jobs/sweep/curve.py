"""Accuracy against the radius, `--eps a,b,c`: a sweep that carries what is known along."""

import hashlib
import json
from typing import Any

from advbench.errors import SpecError
from advbench.jobs.build_attacks import listed
from advbench.jobs.settings.in_files import values_of
from advbench.jobs.settings.run import RunSettings
from advbench.jobs.settings.sweep import SweepSettings
from advbench.jobs.sweep.file import AXES, Entry, Given, Grid
from advbench.threat.threat import Threat

_NAME = "curve"


def sweep_of_curve(settings: RunSettings) -> SweepSettings:
    """What a curve's sweep is told beside its grid."""
    return SweepSettings(
        command=settings.command,
        settings_file=settings.settings_file,
        out=settings.out,
        overwrite=settings.overwrite,
        formats=settings.formats,
        columns=settings.columns,
        sort=settings.sort,
        percent=settings.percent,
        digits=settings.digits,
        json=settings.json,
        quiet=settings.quiet,
        debug=settings.debug,
    )


def grid_of_curve(settings: RunSettings) -> Grid:
    """The grid of the radii that `eps` names, the smallest first.

    Raises:
        InputError: radii that are none, one that is there twice, or settings that judge one radius.
    """
    if settings.fail_on:
        raise SpecError("--fail-on judges one radius; give a single --eps.")
    if settings.min_robust is not None:
        raise SpecError("--min-robust judges one radius; give a single --eps.")
    radii = listed(settings.eps or "")
    radii.sort(key=lambda text: Threat.parse(settings.norm, text).eps)
    if len(set(radii)) < len(radii):
        raise SpecError(f"--eps names a radius twice: {settings.eps}.")
    return grid_of(settings, radii)


def grid_of(settings: RunSettings, radii: list[str]) -> Grid:
    """The grid of one model, every defense and every attack at several radii."""
    values = values_of(settings)
    values.pop("eps", None)
    norm = values.pop("norm")
    digest = hashlib.sha256(json.dumps([values, norm, radii], sort_keys=True).encode()).hexdigest()
    axes = {"threats": [_entry({"norm": norm, "eps": eps}) for eps in radii]}
    for axis, key in AXES.items():
        if axis in ("defenses", "attacks") and key in values:
            axes[axis] = [_entry({key: text.strip()}) for text in values.pop(key)]
    return Grid(
        name=_NAME,
        axes=axes,
        defaults=_entry(values),
        is_curve=True,
        file=None,
        digest=digest,
    )


def _entry(values: dict[str, Any]) -> Entry:
    return Entry({key: Given(value, 1) for key, value in values.items()})
