"""Parameters arrive as the values that they are written as, and what is written as none stays a text."""

import math
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advbench.defended.own_functions import defense_of
from advbench.errors import SpecError
from advbench.models.network import build_network
from advbench.names.grammar import Spec, parse_chain, parse_spec
from advbench.names.literals import literal
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
