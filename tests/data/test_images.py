"""A loaded data set: labels at hand without an image, names where there are some."""

from typing import Any

import numpy as np
import pytest

from advbench.data.images import LabelledImages


class Asked:
    """Three images, and which of them were asked for."""

    def __init__(self) -> None:
        self.indices: list[int] = []

    def __len__(self) -> int:
        return 99

    def __getitem__(self, index: int) -> Any:
        self.indices.append(index)
        return f"pixels {index}", 5 + index


class NamedImages(Asked):
    """The same with names."""

    def name_of(self, index: int) -> str:
        return f"{index}.png"


LABELS = np.array([5, 6, 7])


def test_length_and_labels_need_no_image_and_follow_the_labels() -> None:
    images = Asked()
    loaded = LabelledImages(images, LABELS, ())
    assert len(loaded) == 3
    assert loaded.labels.tolist() == [5, 6, 7]
    assert images.indices == []
    assert loaded[2] == ("pixels 2", 7)
    assert images.indices == [2]


@pytest.mark.parametrize(("images", "name"), [(Asked(), ""), (NamedImages(), "1.png"), ([("x", 0)] * 3, "")])
def test_an_image_has_the_name_that_its_data_set_gives_it(images: Any, name: str) -> None:
    loaded = LabelledImages(images, LABELS, ())
    assert loaded.name_of(1) == name
    assert LabelledImages(loaded, LABELS, ()).name_of(1) == name, "and through another one"
