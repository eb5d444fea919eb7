"""The order of a folder of pictures is torchvision's, and links that lead round in circles are refused."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from torchvision.datasets import ImageFolder
from torchvision.datasets.folder import IMG_EXTENSIONS

from advbench.data import picture_folder
from advbench.data.labelled_pictures import LabelledPictures
from advbench.data.load import load_dataset
from advbench.data.picture_folder import ENDINGS, open_folder
from advbench.data.pixels import Reading
from advbench.data.sources import Place
from advbench.errors import DatasetError

PATHS = [
    *("b/2.png", "b/10.png", "b/x/1.jpg", "b/x.JPEG", "b/x-1/3.Tiff", "b/x/y/z.webp", "b/notes.txt"),
    *("B/a.ppm", "a/a.pgm", "a/.hidden.bmp", "10/a.tif", "9/a.png", "9/a.png.txt", "ä/ö.png", "loose.png"),
]


def write(root: Path, paths: list[str]) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4)).save(root / path, "PNG")


def folder_of(root: Path) -> LabelledPictures:
    folder = load_dataset("imagefolder", Place(root=root, split="test")).images
    assert isinstance(folder, LabelledPictures)
    return folder


def refused(root: Path) -> str:
    with pytest.raises(DatasetError) as caught:
        folder_of(root)
    return str(caught.value)


def test_pictures_and_classes_come_in_torchvisions_order(tmp_path: Path) -> None:
    write(tmp_path / "test", PATHS)
    write(tmp_path, ["elsewhere/more/1.png"])
    (tmp_path / "test/b/a-link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "test/linked").symlink_to(tmp_path / "elsewhere")
    theirs, ours = ImageFolder(str(tmp_path / "test")), folder_of(tmp_path)
    assert list(zip(ours.files, ours.targets, strict=True)) == theirs.samples
    assert len(ours) == 14
    assert ours.classes == theirs.classes
    assert set(ENDINGS) == set(IMG_EXTENSIONS)


def test_a_folder_without_classes_or_pictures_is_refused(tmp_path: Path) -> None:
    assert "there is no class folder in it." in refused(tmp_path)
    write(tmp_path, ["a/1.png", "b/1.txt"])
    (tmp_path / "c").mkdir()
    assert "there is no picture in the class folder b, c. The names of pictures end in .jpg, " in refused(
        tmp_path
    )


def to_itself(root: Path) -> None:
    (root / "a/again").symlink_to(root / "a")


def to_the_root(root: Path) -> None:
    (root / "a/up").symlink_to(root)


def class_to_the_root(root: Path) -> None:
    (root / "c").symlink_to(root)


def to_one_another(root: Path) -> None:
    (root / "a/b").symlink_to(root / "b")
    (root / "b/a").symlink_to(root / "a")


CIRCLES = [to_itself, to_the_root, class_to_the_root, to_one_another]


@pytest.mark.parametrize("link", CIRCLES)
def test_links_that_lead_back_are_refused_by_name_rather_than_read_forty_times(
    link: Callable[[Path], None], tmp_path: Path
) -> None:
    write(tmp_path, ["a/1.png", "b/1.png"])
    link(tmp_path)
    line = refused(tmp_path)
    assert "leads back to a folder that it lies in; remove it." in line
    assert f"the link {tmp_path}{os.sep}" in line


def test_links_that_multiply_what_they_lead_to_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "a"
    for level in range(30):
        (tmp_path / "own" / str(level)).mkdir(parents=True)
    folder.symlink_to(tmp_path / "own" / "0")
    for level in range(29):
        for name in "xy":
            (tmp_path / "own" / str(level) / name).symlink_to(tmp_path / "own" / str(level + 1))
    root = tmp_path / "root"
    root.mkdir()
    (root / "class").symlink_to(folder)
    with pytest.raises(DatasetError, match="more than 8 links lead to the folder"):
        open_folder(root, Reading(), settled=True)


def test_folders_without_end_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picture_folder, "_MOST_FOLDERS", 3)
    for name in "abcd":
        (tmp_path / "class" / name).mkdir(parents=True)
    with pytest.raises(DatasetError, match="more than 3 folders in it"):
        open_folder(tmp_path, Reading(), settled=True)
