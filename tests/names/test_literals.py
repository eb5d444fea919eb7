"""Parameters arrive as the values that they are written as, and what is written as none stays a text."""

import math
import time
from pathlib import Path
from typing import Any, Literal, Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advbench.defended.own_functions import defense_of
from advbench.errors import SpecError
from advbench.models.network import build_network
from advbench.names.conversion import convert
from advbench.names.grammar import Spec, parse_chain, parse_spec
from advbench.names.literals import literal
from advbench.names.registry import build
from advbench.names.user_code import load_object

VALUES: list[tuple[str, Any]] = [
    ("False", False),
    ("true", True),
    ("None", None),
    ("16", 16),
    ("-3", -3),
    ("0.5", 0.5),
    ("-1e-3", -0.001),
    ("8/255", 8 / 255),
    ("[1,2]", [1, 2]),
    ("(1, 2.5)", (1, 2.5)),
    ("[]", []),
    ("[-1, +2, 8/255]", [-1, 2, 8 / 255]),
    ("[[1], [2, [3]]]", [[1], [2, [3]]]),
    ("['a', \"b\", None, True]", ["a", "b", None, True]),
    ("{'a': [1], 'b': {'c': 2}}", {"a": [1], "b": {"c": 2}}),
    ("'3'", "3"),
    ('"a,b"', "a,b"),
]
TEXTS = [
    *("on", "yes", "off", "none", "null", "resnet18", "1e400", "inf", "nan", "1+2j", "8/0", "a.b/c", "0x10"),
    *("[a,b]", "[1,2", "[1]]", "(1", "{1,2}", "{1: 2}", "[1e400]", "[10**9]", "[f(1)]", "[__import__('os')]"),
    *("[1 for x in y]", "[...]", "[b'x']", "'a' 'b", "lambda: 1", "[True/1]", "[1/0]", "()()", "[*a]"),
    "9" * 5000,
    "[" * 500 + "]" * 500,
    "[" + "-" * 1000 + "1]",
    "[" + "1," * 5000 + "]",
]


@pytest.mark.parametrize(("text", "value"), VALUES)
def test_a_text_is_read_as_the_value_that_it_is_written_as(text: str, value: Any) -> None:
    found = literal(text)
    assert found == value
    assert type(found) is type(value)
    assert parse_spec(f"net:k={text},other=1").parameters == {"k": text, "other": "1"}


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
def test_a_text_that_is_written_as_no_value_stays_a_text(text: str) -> None:
    began = time.monotonic()
    assert literal(text) == text
    assert time.monotonic() - began < 1


@given(st.text() | st.text(alphabet="[](){}'\"1,-/.eE:x "))
def test_any_text_is_a_value_of_plain_types(text: str) -> None:
    value = literal(text)
    assert value is None or isinstance(value, (bool, int, float, str, list, tuple, dict))
    assert not isinstance(value, float) or math.isfinite(value)


@pytest.mark.parametrize(
    ("text", "name", "parameters", "place"),
    [
        ("f.py:net:k=[1,2],w=3", "f.py:net", {"k": "[1,2]", "w": "3"}, None),
        ("f.py:q:k=(1,2)@layer1", "f.py:q", {"k": "(1,2)"}, "layer1"),
        ("f.py:q:k={'a': 1, 'b': 2}@layer1.0", "f.py:q", {"k": "{'a': 1, 'b': 2}"}, "layer1.0"),
        ("net:name='a+b@c:d=e,f',w=3", "net", {"name": "'a+b@c:d=e,f'", "w": "3"}, None),
        ("O'Neil/f.py:net:w=3", "O'Neil/f.py:net", {"w": "3"}, None),
        ("a[1]/f.py:net", "a[1]/f.py:net", {}, None),
        ("net:k=[1,b=2", "net", {"k": "[1", "b": "2"}, None),
        ("net:k=']',w=[')']", "net", {"k": "']'", "w": "[')']"}, None),
    ],
)
def test_what_separates_elsewhere_separates_nothing_in_a_value(
    text: str, name: str, parameters: dict[str, str], place: str | None
) -> None:
    spec = parse_spec(text)
    assert spec == Spec(name, parameters, place)
    assert parse_spec(str(spec)) == spec
    assert parse_chain(f"{text}+round") == (spec, Spec("round"))


