"""Values of options: what they mean, and what is none."""

import pytest

from advbench.errors import SpecError
from advbench.jobs.settings.parse import BatchSizeWord, joined_to, parse_batch_size, parse_judge, parse_share


@pytest.mark.parametrize(
    ("text", "value"), [("auto", "auto"), ("1", 1), ("128", 128), ("999999999", 999_999_999)]
)
def test_a_batch_size_is_auto_or_a_number_of_images(text: str, value: BatchSizeWord) -> None:
    assert parse_batch_size(text) == value


@pytest.mark.parametrize(
    "text", ["", "0", "-1", "+1", "01", "1.0", "1e3", "Auto", " 1", "1\n", "1_0", "١", "9" * 10]
)
def test_what_is_no_number_of_images_is_refused(text: str) -> None:
    with pytest.raises(SpecError) as caught:
        parse_batch_size(text)
    expected = f"--batch-size must be auto or a whole number of at least 1, got {text!r}."
    assert str(caught.value) == expected


@pytest.mark.parametrize(("text", "share"), [("0", 0.0), ("0.05", 0.05), ("5e-1", 0.5)])
def test_a_share_of_clean_images_is_at_most_a_half(text: str, share: float) -> None:
    assert parse_share(text) == share


@pytest.mark.parametrize("text", ["", "0.51", "-0.1", "nan", "inf", "5%"])
def test_what_is_no_share_is_refused(text: str) -> None:
    with pytest.raises(SpecError, match="--fpr must be a share of clean images"):
        parse_share(text)


def test_a_rule_is_read_without_the_blanks_about_it() -> None:
    assert parse_judge(" any:3 ") == "any:3"
    with pytest.raises(SpecError, match="--judge"):
        parse_judge("loudest")


def test_elements_join_every_chain_once() -> None:
    assert joined_to(("round", "jpeg+refuse:3"), ["refuse:3"]) == ("round+refuse:3", "jpeg+refuse:3")
    assert joined_to(("none",), ["a.py:b@head", "refuse:3"]) == ("a.py:b@head+refuse:3",)
    assert joined_to(("round",), []) == ("round",)
