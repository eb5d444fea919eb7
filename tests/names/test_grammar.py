"""The grammar of the command line: what reads, what is refused, and that nothing else can happen."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advbench.errors import SpecError
from advbench.names.conversion import convert
from advbench.names.grammar import Spec, parse_chain, parse_number, parse_spec
from advbench.names.registry import Entry, build, find

names = st.from_regex(r"[a-z][a-z0-9_.-]{0,8}(:[a-z_]{1,5})?", fullmatch=True)
keys = st.from_regex(r"[a-z][a-z_]{0,6}", fullmatch=True)
values = st.from_regex(r"[a-zA-Z0-9./-]{1,8}", fullmatch=True)
places = st.none() | st.from_regex(r"[a-z][a-z0-9.]{0,9}", fullmatch=True)
specs = st.builds(Spec, names, st.dictionaries(keys, values, max_size=3), places)


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("round", Spec("round")),
        (" round ", Spec("round")),
        ("bit-depth:bits=3", Spec("bit-depth", {"bits": "3"})),
        ("pgd:steps=5,step-size=1/255", Spec("pgd", {"steps": "5", "step_size": "1/255"})),
        ("round@layer2", Spec("round", {}, "layer2")),
        ("round:step=0.5@layer1.0.conv1", Spec("round", {"step": "0.5"}, "layer1.0.conv1")),
        ("package.module:factory", Spec("package.module:factory")),
        ("a/file.py:make:width=3", Spec("a/file.py:make", {"width": "3"})),
    ],
)
def test_a_spec_reads_as_its_name_parameters_and_place(text: str, spec: Spec) -> None:
    assert parse_spec(text) == spec


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no name"),
        ("   ", "has no name"),
        ("@layer2", "has no name"),
        (":bits=3", "has no name"),
        ("round:", "nothing after ':'"),
        ("round@", "no place after '@'"),
        ("round@ ", "no place after '@'"),
        ("round:step=", "key=value"),
        ("round:=3", "key=value"),
        ("round:step=1,", "key=value"),
        ("round:step=1,place", "got 'place'"),
        ("round:step=1,step=2", "step twice"),
        ("round:step-size=1,step_size=2", "step_size twice"),
    ],
)
def test_a_spec_that_cannot_be_read_is_refused(text: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        parse_spec(text)


@pytest.mark.parametrize(
    ("text", "places_of"),
    [
        ("round", [("round", None)]),
        ("bit-depth:bits=4+round@layer2", [("bit-depth", None), ("round", "layer2")]),
        ("round@logits + round@input", [("round", "logits"), ("round", "input")]),
    ],
)
def test_a_chain_gives_each_element_its_own_place(text: str, places_of: list[tuple[str, str | None]]) -> None:
    assert [(each.name, each.place) for each in parse_chain(text)] == places_of


@pytest.mark.parametrize("text", ["", "+", "round+", "+round", "round++round", "round+ +round"])
def test_an_empty_element_of_a_chain_is_refused(text: str) -> None:
    with pytest.raises(SpecError, match="empty element"):
        parse_chain(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [("0.03", 0.03), ("8/255", 8 / 255), (" 1 / 4 ", 0.25), ("1e-3", 0.001), ("-1", -1.0), (".5", 0.5)],
)
def test_a_number_reads_as_a_decimal_or_a_fraction(text: str, value: float) -> None:
    assert parse_number(text, "eps") == value


@pytest.mark.parametrize(
    "text", ["", "abc", "1/0", "0/0", "nan", "inf", "-inf", "1e999", "1/2/3", "/", "8/", "1,5"]
)
def test_what_is_not_a_finite_number_is_refused(text: str) -> None:
    with pytest.raises(SpecError, match=r"eps must be a number like 0\.03 or 8/255, got"):
        parse_number(text, "eps")


@pytest.mark.parametrize(
    ("text", "annotation", "value"),
    [
        ("3", int, 3),
        ("0.5", float, 0.5),
        ("8/255", float | None, 8 / 255),
        ("yes", bool, True),
        ("False", bool, False),
        ("margin", Literal["ce", "margin"], "margin"),
        ("3", int | Literal["runner-up"], 3),
        ("runner-up", int | Literal["runner-up"] | None, "runner-up"),
        ("word", str, "word"),
        ("2.5", int | float | str, 2.5),
    ],
)
def test_text_becomes_what_the_annotation_says(text: str, annotation: Any, value: object) -> None:
    converted = convert(text, annotation, "it")
    assert converted == value
    assert type(converted) is type(value)


@pytest.mark.parametrize(
    ("text", "annotation", "message"),
    [
        ("1.5", int, "it must be a whole number, got '1.5'"),
        ("abc", float, "it must be a number"),
        ("maybe", bool, "it must be true or false, got 'maybe'"),
        ("hinge", Literal["ce", "margin"], "it must be one of ce, margin, got 'hinge'"),
        ("x", int | Literal["runner-up"], "it must be a whole number or one of runner-up, got 'x'"),
    ],
)
def test_text_that_does_not_fit_its_annotation_is_refused(text: str, annotation: Any, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        convert(text, annotation, "it")


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


@given(specs)
def test_a_printed_spec_reads_back_as_itself(spec: Spec) -> None:
    assert parse_spec(str(spec)) == spec


@given(st.lists(specs, min_size=1, max_size=4))
def test_a_printed_chain_reads_back_as_itself(chain: list[Spec]) -> None:
    assert parse_chain("+".join(map(str, chain))) == tuple(chain)


def attempt(read: Callable[[], Any]) -> tuple[Any, str | None]:
    """What a reader returns, and its message where it refuses; any other error escapes."""
    try:
        return read(), None
    except SpecError as error:
        return None, str(error)


@given(st.text() | st.text(alphabet="a1:=,@+-/. "))
def test_any_text_reads_or_is_refused_in_one_line(text: str) -> None:
    chain, refusal = attempt(lambda: parse_chain(text))
    if refusal is None:
        assert all(each.name and each.place != "" and all(each.parameters.values()) for each in chain)
    else:
        assert len(refusal.splitlines()) == 1


@given(st.text() | st.text(alphabet="0123456789e./-+ _naif"))
def test_any_text_is_a_finite_number_or_is_refused(text: str) -> None:
    value, refusal = attempt(lambda: parse_number(text, "eps"))
    assert repr(text) in refusal if refusal else math.isfinite(value)


@given(st.text(), st.sampled_from([int, float, bool, str, Literal["ce"], int | Literal["a"] | None]))
def test_any_text_converts_or_is_refused(text: str, annotation: Any) -> None:
    value, refusal = attempt(lambda: convert(text, annotation, "it"))
    assert refusal.startswith("it must be ") if refusal else isinstance(value, (int, float, bool, str))
