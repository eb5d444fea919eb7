"""torchvision's readers are handed regular files alone; an MNIST of two layouts that differ is refused."""

import os
from pathlib import Path

import pytest
import torch

from tests.data.places import LABELS, PIXELS, place, read, refusal
from tests.data.test_sources import write_mnist

PLACES = {
    "mnist": "MNIST/raw/t10k-labels-idx1-ubyte",
    "fashion-mnist": "FashionMNIST/raw/anything",
    "cifar10": "cifar-10-batches-py/test_batch",
    "cifar100": "cifar-100-python/meta",
    "svhn": "test_32x32.mat",
}


@pytest.mark.parametrize("name", PLACES)
def test_a_pipe_among_the_files_is_refused_by_its_name_and_never_waited_for(
    name: str, tmp_path: Path
) -> None:
    pipe = tmp_path / PLACES[name]
    pipe.parent.mkdir(parents=True, exist_ok=True)
    os.mkfifo(pipe)
    assert f"{pipe} cannot be read: it is a pipe, not a file" in refusal(name, place(tmp_path))


def test_a_file_of_holes_is_refused(tmp_path: Path) -> None:
    file = write_mnist(tmp_path, PIXELS[:, 0], LABELS) / "t10k-images-idx3-ubyte"
    os.truncate(file, 3 << 30)
    assert f"{file} cannot be read: it says that it has 3,221,225,472 bytes" in refusal(
        "mnist", place(tmp_path)
    )


def test_a_folder_with_a_link_to_itself_and_endless_files_is_not_walked_for_ever(tmp_path: Path) -> None:
    raw = write_mnist(tmp_path, PIXELS[:, 0], LABELS)
    (raw / "again").symlink_to(raw)
    assert read("mnist", place(tmp_path)).y.tolist() == LABELS.tolist()
    for number in range(1_001):
        (raw / str(number)).touch()
    assert "holds more than 1,000 files" in refusal("mnist", place(tmp_path))


@pytest.mark.parametrize("split", ["train", "test"])
def test_an_mnist_in_two_layouts_is_read_where_they_agree_and_refused_where_they_differ(
    split: str, tmp_path: Path
) -> None:
    write_mnist(tmp_path, PIXELS[:, 0], LABELS)
    processed = tmp_path / "MNIST/processed"
    processed.mkdir()
    x, y = torch.from_numpy(PIXELS[:, 0]), torch.from_numpy(LABELS)
    for name in ("training.pt", "test.pt"):
        torch.save((x, y), processed / name)
    assert read("mnist", place(tmp_path, split)).y.tolist() == LABELS.tolist()

    file = "training.pt" if split == "train" else "test.pt"
    for other in ((x, y.flip(0)), (255 - x, y), (x[:5], y[:5])):
        torch.save(other, processed / file)
        assert f"{processed / file} holds other images or labels" in refusal("mnist", place(tmp_path, split))
    (tmp_path / "MNIST/raw").rename(tmp_path / "MNIST/away")
    assert read("mnist", place(tmp_path, split)).y.tolist() == LABELS[:5].tolist()
