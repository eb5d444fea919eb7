"""Grey pictures for networks with one channel."""

import dataclasses
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from advbench.data.batches import Images
from advbench.data.images import LabelledImages
from advbench.data.labelled_pictures import LabelledPictures
from advbench.defended.left_as_found import prepared
from advbench.defended.normalized import Normalized
from advbench.errors import DatasetError


def fitted(images: LabelledImages, indices: Sequence[int], model: nn.Module) -> LabelledImages:
    """The images in as many channels as the network takes, where it is left to the network.

    A folder of pictures is read as RGB, whose three channels are equal where a picture is grey. Where the
    first one is grey, and the network takes one channel and not three, all are read as grey.

    Args:
        images: any data set; one that is no folder of pictures stays as it is.
        indices: of the images that are evaluated; the first one is tried.
        model: the network, with or without its normalisation.

    Raises:
        DatasetError: the network takes one channel, and the first picture is in colour.
    """
    folder = images.images
    if not isinstance(folder, LabelledPictures) or folder.settled:
        return images
    network = model.network if isinstance(model, Normalized) else model
    is_grey = folder.is_grey(indices[0])
    if not is_grey and not _seems_grey(network):
        return images
    x, _ = folder[indices[0]]
    if _takes(network, x) or not _takes(network, x[:1]):
        return images
    if not is_grey:
        raise DatasetError(
            f"the network takes one channel, and image {folder.files[indices[0]]} is in colour. "
            "Give --channels 1 to make the pictures grey."
        )
    return dataclasses.replace(images, images=folder.in_grey())


def channels_of(images: Images) -> int | None:
    """1 where pictures are read as grey; None for pictures in colour, as ever, and for other data sets."""
    folder = images.images if isinstance(images, LabelledImages) else images
    return 1 if isinstance(folder, LabelledPictures) and folder.reading.channels == 1 else None


def _seems_grey(network: nn.Module) -> bool:
    """Whether the first convolution that the network lists has one channel."""
    first = next((module for module in network.modules() if isinstance(module, nn.Conv2d)), None)
    return first is not None and first.in_channels == 1


@torch.no_grad()
def _takes(network: nn.Module, x: Tensor) -> bool:
    own = next(network.parameters(), torch.empty(0))
    with prepared(network):
        try:
            network(x[None].to(own.device))
        except Exception:  # the network's code may raise anything
            return False
    return True
