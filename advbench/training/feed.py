"""The batches of an epoch: a function of the seed and the epoch alone."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch.utils.data import BatchSampler, DataLoader, Dataset

from advbench.data.batches import Batch, Images, read_batch
from advbench.draws.draws import Draws
from advbench.errors import AdvbenchError
from advbench.training.augment import augmented
from advbench.training.processes import Share
from advbench.training.recipe import Recipe


@dataclass(frozen=True, kw_only=True)
class TrainingImages:
    """What a model is trained on.

    Args:
        images: the data set.
        indices: the training images.
        held_out: images that are kept back, to choose the best epoch by.
        workers: processes that read images ahead.
    """

    images: Images
    indices: Sequence[int]
    held_out: Sequence[int] = ()
    workers: int = 0


def batches_of_epoch(
    data: TrainingImages, recipe: Recipe, epoch: int, first: int, share: Share
) -> Iterator[Batch]:
    """The training batches of an epoch from number `first` on, augmented.

    The order is that of a draw of each image's own, so that it does not depend on how the run was started.

    Args:
        data: the training images.
        recipe: batch size, augmentation and seed.
        epoch: counted from 0.
        first: how many batches have been done.
        share: this process's part of every batch.
    """
    planned = plan_of_epoch(data.indices, recipe, epoch)[first:]
    reader, shares = _Reader(data.images, recipe, epoch), _shares(planned, recipe, share)
    own = torch.Generator()  # the loader would draw a seed from the global one
    for read in DataLoader(reader, sampler=shares, batch_size=None, num_workers=data.workers, generator=own):
        if isinstance(read, AdvbenchError):
            raise read
        yield read


def plan_of_epoch(indices: Sequence[int], recipe: Recipe, epoch: int) -> list[list[int]]:
    """The dataset indices of every batch, over all processes."""
    chosen = torch.tensor(indices, dtype=torch.int64)
    order = Draws(recipe.seed, chosen).stream(f"order/{epoch}").uniform(()).argsort(stable=True)
    return list(BatchSampler(chosen[order].tolist(), recipe.batch_size, drop_last=recipe.drop_last))


def _shares(planned: list[list[int]], recipe: Recipe, share: Share) -> list[list[int]]:
    """Each process has its part of those images that both passes take, first, and of the rest."""
    return [
        [*share.of(batch[:both]), *share.of(batch[both:])]
        for batch in planned
        for both in [recipe.apart.images(len(batch)) if recipe.apart else len(batch)]
    ]


class _Reader(Dataset[Batch | AdvbenchError]):
    """Batches by their indices, for a loader that may read them in other processes."""

    def __init__(self, images: Images, recipe: Recipe, epoch: int) -> None:
        self.images = images
        self.recipe = recipe
        self.epoch = epoch

    def __getitem__(self, indices: list[int]) -> Batch | AdvbenchError:
        try:
            batch = read_batch(self.images, indices)
        except AdvbenchError as error:  # raised in another process, it would come back with a traceback in it
            return error
        draws = Draws(self.recipe.seed, batch.indices).stream(f"augment/{self.epoch}")
        return batch._replace(x=augmented(batch.x, draws, self.recipe.augment))
