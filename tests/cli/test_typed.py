"""The fields of a settings class are a command's options, and what is typed becomes its values."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest
import typer
from typer.testing import CliRunner

from advbench.cli.typed import command
from advbench.jobs.settings.option import option


def doubled(text: str) -> str:
    """Read a text."""
    return text * 2


@dataclass(frozen=True, kw_only=True)
class Cooking:
    """Settings of every kind."""

    dish: tuple[str, ...] = option(help="What is cooked.", argument=True)
    guests: int = option(2, help="How many eat [at most].", least=1, short="-g")
    mood: Literal["good", "bad"] = option("good", help="Of the cook.", panel="Kitchen")
    salt: bool = option(True, word="--salt/--no-salt", help="Whether there is salt.")
    hot: bool = option(False, help="Whether it is hot.")
    tools: tuple[Path, ...] = option((), word="--tool", help="What is used.", shown="hands")
    wish: str | None = option(None, help="A wish.", read=doubled)
    share: float | None = option(None, help="A share.")
    command: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Plain:
    """Settings that keep no words."""

    count: int = option(3, help="A number.", least=0)


def run(settings_class: Any, *words: str, completions: Any = None) -> tuple[int, Any, str]:
    """The exit code, the settings that a command is given, and what it prints."""
    caught: list[Any] = []

    def act(settings: Any) -> None:
        """Cook a dish."""
        caught.append(settings)

    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(command(settings_class, act, completions or {}))
    env = {"COLUMNS": "200", "TERMINAL_WIDTH": "200", "NO_COLOR": "1"}
    done = CliRunner().invoke(app, list(words), obj=words, env=env)
    return done.exit_code, caught[0] if caught else None, done.output


@pytest.mark.parametrize(
    ("words", "settings"),
    [
        ("soup", Cooking(dish=("soup",))),
        ("soup rice -g 5", Cooking(dish=("soup", "rice"), guests=5)),
        ("soup --guests 1 --mood bad", Cooking(dish=("soup",), guests=1, mood="bad")),
        ("soup --no-salt --hot", Cooking(dish=("soup",), salt=False, hot=True)),
        ("soup --tool a --tool b/c", Cooking(dish=("soup",), tools=(Path("a"), Path("b/c")))),
        ("soup --wish ab --share 0.5", Cooking(dish=("soup",), wish="abab", share=0.5)),
    ],
)
def test_what_is_typed_becomes_the_values(words: str, settings: Cooking) -> None:
    code, found, printed = run(Cooking, *words.split())
    assert code == 0, printed
    assert found.command == ("advbench", *words.split())
    assert {**vars(found), "command": ()} == vars(settings)


def test_words_are_kept_only_where_there_is_a_field_for_them() -> None:
    assert run(Plain, "--count", "7")[1] == Plain(count=7)
    assert run(Plain)[1] == Plain()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("", "dish"),
        ("soup --guests 0", "--guests"),
        ("soup --guests many", "--guests"),
        ("soup --mood ugly", "--mood"),
        ("soup --salty", "--salty"),
    ],
)
def test_what_fits_no_option_is_misuse(words: str, said: str) -> None:
    code, found, printed = run(Cooking, *words.split())
    assert (code, found) == (2, None)
    assert said in printed.lower()


def test_help_has_every_option_with_its_default_and_its_heading() -> None:
    code, _, printed = run(Cooking, "--help")
    assert code == 0
    for said in ("Cook a dish.", "How many eat [at most].", "Kitchen", "hands", "--no-salt", "-g"):
        assert said in printed
    assert "context" not in printed


def test_the_shell_completes_the_fields_that_it_can() -> None:
    app = typer.Typer()
    app.command()(command(Cooking, print, {"wish": lambda incomplete: [f"{incomplete}ish"]}))
    cook = typer.main.get_command(app)
    parameters = {parameter.name: parameter for parameter in cook.params}
    context = typer.Context(cook)
    assert [each.value for each in parameters["wish"].shell_complete(context, "f")] == ["fish"]
    assert [each.value for each in parameters["mood"].shell_complete(context, "b")] == ["bad"]
