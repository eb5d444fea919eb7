"""`advbench sweep` and `advbench init`: a grid of models, defenses, threats and attacks from a file."""

import json
import sys
from dataclasses import replace
from pathlib import Path

from advbench.cli.typed import command
from advbench.errors import InputError
from advbench.jobs.settings.init import InitSettings
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


def _init(settings: InitSettings) -> None:
    """Write a commented sweep for a model and data of your own, which runs as it stands.

    What is not given is asked for on a terminal; --yes takes the defaults.
    """
    from advbench.jobs.sweep.begin import write_sweep  # noqa: PLC0415  # imports torch; --help must not

    asks = not settings.yes and sys.stdin.isatty()
    written = write_sweep(_asked(settings) if asks else settings)
    sys.stdout.write(f"written: {written}\nnext: advbench sweep {written} --dry-run\n")


def _asked(settings: InitSettings) -> InitSettings:
    """The settings with what the user answers; an empty answer is the default."""
    import typer  # noqa: PLC0415  # as everywhere, when a command runs

    answers: dict[str, str] = {}
    for name, question in _QUESTIONS.items():
        if not getattr(settings, name):
            answers[name] = typer.prompt(question, default="", show_default=False).strip()
    paths = {name: Path(answers[name]) for name in ("checkpoint", "data_root") if answers.get(name)}
    texts = {name: answers[name] for name in ("model", "dataset") if answers.get(name)}
    chains = tuple(answers["defenses"].split()) if answers.get("defenses") else settings.defenses
    return replace(settings, **texts, **paths, defenses=chains)  # type: ignore[arg-type]  # by name


_QUESTIONS = {
    "model": "model, as NAME or file.py:factory (digits-cnn)",
    "checkpoint": "file of its weights (none)",
    "dataset": "data set, a name of 'advbench list datasets' (digits)",
    "data_root": "folder that holds it (data)",
    "defenses": "defenses, with blanks between (round bit-depth:bits=3)",
}

sweep = command(SweepSettings, _sweep)
init = command(InitSettings, _init)
