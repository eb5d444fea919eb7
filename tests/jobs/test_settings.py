"""The settings classes: what the commands make of them, and what a run keeps of them.

`python -m tests.jobs.test_settings` writes the golden files anew.
"""

import json
from pathlib import Path
from typing import Any

import pytest
import typer

from advbench import cli
from advbench.cli.app import app
from advbench.errors import SpecError
from advbench.jobs.settings.option import made
from advbench.jobs.settings.run import RunSettings
from advbench.jobs.settings.train import TrainSettings
from advbench.jobs.sweep.curve import grid_of

GOLDEN = Path(__file__).parent / "golden"
# Options that have been added since must leave these as they are where nobody sets them.
KEPT = "attack --first 4 --steps 2 --defense round --bpda --seed 3 --no-fast --quiet".split()  # noqa: SIM905


def commands() -> dict[str, Any]:
    """Every command's options as the command line has them, in the order of the help."""
    return {
        name: [_told(each) for each in command.params if not _is_hidden(each)]
        for name, command in _commands().items()
    }


def _commands() -> dict[str, Any]:
    found: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]  # a group
    return found


def _is_hidden(parameter: Any) -> bool:
    """Whether it takes back what a settings file says, which the help does not list."""
    return bool(getattr(parameter, "hidden", False))


def _told(parameter: Any) -> dict[str, Any]:
    default = getattr(parameter, "show_default", None)
    return {
        "words": [*parameter.opts, *parameter.secondary_opts],
        "help": getattr(parameter, "help", None),
        "panel": getattr(parameter, "rich_help_panel", None),
        "default": default if isinstance(default, str) else repr(parameter.default),
        "required": parameter.required,
        "multiple": parameter.multiple or parameter.nargs == -1,
    }


def kept_settings(out: Path) -> dict[str, Any]:
    """What a run writes down of what its numbers depend on, as far as it is part of the run's hash."""
    assert cli.main([*KEPT, "--out", str(out)]) == 0
    settings = json.loads((out / "run.json").read_text())["settings"]
    return {name: value for name, value in settings.items() if value is not None}


def test_every_command_has_the_options_that_it_had() -> None:
    assert commands() == json.loads((GOLDEN / "commands.json").read_text())


def test_a_run_writes_down_what_it_wrote_down_before(tmp_path: Path) -> None:
    """A run that was begun by an earlier version goes on only where these are the same."""
    assert kept_settings(tmp_path / "run") == json.loads((GOLDEN / "kept-settings.json").read_text())


def test_square_brackets_of_a_help_text_are_not_taken_for_markup(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "240")
    monkeypatch.setenv("TERMINAL_WIDTH", "240")
    for name, text in (("attack", "[@place]"), ("sweep", "[defaults]")):
        cli.main([name, "--help"])
        assert text in capsys.readouterr().out


def test_a_curve_is_told_what_was_denied() -> None:
    settings = RunSettings(fast=False, random_start=False, compiled=False, eps="0.1,0.2")
    given = grid_of(settings, ["0.1", "0.2"]).defaults.given
    assert (given["fast"].value, given["random_start"].value) == (False, False)
    assert "compile" not in given
    assert "seed" not in given


def test_settings_that_do_not_fit_each_other_are_refused() -> None:
    with pytest.raises(SpecError, match="--successful-only says which examples"):
        RunSettings(successful_only=True)
    with pytest.raises(SpecError, match="--batch-size must be auto or"):
        made(RunSettings, {"batch_size": "0"})
    with pytest.raises(SpecError, match="--checkpoint or --scratch, not both"):
        TrainSettings(scratch=True, checkpoint=Path("a.pt"))
    with pytest.raises(SpecError, match="--epochs must be at least 1"):
        TrainSettings(epochs=0)


if __name__ == "__main__":
    import tempfile

    GOLDEN.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        contents = {"commands": commands(), "kept-settings": kept_settings(Path(folder) / "run")}
    for name, content in contents.items():
        (GOLDEN / f"{name}.json").write_text(json.dumps(content, indent=1) + "\n")
