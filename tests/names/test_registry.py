"""A name with parameters becomes an object: found in its table, and called with what it declares."""

import importlib.metadata
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest

from advbench.errors import SpecError
from advbench.names.grammar import parse_spec
from advbench.names.registry import Entry, arguments, build, find, parameters, takes_more


@dataclass(frozen=True, kw_only=True)
class Knob:
    """Something with parameters."""

    turns: int = 1
    size: float | None = None


TABLE = {"knob": Entry(factory="tests:Knob", summary="")}


def test_a_factory_gets_what_the_spec_says_and_what_is_offered_besides() -> None:
    offered = {"turns": 7, "size": 0.5, "colour": "red"}
    assert build(Knob, parse_spec("knob:turns=3"), "attack", **offered) == Knob(turns=3, size=0.5)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("knob:turn=3", "attack 'knob' has no parameter 'turn'. Did you mean 'turns'"),
        ("knob:turns=many", "knob: turns must be a whole number, got 'many'"),
        ("knob:size=big", "knob: size must be a number"),
    ],
)
def test_a_parameter_that_a_factory_does_not_take_is_refused(text: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        build(Knob, parse_spec(text), "attack")


def test_an_unknown_name_is_refused_with_the_nearest_one() -> None:
    assert find(TABLE, "knob", "attack") is TABLE["knob"]
    with pytest.raises(SpecError, match=r"there is no attack called 'knop'. Did you mean 'knob'\?"):
        find(TABLE, "knop", "attack")


def untyped(inverted=True, norm=None, width=64, k=()):  # type: ignore[no-untyped-def]  # as users write them
    return inverted, norm, width, k


def open_ended(name, **others):  # type: ignore[no-untyped-def]
    return name, others


def test_a_factory_without_types_gets_values() -> None:
    spec = parse_spec("net:inverted=False,norm=None,width=-16,k=[1,2]")
    assert build(untyped, spec, "model") == (False, None, -16, [1, 2])


def test_a_factory_of_any_parameters_gets_them_as_values() -> None:
    spec = parse_spec("net:name=resnet18,num_classes=10,flag=False,k=(1,2)")
    assert build(open_ended, spec, "model", other=3) == (
        "resnet18",
        {"num_classes": 10, "flag": False, "k": (1, 2)},
    )


@pytest.mark.parametrize("word", ["yes", "no", "on", "Off"])
def test_a_word_for_a_parameter_that_is_true_or_false_is_refused(word: str) -> None:
    with pytest.raises(SpecError, match=f"inverted must be True or False, got '{word}'"):
        build(untyped, parse_spec(f"net:inverted={word}"), "model")


def library(member: str) -> Callable[..., str]:
    """A factory of factories, as those of other libraries' attacks are."""
    return lambda steps=3: f"{member}, {steps} steps"


LIBRARY = {**TABLE, "lib:NAME": Entry(factory="tests.names.test_registry:library", summary="")}


def test_a_key_stands_for_every_name_of_a_library() -> None:
    entry = find(LIBRARY, "lib:Carlini", "attack")
    assert (entry.member, entry.factory) == ("Carlini", LIBRARY["lib:NAME"].factory)
    assert build(entry.load(), parse_spec("lib:Carlini:steps=5"), "attack") == "Carlini, 5 steps"
    with pytest.raises(SpecError, match="there is no attack called 'other:Carlini'"):
        find(LIBRARY, "other:Carlini", "attack")


def test_an_installed_package_adds_names_and_cannot_take_those_that_are_built_in(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    points = [
        importlib.metadata.EntryPoint(name, "mine.attacks:Mine", "advbench.attacks")
        for name in ("mine", "knob")
    ]
    asked: list[str] = []

    def entry_points(group: str) -> list[importlib.metadata.EntryPoint]:
        asked.append(group)
        return points

    monkeypatch.setattr("importlib.metadata.entry_points", entry_points)
    assert find(TABLE, "mine", "attack") == Entry(factory="mine.attacks:Mine", summary="from mine")
    assert find(TABLE, "knob", "attack") is TABLE["knob"]
    with pytest.raises(SpecError, match=r"no defense called 'minne'. Did you mean 'mine'\?"):
        find(TABLE, "minne", "defense")
    assert asked == ["advbench.attacks", "advbench.defenses"], "a built-in name asks for no packages"


class Plain:
    """A class whose parameters stand in its initialiser."""

    def __init__(self, width: "int", /, depth: int = 2, *rest: int, flag=True, **more: Any) -> None: ...  # type: ignore[no-untyped-def]


def test_parameters_are_those_that_can_be_named_with_their_types_and_defaults() -> None:
    known = parameters(Plain)
    assert {name: (each.annotation, each.default) for name, each in known.items()} == {
        "depth": (int, 2),
        "flag": (Any, True),
    }
    assert list(parameters(Knob)) == ["turns", "size"]
    assert takes_more(Plain)
    assert not takes_more(Knob)


def unresolved(width: "NoSuchType" = 3) -> object:  # type: ignore[name-defined]  # noqa: F821  # as under TYPE_CHECKING
    return width


@pytest.mark.parametrize("factory", [unresolved, partial(unresolved, width=1)])
def test_types_that_only_a_type_checker_knows_leave_values_as_they_are_written(
    factory: Callable[..., object],
) -> None:
    assert build(factory, parse_spec("net:width=[1,2]"), "model") == [1, 2]


def test_what_is_offered_and_unknown_is_left_out_and_what_is_given_wins() -> None:
    assert arguments(Knob, parse_spec("knob"), "model", colour="red") == {}
    assert arguments(Knob, parse_spec("knob:turns=2"), "model", turns=9) == {"turns": 2}
    with pytest.raises(SpecError, match=r"model 'f' has no parameter 'x'\. It takes none"):
        arguments(lambda: None, parse_spec("f:x=1"), "model")
