"""A text becomes the type that a factory declares, or is refused in words."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st

from advbench.errors import SpecError
from advbench.names.conversion import convert


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


def attempt(read: Callable[[], Any]) -> tuple[Any, str | None]:
    """What a reader returns, and its message where it refuses; any other error escapes."""
    try:
        return read(), None
    except SpecError as error:
        return None, str(error)


@given(st.text(), st.sampled_from([int, float, bool, str, Literal["ce"], int | Literal["a"] | None]))
def test_any_text_converts_or_is_refused(text: str, annotation: Any) -> None:
    value, refusal = attempt(lambda: convert(text, annotation, "it"))
    assert refusal.startswith("it must be ") if refusal else isinstance(value, (int, float, bool, str))


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


@pytest.mark.parametrize("annotation", [int, int | None, Any])
def test_a_number_that_no_tensor_can_hold_is_refused(annotation: Any) -> None:
    assert convert(str(2**63 - 1), annotation, "it") == 2**63 - 1
    for text in (str(2**63), str(-(2**63)), "9" * 30):
        with pytest.raises(SpecError, match=r"it must (lie between -2\^63 and 2\^63|be a whole number)"):
            convert(text, annotation, "it")
