"""Images by dataset index, a batch at a time."""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor

from advbench.data.roundings import without_roundings
from advbench.errors import DatasetError

LARGEST_IMAGE: Final = 1 << 25
"""Numbers in an image that goes to a network: RGB of 3,344 pixels square has as many."""

LARGEST_BATCH: Final = 1 << 30
"""Numbers in a batch, which take four gigabytes."""

_COMFORTABLE: Final = 1 << 27  # numbers in a batch that is read only to be looked at
_LARGE: Final = 1 << 22  # numbers in an image from which on another shape is refused at once


class Images(Protocol):
    """A map-style data set, as torch's own: `dataset[i]` is (pixels in [0, 1] `(c, h, w)`, label)."""

    def __getitem__(self, index: int, /) -> Any:
        """Image and label number `index`."""
        ...

    def __len__(self) -> int:
        """How many there are."""
        ...


@runtime_checkable
class Named(Protocol):
    """A data set whose images have names."""

    def name_of(self, index: int, /) -> str:
        """The name of image number `index`, for messages."""
        ...


class Batch(NamedTuple):
    """Some images of a data set."""

    indices: Tensor
    """Dataset index of each, `(n,)` int64."""
    x: Tensor
    """Pixels in [0, 1], `(n, c, h, w)` float32."""
    y: Tensor
    """Labels, `(n,)` int64."""

    def to(self, device: torch.device) -> "Batch":
        """The same batch on a device."""
        return Batch(*(tensor.to(device, non_blocking=True) for tensor in self))


def check_mapstyle(dataset: Images) -> None:
    """Refuse what is no data set of (image, label) by index, as a pair of tensors or a loader.

    Raises:
        DatasetError: such a thing.
    """
    given: object = dataset
    if isinstance(given, tuple):
        raise DatasetError("a data set gives (image, label) by index, got a tuple: TensorDataset(x, y).")
    if not (hasattr(given, "__getitem__") and hasattr(given, "__len__")):
        raise DatasetError(
            f"a data set gives (image, label) by index and has a length, got {type(given).__name__}."
        )


def batches(dataset: Images, indices: Sequence[int], batch_size: int) -> Iterator[Batch]:
    """Read the images `indices` of a data set in order; only one batch is in memory at a time.

    Large images come in smaller batches.

    Raises:
        DatasetError: images that are not `(c, h, w)` in [0, 1], differ in shape, are too large, or labels
            below 0.
    """
    start = 0
    while start < len(indices):
        wanted = indices[start : start + batch_size]
        first = dataset[int(wanted[0])]
        fit = max(1, _COMFORTABLE // max(1, math.prod(getattr(first[0], "shape", ()))))
        batch = _batch(dataset, wanted[:fit], [first])
        yield batch
        start += len(batch.indices)


def read_batch(dataset: Images, indices: Sequence[int]) -> Batch:
    """Read some images of a data set, in the order asked for.

    Raises:
        DatasetError: as in `batches`.
    """
    return _batch(dataset, indices, [])


def _batch(dataset: Images, indices: Sequence[int], items: list[Any]) -> Batch:
    """Some images, of which the first are read already."""
    for place, index in enumerate(indices):
        if place == len(items):
            items.append(dataset[int(index)])
        _check_size(items[0][0], items[place][0], len(indices), (dataset, index))
    x = _stack([image for image, _ in items], indices, dataset)
    y = torch.tensor([whole(label) for _, label in items], dtype=torch.int64)
    if int(y.min()) < 0:
        raise DatasetError(f"labels must be 0, 1, 2, ..., got {int(y.min())} in the data set.")
    return Batch(torch.tensor(indices, dtype=torch.int64), x, y)


def whole(label: Any) -> int:
    """A label as a class's number.

    Raises:
        DatasetError: a fraction, which would be cut off.
    """
    number = int(label)
    if number != label:
        raise DatasetError(f"labels must be whole numbers, got {label}.")
    return number


def check_shapes(parts: Sequence[Batch], dataset: Images) -> None:
    """Refuse batches of a data set whose images differ in shape.

    Raises:
        DatasetError: they do.
    """
    _one_shape({tuple(part.x.shape[1:]): int(part.indices[0]) for part in parts}, dataset)


def _stack(images: list[Any], indices: Sequence[int], dataset: Images) -> Tensor:
    shapes = {tuple(getattr(image, "shape", ())): index for image, index in zip(images, indices, strict=True)}
    _one_shape(shapes, dataset)
    shape = next(iter(shapes))
    if len(shape) != 3 or 0 in shape or not isinstance(images[0], Tensor):
        raise DatasetError(f"an image must be a tensor (c, h, w), got {type(images[0]).__name__} {shape}.")
    x = without_roundings(torch.stack(images).detach().to(torch.float32), images[0].dtype)
    low, high = (float(bound) for bound in torch.aminmax(x))
    if not (low >= 0.0 and high <= 1.0):
        raise DatasetError(
            f"pixels must lie in [0, 1], got [{low:.3g}, {high:.3g}]. Normalisation belongs to the model "
            "(--mean, --std), never to the data."
        )
    return x


def _check_size(first: Any, image: Any, count: int, place: tuple[Images, int]) -> None:
    """Refuse a batch that would fill the memory, before the rest of it is read.

    Raises:
        DatasetError: an image of too many numbers, or too many for one batch, or of another shape.
    """
    (dataset, index), shape = place, tuple(getattr(image, "shape", ()))
    values = math.prod(shape)
    if values > LARGEST_IMAGE:
        raise DatasetError(
            f"the image at index {index}{_named(dataset, index)} has the shape {shape}, {values:,} numbers, "
            f"and a network is given {LARGEST_IMAGE:,} at most. Give --image-size N to resize and crop it."
        )
    if values * count > LARGEST_BATCH:
        raise DatasetError(
            f"{count} images of the shape {shape} take {values * count * 4 >> 30} gigabytes at a time. Give "
            "a smaller --batch-size, or --image-size N to resize and crop them."
        )
    if values > _LARGE and shape != tuple(getattr(first, "shape", ())):
        raise DatasetError(
            f"images differ in shape: {tuple(getattr(first, 'shape', ()))}, and {shape} at index "
            f"{index}{_named(dataset, index)}. Give --image-size N to resize and crop them."
        )


def _one_shape(shapes: Mapping[tuple[int, ...], int], dataset: Images) -> None:
    """Refuse several shapes, each with an image's index that has it."""
    if len(shapes) > 1:
        one, other = (f"{shape} at index {i}{_named(dataset, i)}" for shape, i in list(shapes.items())[:2])
        raise DatasetError(
            f"images differ in shape: {one}, {other}. Give --image-size N to resize and crop them."
        )


def _named(dataset: Images, index: int) -> str:
    name = dataset.name_of(index) if isinstance(dataset, Named) else ""
    return f" ({name})" if name else ""
