"""A field of a settings class says what words, files and help make of it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest

from advbench.errors import SpecError
from advbench.jobs.settings.doctor import DoctorSettings
from advbench.jobs.settings.export import ExportSettings
from advbench.jobs.settings.init import InitSettings
from advbench.jobs.settings.option import Option, Setting, made, option, settings_of
from advbench.jobs.settings.report import ReportSettings
from advbench.jobs.settings.run import RunSettings
from advbench.jobs.settings.sweep import SweepSettings
from advbench.jobs.settings.train import TrainSettings
from advbench.jobs.settings.verify import VerifySettings

CLASSES = (
    RunSettings,
    TrainSettings,
    SweepSettings,
    DoctorSettings,
    ExportSettings,
    InitSettings,
    ReportSettings,
    VerifySettings,
)


@pytest.mark.parametrize("settings_class", CLASSES)
def test_every_option_says_what_it_is(settings_class: type) -> None:
    settings = settings_of(settings_class).values()
    assert all(setting.option.help.endswith(".") for setting in settings)
    words = [setting.word for setting in settings if not setting.option.argument]
    assert len(set(words)) == len(words)


def test_shared_options_are_copied_with_what_differs() -> None:
    shared = Option(help="One.", panel="A")
    assert option(1, like=shared, panel="B").metadata["option"] == Option(help="One.", panel="B")


def setting(kind: Any, default: Any = None, **said: Any) -> Setting:
    """A setting of a type, as a settings class would have it."""
    return Setting(name="some_name", type=kind, default=default, option=Option(help="One.", **said))


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("", ("--some-name", "", "some_name")),
        ("--other-word", ("--other-word", "", "other_word")),
        ("--fast/--no-fast", ("--fast", "--no-fast", "fast")),
    ],
)
def test_an_option_is_called_by_its_field_unless_it_says_otherwise(
    word: str, expected: tuple[str, str, str]
) -> None:
    found = setting(bool, word=word)
    assert (found.word, found.negation, found.key) == expected


FLAG, NUMBER, CHOICE = setting(bool), setting(int, least=2), setting(Literal["a", "b"])
TEXT, TEXTS, PATH = setting(str), setting(tuple[str, ...]), setting(Path)


@pytest.mark.parametrize(
    ("of", "kind", "value", "parsed"),
    [
        (FLAG, "flag", False, False),
        (NUMBER, "number", 2, 2),
        (CHOICE, "choice", "b", "b"),
        (TEXT, "text", "8/255", "8/255"),
        (TEXT, "text", 0.5, "0.5"),
        (TEXT, "text", [1, 0.5], "1,0.5"),
        (TEXT, "text", "", ""),
        (PATH, "text", "a.pt", "a.pt"),
        (TEXTS, "texts", ["a", "b"], ["a", "b"]),
        (TEXTS, "texts", "a", ["a"]),
        (TEXTS, "texts", [], []),
    ],
)
def test_a_value_of_a_file_is_read_by_its_kind(of: Setting, kind: str, value: Any, parsed: Any) -> None:
    assert of.kind == kind
    found = of.parse(value)
    assert (found, type(found)) == (parsed, type(parsed))


@pytest.mark.parametrize(
    ("of", "value", "said"),
    [
        (FLAG, 1, "it must be true or false, got 1."),
        (FLAG, "true", "it must be true or false, got 'true'."),
        (NUMBER, True, "it must be a whole number from 2 to 1,000,000,000, got True."),
        (NUMBER, 1, "it must be a whole number from 2 to 1,000,000,000, got 1."),
        (NUMBER, 2.0, "it must be a whole number from 2 to 1,000,000,000, got 2.0."),
        (setting(int), "3", "it must be a whole number of at most 1,000,000,000, got '3'."),
        (setting(int, most=7), 8, "it must be a whole number of at most 7, got 8."),
        (CHOICE, "c", "it must be one of a, b, got 'c'."),
        (CHOICE, ["a"], "it must be one of a, b, got ['a']."),
        (TEXT, True, "it must be a text, a number, or a list of numbers, got True."),
        (TEXT, [], "it must be a text, a number, or a list of numbers, got []."),
        (TEXT, ["a"], "it must be a text, a number, or a list of numbers, got ['a']."),
        (TEXTS, ["a", 3], "it must be a text, or a list of texts, got ['a', 3]."),
        (TEXTS, 3, "it must be a text, or a list of texts, got [3]."),
        (
            TEXT,
            {"a": "x" * 100},
            f"it must be a text, a number, or a list of numbers, got {{'a': '{'x' * 53}.",
        ),
    ],
)
def test_a_value_of_another_kind_is_refused_with_what_is_expected(of: Setting, value: Any, said: str) -> None:
    with pytest.raises(SpecError) as caught:
        of.parse(value)
    assert str(caught.value) == said


@pytest.mark.parametrize(
    ("of", "value", "words"),
    [
        (FLAG, True, ["--some-name"]),
        (FLAG, False, []),
        (setting(bool, word="--fast/--no-fast"), False, ["--no-fast"]),
        (NUMBER, 3, ["--some-name", "3"]),
        (TEXTS, ["a", "b"], ["--some-name", "a", "--some-name", "b"]),
        (TEXTS, [], []),
    ],
)
def test_words_say_what_a_value_says(of: Setting, value: Any, words: list[str]) -> None:
    assert of.words(value) == words


def test_fields_hold_what_they_are_of_and_not_what_a_file_can_hold() -> None:
    assert TEXTS.value(["a"]) == ("a",)
    assert PATH.value("a.pt") == Path("a.pt")
    assert TEXT.value("3") == "3"
    assert setting(int, read=int).value("3") == 3
    assert setting(int, read=int).value(4) == 4


@pytest.mark.parametrize("given", [1, 8, -(10**30)])
def test_a_number_out_of_its_bounds_is_no_value_wherever_it_comes_from(given: int) -> None:
    bounded = setting(int, least=2, most=7)
    assert [bounded.value(each) for each in (2, 7)] == [2, 7]
    with pytest.raises(SpecError, match=f"--some-name must be a whole number from 2 to 7, got {given}"):
        bounded.value(given)


@dataclass(frozen=True, kw_only=True)
class Told:
    """Settings with an option of each sort, and a field that is none."""

    paths: tuple[str, ...] = option((), help="Some.")
    size: int | None = option(None, help="One.", least=1)
    either: "int | Literal['auto']" = option("auto", help="One.", read=int)
    note: str = ""


def test_the_settings_of_a_class_are_its_options_with_none_left_out_of_their_types() -> None:
    known = settings_of(Told)
    assert list(known) == ["paths", "size", "either"]
    assert (known["size"].type, known["size"].kind, known["size"].default) == (int, "number", None)
    assert (known["either"].kind, known["either"].choices) == ("text", ())
    assert settings_of(Told) is known


def test_settings_are_made_of_plain_values_and_none_is_the_default() -> None:
    given = {"paths": ["a"], "size": None, "either": "3"}
    assert made(Told, given, note="x") == Told(paths=("a",), either=3, note="x")
    assert made(Told, {}) == Told()
