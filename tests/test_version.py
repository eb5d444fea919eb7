"""The version is one, wherever it is said."""

import re
import tomllib
from pathlib import Path

import pytest

import advbench
from advbench import version
from advbench.cli import main
from advbench.version import VERSION


def test_the_package_and_the_command_agree_and_the_project_takes_it_from_there(
    capsys: pytest.CaptureFixture[str],
) -> None:
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())
    module, _, name = project["tool"]["setuptools"]["dynamic"]["version"]["attr"].rpartition(".")
    assert (module, getattr(version, name)) == (version.__name__, VERSION)
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"advbench {VERSION}\n"
    assert advbench.__version__ == VERSION
    assert re.fullmatch(r"\d+\.\d+\.\d+", VERSION)
