"""How a model is trained: everything that its weights depend on besides data and start."""

import math
from dataclasses import dataclass
from typing import Literal, get_args

from advbench.errors import SpecError, nearest

Schedule = Literal["step", "cosine"]
Augment = Literal["none", "crop", "crop-flip"]
Precision = Literal["float32", "bfloat16", "float16"]


@dataclass(frozen=True, kw_only=True)
class Perturbation:
    """APART's settings; the defaults are those of its authors' CIFAR example.

    Args:
        epsilon: relative size of the perturbation of the statistics.
        groups: how many interleaved groups the adver pass normalises by their own statistics; 0 and 1 for
            the whole batch.
        ratio: images of the adver pass over images of the batch, in (0, 1].
    """

    epsilon: float = 0.1
    groups: int = 16
    ratio: float = 1.0

    def __post_init__(self) -> None:
        if not 0.0 <= self.epsilon < math.inf:
            raise SpecError(f"--epsilon must be 0 or more, got {self.epsilon:g}.")
        if self.groups < 0:
            raise SpecError(f"--groups must be 0 or more, got {self.groups}.")
        if not 0.0 < self.ratio <= 1.0:
            raise SpecError(f"--ratio must lie in (0, 1], got {self.ratio:g}.")

    def images(self, batch: int) -> int:
        """How many images of a batch the adver pass takes, at least one: the first ones."""
        return max(1, round(self.ratio * batch))


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """SGD with momentum; the defaults are those of APART's authors for CIFAR, except for the epochs.

    Args:
        epochs: passes over the training images; the authors' 200 are for a start from nothing.
        batch_size: images a step, over all processes.
        lr: learning rate at the start.
        schedule: `step` (times 0.1 after half and after three quarters of the epochs) or `cosine`, to 0.
        momentum: of SGD.
        weight_decay: of SGD, on every parameter.
        augment: `crop` (a random place of the image padded by an eighth of its side), `crop-flip` (half of
            the images are mirrored too) or `none`.
        precision: `float32`, or the type of automatic mixed precision.
        drop_last: leave out the last, incomplete batch of an epoch.
        sync_bn: take batch statistics over all processes, where there are several.
        seed: of the order of the images, their augmentation, and random layers.
        apart: APART's settings; None for plain training.
    """

    epochs: int = 30
    batch_size: int = 128
    lr: float = 0.1
    schedule: Schedule = "step"
    momentum: float = 0.9
    weight_decay: float = 5e-4
    augment: Augment = "none"
    precision: Precision = "float32"
    drop_last: bool = False
    sync_bn: bool = False
    seed: int = 0
    apart: Perturbation | None = None

    def __post_init__(self) -> None:
        for name, least in (("epochs", 1), ("batch_size", 2)):
            if getattr(self, name) < least:
                raise SpecError(f"--{_word(name)} must be at least {least}, got {getattr(self, name)}.")
        if not 0.0 < self.lr < math.inf:
            raise SpecError(f"--lr must be positive, got {self.lr:g}.")
        if not 0.0 <= self.momentum < 1.0:
            raise SpecError(f"--momentum must lie in [0, 1), got {self.momentum:g}.")
        if not 0.0 <= self.weight_decay < math.inf:
            raise SpecError(f"--weight-decay must be 0 or more, got {self.weight_decay:g}.")
        for name, known in (("schedule", Schedule), ("augment", Augment), ("precision", Precision)):
            if getattr(self, name) not in get_args(known):
                given = getattr(self, name)
                raise SpecError(f"there is no {name} {given!r}. {nearest(given, get_args(known))}")


def check_shares(recipe: Recipe, processes: int, images: int) -> None:
    """Refuse batches that APART's groups or the processes do not divide, before anything is computed.

    Raises:
        SpecError: what does not fit, and what would.
    """
    batch, apart = recipe.batch_size, recipe.apart
    if recipe.drop_last and images < batch:
        raise SpecError(
            f"--batch-size {batch} is more than the {images} training images; give a smaller one."
        )
    for what, count in [
        ("--batch-size", batch),
        *([("--batch-size times --ratio", apart.images(batch))] if apart else []),
    ]:
        if count % processes:
            raise SpecError(f"{processes} processes cannot share {what} = {count} equally.")
    if apart is None or apart.groups < 2:
        return
    share = apart.images(batch) // processes
    if share % apart.groups:
        where = " in each process" if processes > 1 else ""
        raise SpecError(
            f"--groups {apart.groups} does not divide the {share} images of the second pass{where} "
            "(--batch-size times --ratio)."
        )


def _word(name: str) -> str:
    return name.replace("_", "-")
