"""Images that a caller has in memory, or reads by a data set of their own."""

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Subset, TensorDataset

from advbench.data.batches import whole
from advbench.data.images import LabelledImages, Labels
from advbench.errors import DatasetError, first_line


def images_of(given: Any) -> LabelledImages:
    """A pair (x, y) or a map-style data set as images with labels.

    Args:
        given: images `(n, c, h, w)` in [0, 1] and labels `(n,)`, tensors or arrays; or what has a length and
            gives (image `(c, h, w)` in [0, 1], label) by index. Labels that such a data set does not hold as
            `targets` are read by going through it once.

    Raises:
        DatasetError: neither, or images and labels that do not fit each other.
    """
    if isinstance(given, LabelledImages):
        return given
    if _is_pair(given):
        return _paired(*given)
    if not (hasattr(given, "__getitem__") and hasattr(given, "__len__")):
        hint = " Give the loader's dataset." if hasattr(given, "batch_size") else ""
        raise DatasetError(
            "data must be a name, a pair (x, y) of tensors, or a data set with a length that gives "
            f"(image, label) by index, got {type(given).__name__}.{hint}"
        )
    if len(given) == 0:
        raise DatasetError("the data set holds no images.")
    return LabelledImages(given, _labels_of(given), ())


def _is_pair(given: Any) -> bool:
    """Whether images and labels are meant; a list of two samples is a data set of two (image, label)."""
    if not isinstance(given, tuple | list) or len(given) != 2:
        return False
    return isinstance(given, tuple) or not all(map(_is_sample, given))


def _is_sample(given: Any) -> bool:
    """Whether something is one image with its label."""
    if not isinstance(given, tuple | list) or len(given) != 2:
        return False
    dimensions = [getattr(part, "ndim", 0) for part in given]
    return dimensions[0] > 1 and dimensions[1] == 0


def _paired(x: Any, y: Any) -> LabelledImages:
    images, labels = _as_tensor(x, "images"), _as_tensor(y, "labels")
    if images.dim() != 4 or labels.shape != images.shape[:1] or len(labels) == 0:
        raise DatasetError(
            "data must be images (n, c, h, w) and as many labels (n,), got shapes "
            f"{tuple(images.shape)} and {tuple(labels.shape)}."
        )
    if labels.is_floating_point() or labels.is_complex() or labels.dtype == torch.bool:
        raise DatasetError(f"labels must be whole numbers, got {labels.dtype}.")
    images, labels = images.detach().cpu(), labels.detach().cpu().to(torch.int64)
    return LabelledImages(TensorDataset(images, labels), labels.numpy(), ())


def _as_tensor(values: Any, what: str) -> Tensor:
    """A tensor of a tensor, of an array in any order, or of numbers in lists.

    Raises:
        DatasetError: none of them.
    """
    try:
        if isinstance(values, np.ndarray):
            values = np.require(values, requirements=["C", "W"])  # torch takes no other
        return torch.as_tensor(values)
    except (TypeError, ValueError, RuntimeError) as error:
        raise DatasetError(f"the {what} cannot be made a tensor: {first_line(error)}") from error


def _labels_of(dataset: Any) -> Labels:
    """All labels of a data set; where it does not hold them, it is gone through once."""
    if isinstance(dataset, TensorDataset) and len(dataset.tensors) == 2:
        return _as_labels(dataset.tensors[1])
    if isinstance(dataset, Subset):
        return _labels_of(dataset.dataset)[np.asarray(dataset.indices, dtype=np.int64)]
    held = getattr(dataset, "targets", None)
    if held is not None and getattr(dataset, "target_transform", None) is None and len(held) == len(dataset):
        return _as_labels(held)
    try:
        return _as_labels([whole(dataset[index][1]) for index in range(len(dataset))])
    except (TypeError, ValueError, IndexError, KeyError) as error:
        raise DatasetError(
            f"{type(dataset).__name__} does not give (image, label) by the index 0, 1, 2, ...: {error}"
        ) from error


def _as_labels(values: Any) -> Labels:
    labels = values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)
    if labels.ndim != 1 or not np.issubdtype(labels.dtype, np.integer):
        raise DatasetError(f"labels must be whole numbers (n,), got {labels.dtype} of shape {labels.shape}.")
    return labels.astype(np.int64)