@pytest.mark.parametrize(
    ("text", "annotation", "value"),
    [
        ("[1,2]", list[int], [1, 2]),
        ("(1,2)", list[int], [1, 2]),
        ("[1,2]", tuple[int, ...], (1, 2)),
        ("[1,2]", tuple[float, ...], (1.0, 2.0)),
        ("['a']", list[str], ["a"]),
        ("[1,'a']", list, [1, "a"]),
        ("None", list[int] | None, None),
        ("None", Optional[int], None),  # noqa: UP045  # as many factories write it
        ("3", Optional[int], 3),  # noqa: UP045
        ("None", str | None, None),
        ("[1]", str | list[int], [1]),
        ("3", int | list[int], 3),
        ("x", Literal["x", "y"] | None, "x"),
        ("None", bool | None, None),
        ("[1]", Any, [1]),
        ("[1]", object, [1]),
        ("3", str, "3"),
        ("'3'", str, "3"),
        ("2024", Path, "2024"),
        ("False", "unknown annotation", False),
    ],
)
def test_annotations_of_containers_and_of_none_are_kept(text: str, annotation: Any, value: Any) -> None:
    found = convert(text, annotation, "it")
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "annotation", "message"),
    [
        ("3", list[int], r"it must be a list like \[1,2\], got '3'"),
        ("['a']", list[int], "it: 'a' must be a whole number"),
        ("[1.5]", tuple[int, ...], "it: 1.5 must be a whole number"),
        ("x", int | list[int], r"it must be a whole number or a list like \[1,2\], got 'x'"),
    ],
)
def test_what_fits_no_container_is_refused(text: str, annotation: Any, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        convert(text, annotation, "it")


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


def test_networks_of_libraries_are_built_through_their_open_factories() -> None:
    network = build_network(parse_spec("torchvision.models:resnet18:num_classes=7,weights=None"), 10)
    assert network.get_submodule("fc").out_features == 7


MINE = """
from torch import nn

def net(inverted=True, norm=None, width=64):
    assert inverted is False and norm is None and isinstance(width, int)
    return nn.Sequential(nn.Flatten(), nn.Linear(width, 10))

def quant(x, dither=True):
    assert dither is False
    return (x * 7).round() / 7

class Quant:
    def __init__(self, dither=True, **others):
        assert dither is False and others == {"levels": [1, 2]}

    def __call__(self, x):
        return x

def fails():
    raise ValueError("no defense today")

def ends():
    raise SystemExit(3)
"""


def test_a_network_and_a_defense_of_the_users_get_values_and_these_are_recorded(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(MINE)
    received: dict[str, Any] = {}
    build_network(parse_spec(f"{tmp_path}/mine.py:net:inverted=False"), 10, received)
    assert received == {"inverted": False}
    spec = parse_spec(f"{tmp_path}/mine.py:quant:dither=False")
    defense: Any = defense_of(load_object(spec.name), spec)
    assert defense.settings["dither"] is False
    spec = parse_spec(f"{tmp_path}/mine.py:Quant:dither=False,levels=[1,2]")
    defense_of(load_object(spec.name), spec)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("fails", "failed: ValueError: no defense today (mine.py, line 20)"),
        ("ends", "failed: it ended the program (exit code 3); it is given no command line of its own"),
    ],
)
def test_a_defense_that_cannot_be_made_is_refused_with_its_line(
    name: str, expected: str, tmp_path: Path
) -> None:
    (tmp_path / "mine.py").write_text(MINE)
    spec = parse_spec(f"{tmp_path}/mine.py:{name}")
    with pytest.raises(SpecError) as caught:
        defense_of(load_object(spec.name), spec)
    assert expected in str(caught.value)
