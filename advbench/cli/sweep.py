"""`advbench sweep`: a grid of models, defenses, threats and attacks from a file, and one table."""

import json
import sys

from advbench.cli.typed import command
from advbench.errors import InputError
from advbench.jobs.settings.sweep import SweepSettings


def _sweep(settings: SweepSettings) -> None:
    """Run every cell of a grid of models, threats, defenses and attacks, and write one table of all.

    Cells that are done are not done again, and one that fails does not stop the others. The exit code is 1
    if any has failed.
    """
    if settings.schema:
        from advbench.jobs.sweep.schema import schema  # noqa: PLC0415  # imports pandas

        sys.stdout.write(json.dumps(schema(), indent=2) + "\n")
        return
    if settings.file is None:
        raise InputError("name the sweep's file: advbench sweep FILE.toml.")
    from advbench.cli.runs import run_sweep  # noqa: PLC0415  # imports torch; --help must not

    run_sweep(settings)


sweep = command(SweepSettings, _sweep)
