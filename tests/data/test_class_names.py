"""A file of names says which output stands for which class; one that does not is refused in a sentence."""

from pathlib import Path

import numpy as np
import pytest
import torch

from advbench.data.class_names import (
    ClassNames,
    named_outputs,
    read_class_index,
    read_class_names,
    relabelled,
)
from advbench.data.images import LabelledImages
from advbench.errors import DatasetError

NAMED = LabelledImages(
    [(torch.full((1, 2, 2), 0.1), 0), (torch.full((1, 2, 2), 0.2), 1)],
    np.asarray([0, 1]),
    ("cat", "dog"),
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("dog\ncat\n", [1, 0]),
        ("\ufeffdog\r\ncat\r\n\n", [1, 0]),
        ("3 cat\n0 dog", [3, 0]),
        ("cat\nsea lion\ndog", [0, 2]),
    ],
)
def test_labels_follow_a_file_of_names(text: str, expected: list[int], tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text(text)
    images = relabelled(NAMED, read_class_names(tmp_path / "names.txt"))
    assert images.labels.tolist() == expected
    assert [images[each][1] for each in range(2)] == expected
    assert [images.classes[each] for each in expected] == ["cat", "dog"]
    assert len(images.classes) == max(2, 1 + max(expected))


def test_labels_follow_imagenets_index(tmp_path: Path) -> None:
    (tmp_path / "index.json").write_text('{"0": ["n1", "cat"], "7": ["n2", "dog"], "3": ["n3", "crane"]}')
    assert relabelled(NAMED, read_class_index(tmp_path / "index.json")).labels.tolist() == [0, 7]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "line 1 is empty"),
        ("cat\n\ndog", "line 2 is empty"),
        ("1 cat\n1 dog", "index 1 is there twice"),
        ("9999999 cat", "larger than any model"),
        ("cat\nfox", "class 'dog' is not in the file"),
        ("bird\nfox", "class 'cat' and 1 more are not"),
        ("cat\ndog\ncat", "class 'cat' stands for outputs [0, 2]"),
    ],
)
def test_a_file_of_names_that_cannot_be_used_is_refused(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text(text)
    with pytest.raises(DatasetError) as caught:
        relabelled(NAMED, read_class_names(tmp_path / "names.txt"))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"0": []}', '{"a": ["x"]}', '{"0": 3}', '{"0": ["x", 3]}', "{" * 9999]
)
def test_an_index_of_another_form_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "index.json").write_text(text)
    with pytest.raises(DatasetError, match="expected"):
        read_class_index(tmp_path / "index.json")


def test_files_that_are_not_there_or_no_text_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="cannot be read"):
        read_class_names(tmp_path / "nowhere.txt")
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(DatasetError, match="no text in UTF-8"):
        read_class_names(tmp_path / "bytes")


def test_two_classes_for_one_output_and_classes_without_names_are_refused() -> None:
    with pytest.raises(DatasetError, match="both stand for output 0"):
        relabelled(NAMED, ClassNames((("cat", 0), ("dog", 0)), 1))
    with pytest.raises(DatasetError, match="have no names"):
        relabelled(LabelledImages(NAMED.images, NAMED.labels, ()), ClassNames((("cat", 0),), 1))


def test_a_file_that_is_too_large_is_refused_and_not_cut(tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text("cat\n" + "d" * (8 << 20))
    with pytest.raises(DatasetError, match="is larger than 8 MiB"):
        read_class_names(tmp_path / "names.txt")


def test_a_models_own_names_count_where_each_class_has_one() -> None:
    names = ClassNames((("Golden-Retriever", 2), ("cat", 0), ("crane", 1), ("crane", 3)), 4)
    assert named_outputs(["cat", "golden_retriever"], names) == ((("cat", 0), ("golden_retriever", 2)), 4)
    assert named_outputs(["cat", "wolf"], names) is None
    assert named_outputs(["cat", "crane"], names) is None
    assert named_outputs(["cat", "CAT"], names) is None
    assert named_outputs([], names) is None
