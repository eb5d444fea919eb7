"""Pictures with labels, wherever their bytes lie."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from advbench.data.pictures import PictureFile, open_picture
from advbench.data.pixels import Reading, is_grey, read_pixels
from advbench.errors import DatasetError, first_line


@dataclass(frozen=True, kw_only=True)
class LabelledPictures:
    """A map-style data set of pictures that are decoded when they are asked for.

    Args:
        classes: their names in the order of the labels; empty where nothing names them.
        files: every picture, by its path or inside another file.
        targets: the label of each: its class, or what a file of names has made of that.
        reading: how pictures become tensors.
        settled: whether the user said how many channels to read, so that nothing else may decide it.
    """

    classes: Sequence[str]
    files: Sequence[PictureFile]
    targets: Sequence[int]
    reading: Reading
    settled: bool

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        """Pixels in [0, 1], `(c, h, w)`, and label of picture number `index`."""
        return read_pixels(self.files[index], self.reading), self.targets[index]

    def name_of(self, index: int) -> str:
        """The path of picture number `index`, or what stands for it."""
        return str(self.files[index])

    def is_grey(self, index: int) -> bool:
        """Whether a picture has no colour by its header.

        Raises:
            DatasetError: it cannot be opened.
        """
        path = self.files[index]
        try:
            with open_picture(path) as picture:
                return is_grey(picture)
        except DatasetError:
            raise
        except Exception as error:  # a damaged image can make PIL raise anything
            raise DatasetError(f"image {path} cannot be read: {first_line(error)}.") from error

    def in_grey(self) -> "LabelledPictures":
        """The same pictures in one channel, where one in colour is refused."""
        return replace(self, reading=replace(self.reading, channels=1, grey_alone=True))
