"""Random crops and flips, each image's from its own draws."""

import torch
from torch import Tensor

from advbench.draws.draws import Draws
from advbench.training.recipe import Augment

_PADDING = 8  # a side over what is added to it: 4 pixels for CIFAR's 32


def augmented(x: Tensor, draws: Draws, augment: Augment) -> Tensor:
    """A random view of each image, `(n, c, h, w)`.

    Args:
        x: images in [0, 1], `(n, c, h, w)`.
        draws: the images' random streams in this epoch.
        augment: which views.
    """
    if augment == "none":
        return x
    from torchvision.transforms.v2 import functional as transforms  # noqa: PLC0415  # a second to import

    h, w = x.shape[2:]
    down, right = max(1, h // _PADDING), max(1, w // _PADDING)
    padded = transforms.pad(x, [right, down])
    u = draws.uniform((3,))
    tops, lefts = ((u[:, k] * (2 * room + 1)).long().tolist() for k, room in enumerate((down, right)))
    flips = ((u[:, 2] < 0.5) & (augment == "crop-flip")).tolist()
    views = []
    for image, top, left, flip in zip(padded, tops, lefts, flips, strict=True):
        view = transforms.crop(image, top, left, h, w)
        views.append(transforms.horizontal_flip(view) if flip else view)
    return torch.stack(views)
