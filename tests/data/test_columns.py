"""Columns are found by usual names or by the user's word, and labels are numbers or names."""

import re
from typing import Any

import pytest

from advbench.data.columns import LABELS, PICTURES, chosen_column, labels_of
from advbench.errors import DatasetError


@pytest.mark.parametrize(
    ("names", "wanted", "chosen"),
    [
        (["image", "label"], None, "image"),
        (["n", " File_Name ", "label"], None, " File_Name "),
        (["image", "path", "label"], "path", "path"),
        (["anything", "label"], "anything", "anything"),
    ],
)
def test_a_column_is_the_one_that_is_named_or_that_has_a_usual_name(
    names: list[str], wanted: str | None, chosen: str
) -> None:
    assert chosen_column(names, wanted, PICTURES, "--image-column") == chosen


@pytest.mark.parametrize(
    ("names", "wanted", "sentence"),
    [
        (["a", "b"], None, "the columns are a, b; name the right one with --label-column."),
        ([], None, "the columns are none; name the right one with --label-column."),
        (["y", "class"], None, "columns y, class could be meant; name the right one with --label-column."),
        (["fine_label"], "fine-label", "there is no column 'fine-label'. Did you mean 'fine_label'?"),
    ],
)
def test_a_column_that_is_unclear_is_asked_for(names: list[str], wanted: str | None, sentence: str) -> None:
    with pytest.raises(DatasetError, match=re.escape(sentence)):
        chosen_column(names, wanted, LABELS, "--label-column")


@pytest.mark.parametrize(
    ("values", "labels", "classes"),
    [
        ([3, 0, 3], [3, 0, 3], []),
        (["3", "+0", "10"], [3, 0, 10], []),
        (["dog", "cat", "dog"], [1, 0, 1], ["cat", "dog"]),
        (["1", "cat"], [0, 1], ["1", "cat"]),
        (["01", "2"], [1, 2], []),
        ([" 0", "10 ", " 2"], [0, 10, 2], []),
        ([" dog", "cat "], [1, 0], ["cat", "dog"]),
    ],
)
def test_labels_are_numbers_as_they_are_or_names_in_their_order(
    values: list[Any], labels: list[int], classes: list[str]
) -> None:
    numbers, names = labels_of(values, "column 'y'")
    assert (numbers.tolist(), names) == (labels, classes)


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ([1, -1], "column 'y' has -1 in row 2, which is the number of no class."),
        (["5000000"], "column 'y' has 5000000 in row 1, which is the number of no class."),
        (["cat", ""], "column 'y' has nothing in row 2; expected a whole number or a name."),
        ([None], "column 'y' has nothing in row 1; expected a whole number or a name."),
        (["0.0", "11.0"], "column 'y' has '0.0'; expected whole numbers without a point, or names."),
        ([0.5], "column 'y' has 0.5 in row 1; expected a whole number or a name."),
        ([[1]], "column 'y' has [1] in row 1; expected a whole number or a name."),
    ],
)
def test_what_is_no_label_is_told_with_its_row(values: list[Any], sentence: str) -> None:
    with pytest.raises(DatasetError, match=re.escape(sentence)):
        labels_of(values, "column 'y'")


def test_names_that_other_splits_have_count_too() -> None:
    labels, classes = labels_of(["bee", "cat"], "column 'y'", ["ant", "bee", "cat", ""])
    assert (labels.tolist(), classes) == ([1, 2], ["ant", "bee", "cat"])
