"""Pictures are decoded when they are asked for, from a path or from inside another file."""

from pathlib import Path

import pytest
import torch

from advbench.data.labelled_pictures import LabelledPictures
from advbench.data.pictures import PictureFile, PictureWithin
from advbench.data.pixels import Reading
from advbench.errors import DatasetError
from tests.data.encoded import PNGS
from tests.data.places import PIXELS


def test_a_picture_within_another_file_is_one_like_any_other(tmp_path: Path) -> None:
    (tmp_path / "1.png").write_bytes(PNGS[1])
    files: list[PictureFile] = [
        PictureWithin("a.tar: 0", lambda: PNGS[0]),
        str(tmp_path / "1.png"),
        PictureWithin("b", bytes),
    ]
    pictures = LabelledPictures(classes=(), files=files, targets=[4, 2, 0], reading=Reading(), settled=False)
    for index, label in enumerate([4, 2]):
        x, y = pictures[index]
        assert torch.equal(x, torch.from_numpy(PIXELS[index]).to(torch.float32).mul(1 / 255))
        assert y == label
        assert not pictures.is_grey(index)
    assert [pictures.name_of(index) for index in range(2)] == ["a.tar: 0", str(tmp_path / "1.png")]
    for look in (pictures.__getitem__, pictures.is_grey):
        with pytest.raises(DatasetError, match=r"^image b is damaged or in a format that is not read\."):
            look(2)
    with pytest.raises(DatasetError, match=r"^image a\.tar: 0 is in colour"):
        pictures.in_grey()[0]
