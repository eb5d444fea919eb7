"""From a data set's name to its images: a missing or misspelt one says what was expected where."""

from pathlib import Path

import pytest

from advbench.data.load import find_dataset
from advbench.errors import SpecError
from tests.data.places import place, refusal

EXPECTED = {
    "mnist": "MNIST/raw",
    "fashion-mnist": "FashionMNIST/raw",
    "cifar10": "cifar-10-batches-py",
    "cifar100": "cifar-100-python",
    "svhn": "test_32x32.mat",
    "imagenet": "val",
    "imagefolder": "class",
    "npz": ".npz",
}


@pytest.mark.parametrize("name", EXPECTED)
@pytest.mark.parametrize("exists", [False, True])
def test_a_missing_data_set_names_the_folder_that_was_expected(
    name: str, exists: bool, tmp_path: Path
) -> None:
    root = tmp_path / "r"
    if exists:
        root.mkdir()
    message = refusal(name, place(root))
    assert str(root) in message
    assert EXPECTED[name] in message.replace(str(root), "")
    assert "download=True" not in message, "the command line calls it --download"


def test_a_missing_npz_file_is_not_taken_for_a_folder(tmp_path: Path) -> None:
    message = refusal("npz", place(tmp_path / "mine.npz"))
    assert "mine.npz" in message
    assert "mine.npz/" not in message


def test_a_misspelt_data_set_suggests_the_nearest() -> None:
    with pytest.raises(SpecError, match="'mnist'"):
        find_dataset("minst")
