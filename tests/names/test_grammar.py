"""The grammar of the command line: what reads, what is refused, and that nothing else can happen."""

import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advbench.errors import SpecError
from advbench.names.grammar import (
    Spec,
    as_detector,
    detector_place,
    has_detector,
    parse_chain,
    parse_number,
    parse_spec,
    reject_of,
    reject_word,
)

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
        (
            "purify:denoiser=a/file.py:net,steps=20@layer2",
            Spec("purify", {"denoiser": "a/file.py:net", "steps": "20"}, "layer2"),
        ),
        ("file.py:make:net=b.py:net", Spec("file.py:make", {"net": "b.py:net"})),
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


@pytest.mark.parametrize(
    ("text", "element", "place"),
    [
        ("d.py:score", "d.py:score@refuse", "input"),
        ("d.py:score@input", "d.py:score@refuse", "input"),
        ("d.py:score:k=3@layer1.0", "d.py:score:k=3@refuse:layer1.0", "layer1.0"),
        ("d.py:score@refuse:logits", "d.py:score@refuse:logits", "logits"),
    ],
)
def test_a_detector_is_an_element_of_a_chain(text: str, element: str, place: str) -> None:
    assert as_detector(text) == element
    assert detector_place(parse_spec(element)) == place
    assert has_detector(f"round+{element}")
    assert not has_detector("round@refused")


def test_detectors_that_cannot_be_read_are_refused() -> None:
    with pytest.raises(SpecError, match="a detector is no chain"):
        as_detector("d.py:a+d.py:b")
    with pytest.raises(SpecError, match="names no place after 'refuse:'"):
        detector_place(parse_spec("d.py:a@refuse:"))


def test_what_refuses_is_a_class_or_nan() -> None:
    assert [reject_of(text) for text in ("0", "10", "nan")] == [0, 10, None]
    assert reject_word("10") == "reject-class:reject=10@refuse:outputs"
    assert reject_word("nan") == "reject-nan@refuse:outputs"
    for text in ("-1", "1e3", "", "01", "\u0663"):
        with pytest.raises(SpecError, match="--reject-class must be the number of a class, or nan"):
            reject_of(text)
