"""`advbench attack --eps a,b,c`: accuracy against the radius, as a sweep that carries what is known along."""

import hashlib
import json
from typing import Any

from advbench.cli import sweep_session
from advbench.cli.assemble import listed
from advbench.cli.sweep_file import AXES, Entry, Given, Grid
from advbench.errors import SpecError
from advbench.jobs.settings.run import RunSettings, values_of
from advbench.jobs.settings.sweep import SweepSettings
from advbench.threat.threat import Threat

_NAME = "curve"


def run(settings: RunSettings) -> None:
    """Attack at every radius, the smallest first.

    Raises:
        InputError: radii that are none, one that is there twice, or whatever else is wrong.
        RunError: some cells have failed; the others stand in the table.
    """
    if settings.fail_on:
        raise SpecError("--fail-on judges one radius; give a single --eps.")
    if settings.min_robust is not None:
        raise SpecError("--min-robust judges one radius; give a single --eps.")
    radii = listed(settings.eps or "")
    radii.sort(key=lambda text: Threat.parse(settings.norm, text).eps)
    if len(set(radii)) < len(radii):
        raise SpecError(f"--eps names a radius twice: {settings.eps}.")
    sweep_session.run(
        SweepSettings(
            command=settings.command,
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
        ),
        grid_of(settings, radii),
    )


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
