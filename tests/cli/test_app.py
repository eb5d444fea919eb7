"""The commands that there are, their help at once, and the version."""

import subprocess
import sys

import pytest
import typer

from advbench.cli import main
from advbench.cli.app import app
from advbench.version import VERSION

COMMANDS = ("attack", "sweep", "init", "report", "view", "export", "verify", "finetune", "list", "doctor")


def test_every_command_has_a_line_of_help_in_the_order_of_a_users_way(
    capsys: pytest.CaptureFixture[str],
) -> None:
    group = typer.main.get_command(app)
    assert tuple(group.commands) == COMMANDS  # type: ignore[attr-defined]  # it is a group
    assert main(["-h"]) == 0
    printed = capsys.readouterr().out
    for name in COMMANDS:
        assert f" {name} " in printed
    assert main([]) == 0
    assert capsys.readouterr().out == printed, "no word at all asks for help"


@pytest.mark.parametrize("words", [["--version"], ["--version", "attack"], ["--version", "no such word"]])
def test_the_version_is_told_whatever_follows(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 0
    assert capsys.readouterr() == (f"advbench {VERSION}\n", "")


@pytest.mark.parametrize(
    ("words", "said"), [(["atack"], "No such command 'atack'"), (["--verion"], "No such option: --verion")]
)
def test_a_word_that_is_no_command_is_misuse(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("advbench: error: ")
    assert said in err


def test_no_help_needs_torch() -> None:
    code = (
        "import sys; from advbench.cli import main; "
        f"codes = [main([name, '--help']) for name in {COMMANDS}]; "
        "assert set(codes) == {0} and 'torch' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
