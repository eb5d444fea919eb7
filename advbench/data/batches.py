"""Images by dataset index, a batch at a time."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor

from advbench.data.roundings import without_roundings
from advbench.errors import DatasetError


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

    Raises:
        DatasetError: images that are not `(c, h, w)` in [0, 1], differ in shape, or labels below 0.
    """
    for start in range(0, len(indices), batch_size):
        yield read_batch(dataset, indices[start : start + batch_size])


def read_batch(dataset: Images, indices: Sequence[int]) -> Batch:
    """Read some images of a data set, in the order asked for.

    Raises:
        DatasetError: as in `batches`.
    """
    items = [dataset[int(index)] for index in indices]
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
