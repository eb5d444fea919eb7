"""Settings as Python tells them: keywords of the fields' names, plain values, errors of their own."""

import inspect
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest

from advbench.errors import KeywordError, SpecError
from advbench.jobs.settings.keywords import said_in_keywords, settings_from_keywords, with_keywords
from advbench.jobs.settings.option import option


@dataclass(frozen=True, kw_only=True)
class Told:
    """Settings with an option of each sort."""

    paths: tuple[Path, ...] = option(help="Some.", argument=True)
    names: tuple[str, ...] = option((), word="--name", help="Names.")
    eps: str | None = option(None, help="The radius.")
    size: int = option(2, help="The size.", least=1, most=9)
    rate: float = option(0.5, help="The rate.")
    out: Path | None = option(None, help="The folder.")
    norm: Literal["linf", "l2"] = option("linf", help="The norm.")
    fast: bool = option(True, word="--fast/--no-fast", help="Be fast.")
    quiet: bool = option(False, help="Say nothing.")
    command: tuple[str, ...] = ()


def told(**given: Any) -> Told:
    return settings_from_keywords(Told, "act", {"paths": "a", **given})


@pytest.mark.parametrize(
    ("given", "field", "value", "words"),
    [
        ({"paths": ["a", Path("b")]}, "paths", (Path("a"), Path("b")), ["a", "b"]),
        ({"names": "x"}, "names", ("x",), ["a", "--name", "x"]),
        ({"names": ("x", "y")}, "names", ("x", "y"), ["a", "--name", "x", "--name", "y"]),
        ({"eps": 0.5}, "eps", "0.5", ["a", "--eps", "0.5"]),
        ({"eps": "8/255"}, "eps", "8/255", ["a", "--eps", "8/255"]),
        ({"eps": ["1/255", "inf"]}, "eps", "1/255,inf", ["a", "--eps", "1/255,inf"]),
        ({"eps": None}, "eps", None, ["a"]),
        ({"size": 9}, "size", 9, ["a", "--size", "9"]),
        ({"rate": 1}, "rate", 1.0, ["a", "--rate", "1.0"]),
        ({"out": "there"}, "out", Path("there"), ["a", "--out", "there"]),
        ({"out": Path("there")}, "out", Path("there"), ["a", "--out", "there"]),
        ({"norm": "l2"}, "norm", "l2", ["a", "--norm", "l2"]),
        ({"fast": False}, "fast", False, ["a", "--no-fast"]),
    ],
)
def test_a_keyword_is_the_field_and_the_command_does_the_same(
    given: dict[str, Any], field: str, value: Any, words: list[str]
) -> None:
    found = told(**given)
    assert getattr(found, field) == value
    assert type(getattr(found, field)) is type(value)
    assert found.command == ("advbench", "act", *words)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"size": 0}, "size: it must be a whole number from 1 to 9, got 0."),
        ({"size": True}, "size: it must be a whole number from 1 to 9, got True."),
        ({"rate": "0.5"}, "rate: it must be a number, got '0.5'."),
        ({"rate": True}, "rate: it must be"),
        ({"norm": "l3"}, "norm: it must be one of linf, l2, got 'l3'."),
        ({"fast": 1}, "fast: it must be true or false, got 1."),
        ({"out": ""}, "out needs a path, and is given none: ''."),
        ({"paths": ["a", ""]}, "paths needs a path, and is given none: ''."),
        ({"names": [3]}, "names: it must be a text, or a list of texts, got [3]."),
    ],
)
def test_a_value_that_does_not_fit_is_refused_by_its_keyword(given: dict[str, Any], said: str) -> None:
    with pytest.raises(SpecError) as caught:
        told(**given)
    assert str(caught.value).startswith(said)


@pytest.mark.parametrize(("name", "hint"), [("sise", "Did you mean 'size'?"), ("quiet", "")])
def test_a_keyword_that_there_is_not_is_refused_and_how_the_command_speaks_is_none(
    name: str, hint: str
) -> None:
    with pytest.raises(KeywordError) as caught:
        told(**{name: 1})
    assert str(caught.value).startswith(f"advbench.act() has no keyword {name!r}. {hint}")


def test_a_function_shows_its_keywords_and_their_help() -> None:
    @with_keywords(Told)
    def act(paths: object, **keywords: object) -> int:
        """Do it."""
        return len(keywords)

    parameters = inspect.signature(act).parameters
    assert list(parameters) == ["paths", "names", "eps", "size", "rate", "out", "norm", "fast"]
    assert parameters["size"].kind is inspect.Parameter.KEYWORD_ONLY
    assert (parameters["size"].default, parameters["eps"].default) == (2, None)
    assert inspect.signature(act).return_annotation is int
    assert (act.__doc__ or "").startswith("Do it.\n\nKeywords:\n    names: Names.\n")
    assert act("a", size=3) == 1


@pytest.mark.parametrize(
    ("said", "told_in_python"),
    [
        ("give --size or --no-fast", "give size= or fast=False"),
        ("--fast is not --faster", "fast=True is not --faster"),
        ("add --name NAME", "add names= NAME"),
        ("nothing -- here", "nothing -- here"),
    ],
)
def test_errors_name_keywords_where_they_named_options(said: str, told_in_python: str) -> None:
    with pytest.raises(SpecError) as caught, said_in_keywords(Told):
        raise SpecError(said)
    assert str(caught.value) == told_in_python
    with pytest.raises(KeyError, match="--size"), said_in_keywords(Told):
        raise KeyError("--size")
