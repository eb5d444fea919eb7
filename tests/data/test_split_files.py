"""Files of a split are found under the names that repositories of data sets give them."""

import re
from pathlib import Path

import pytest

from advbench.data.split_files import files_of_split
from advbench.errors import DatasetError


def made(root: Path, names: list[str]) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        (["a.tar", "b.tar", "notes.txt"], ["a.tar", "b.tar"]),
        (["test-0.tar", "test-1.tar", "train-0.tar"], ["test-0.tar", "test-1.tar"]),
        (["data/test-0.tar", "data/train-0.tar"], ["data/test-0.tar"]),
        (["test/1.tar", "test/0.TAR", "train/0.tar"], ["test/0.TAR", "test/1.tar"]),
        (["data/test/0.tar", "data/train/0.tar"], ["data/test/0.tar"]),
        (["imagenet1k-test-00.tar", "imagenet1k-validation-00.tar"], ["imagenet1k-test-00.tar"]),
        (["mnist/test-0.tar", "mnist/train-0.tar", "README.md"], ["mnist/test-0.tar"]),
        (["mnist/test/0.tar", ".git/x"], ["mnist/test/0.tar"]),
        (["x/test-00000-of-00001.tar"], ["x/test-00000-of-00001.tar"]),
        (["data-00000-of-00001.arrow", "cache-0123.arrow"], ["data-00000-of-00001.arrow"]),
    ],
)
def test_files_of_a_split_are_found_by_their_names(
    names: list[str], chosen: list[str], tmp_path: Path
) -> None:
    files = files_of_split(made(tmp_path, names), "test", (".tar", ".arrow"))
    assert [str(path.relative_to(tmp_path)) for path in files] == chosen


def test_one_file_is_itself_whatever_its_name(tmp_path: Path) -> None:
    path = made(tmp_path, ["train.bin"]) / "train.bin"
    assert files_of_split(path, "test", (".tar",)) == [path]


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        ([], "there is no file in it whose name ends in .tar or .gz."),
        (["train-0.tar", "val-0.tar"], "there is no split 'test', only train, val."),
        (["train/0.tar", "val/0.tar", "other/0.tar"], "there is no split 'test', only train, val."),
        (["test-00001-of-00003.tar"], "1 of 3 files of the split 'test' are there; fetch the others."),
        (["cola/test-0.tar", "mnli/test-0.tar"], "it holds the folders cola, mnli; give one of them."),
    ],
)
def test_a_split_that_is_not_there_or_unclear_is_told(
    names: list[str], sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(DatasetError, match=re.escape(sentence)):
        files_of_split(made(tmp_path, names), "test", (".tar", ".gz"))
