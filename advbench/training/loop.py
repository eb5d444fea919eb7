"""The training loop: epochs of steps, plain or with APART."""

import hashlib
import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Final, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from advbench.data.batches import Batch
from advbench.errors import ModelError
from advbench.threat.judge import predict
from advbench.training.accuracy import correct
from advbench.training.apart import APART
from advbench.training.batch_norm import forwards_replaced, shared_forwards
from advbench.training.feed import TrainingImages, batches_of_epoch, plan_of_epoch
from advbench.training.processes import Share, one_gradient_ahead, wrapped
from advbench.training.recipe import Recipe
from advbench.training.state import EpochRecord, Sums, TrainingState

_ONE_VALUE: Final = "more than 1 value per channel"
"""What torch's BatchNorm says of a single image without pixels."""


class StepDone(NamedTuple):
    """A step was taken."""

    epoch: int
    """Counted from 1."""
    step: int
    steps: int
    """How many an epoch has."""
    loss: float
    """Mean of the epoch so far."""
    accuracy: float
    """Of the training images of the epoch so far."""


def train(
    training: TrainingState,
    data: TrainingImages,
    recipe: Recipe,
    device: torch.device,
    *,
    share: Share = Share(),  # noqa: B008  # a tuple, which nobody changes
    notify: Callable[[StepDone], None] = lambda _: None,
    keep: Callable[[TrainingState], None] = lambda _: None,
    asked: Callable[[], bool] = lambda: False,
) -> None:
    """Train from where a training stands to the end of its last epoch.

    Every step is a function of what `training` holds, the recipe and the images, so that a training that
    goes on from what was kept gives the same weights, on the same machine and with deterministic kernels.

    Args:
        training: is brought forward; its model is in training mode, but for layers that are frozen.
        data: what it is trained on.
        recipe: how.
        device: where.
        share: this process's part of every batch; the process group is set up where there are several.
        notify: is told after every step.
        keep: is given the training after every epoch, and before it stops.
        asked: whether the training shall stop after the step in flight; it is kept, and `KeyboardInterrupt`
            raised.

    Raises:
        ModelError: a loss that is not finite, or a model that is not one to be trained.
        DatasetError: images that cannot be read.
    """
    take_step = _step_of(training, recipe, device, share)
    steps = len(plan_of_epoch(data.indices, recipe, 0))
    for epoch in range(training.epoch, recipe.epochs):
        began = time.monotonic() - training.sums.seconds
        for batch in batches_of_epoch(data, recipe, epoch, training.step, share):
            take_step(batch.to(device))
            training.step += 1
            training.sums.seconds = time.monotonic() - began
            _check_finite(training, epoch)
            notify(_progress(training, epoch, steps))
            if share.any(asked(), device) and training.step < steps:
                keep(training)
                raise KeyboardInterrupt
        _finish_epoch(training, data, device, share)
        keep(training)
        if share.any(asked(), device) and training.epoch < recipe.epochs:
            raise KeyboardInterrupt


def _step_of(
    training: TrainingState, recipe: Recipe, device: torch.device, share: Share
) -> Callable[[Batch], None]:
    """One optimizer step, as the recipe wants it, adding what it finds to the epoch's sums."""
    model = wrapped(training.model, device, share, sync_bn=recipe.sync_bn)
    apart = APART(model, recipe.apart.epsilon, recipe.apart.groups) if recipe.apart else None
    shared = {} if apart else shared_forwards(model)
    # Images of the adver pass over images of the batch, in each process.
    ratio = recipe.apart.images(recipe.batch_size) / recipe.batch_size if recipe.apart else 0.0

    def take_step(batch: Batch) -> None:
        sums, scaler = training.sums, training.scaler
        training.optimizer.zero_grad()
        with _own_randomness(recipe, training, share.rank, device):
            if apart is None:
                with forwards_replaced(shared):
                    logits, loss = _forward(model, batch, recipe, device)
                    torch.autograd.backward(scaler.scale(loss))
            else:
                n = max(1, round(ratio * len(batch.y)))
                r = len(batch.y) / (len(batch.y) + n)
                with apart.to_proxy(), one_gradient_ahead(model):
                    logits, loss = _forward(model, batch, recipe, device)
                    torch.autograd.backward(scaler.scale(r * loss))
                with apart.to_adver():
                    first = Batch(*(tensor[:n] for tensor in batch))
                    _, adver_loss = _forward(model, first, recipe, device)
                    torch.autograd.backward(scaler.scale((1 - r) * adver_loss))
                sums.adver_images += n
                sums.adver_loss += n * float(adver_loss.detach())
        scaler.step(training.optimizer)
        scaler.update()
        sums.images += len(batch.y)
        sums.loss += len(batch.y) * float(loss.detach())
        sums.correct += int((predict(logits.detach()) == batch.y).sum())

    return take_step


def _forward(model: nn.Module, batch: Batch, recipe: Recipe, device: torch.device) -> tuple[Tensor, Tensor]:
    """Logits, `(n, k)`, and their mean cross-entropy, in the recipe's precision."""
    low = recipe.precision != "float32"
    try:
        with torch.autocast(device.type, getattr(torch, recipe.precision)) if low else nullcontext():
            logits = model(batch.x)
    except ValueError as error:
        if len(batch.y) > 1 or _ONE_VALUE not in str(error):
            raise
        raise ModelError(
            "an epoch's last batch is a single image, of which BatchNorm has no variance: give another "
            "--batch-size or --train-limit."
        ) from error
    logits = logits.float()
    return logits, F.cross_entropy(logits, batch.y)


@contextmanager
def _own_randomness(
    recipe: Recipe, training: TrainingState, rank: int, device: torch.device
) -> Iterator[None]:
    """Dropout and its like read the global generator; while a step lasts it is the step's own."""
    words = f"{recipe.seed}/{training.epoch}/{training.step}/{rank}"
    seed = int.from_bytes(hashlib.blake2b(words.encode(), digest_size=7).digest())
    accelerator = device.type != "cpu"
    devices, kind = ([device.index or 0], device.type) if accelerator else ([], "cuda")
    with torch.random.fork_rng(devices, device_type=kind):
        torch.manual_seed(seed)
        yield


def _check_finite(training: TrainingState, epoch: int) -> None:
    if not math.isfinite(training.sums.loss) and not training.scaler.is_enabled():
        raise ModelError(
            f"the loss became {training.sums.loss} in epoch {epoch + 1}, step {training.step}: the training "
            "diverged. Try a smaller --lr."
        )


def _progress(training: TrainingState, epoch: int, steps: int) -> StepDone:
    sums = training.sums
    return StepDone(epoch + 1, training.step, steps, sums.loss / sums.images, sums.correct / sums.images)


def _finish_epoch(training: TrainingState, data: TrainingImages, device: torch.device, share: Share) -> None:
    sums = training.sums
    lr = float(training.optimizer.param_groups[0]["lr"])
    training.schedule.step()
    right = correct(training.model, data.images, data.held_out[share.rank :: share.count], device)
    images, loss, seen, adver_images, adver_loss, held = share.total(
        [sums.images, sums.loss, sums.correct, sums.adver_images, sums.adver_loss, int(right.sum())], device
    )
    training.epoch, training.step, training.sums = training.epoch + 1, 0, Sums()
    training.history.append(
        EpochRecord(
            epoch=training.epoch,
            lr=lr,
            loss=loss / images,
            accuracy=seen / images,
            adver_loss=adver_loss / adver_images if adver_images else math.nan,
            held_out=held / len(data.held_out) if data.held_out else math.nan,
            seconds=round(sums.seconds, 3),
        )
    )
    if data.held_out:
        training.best = max(training.history, key=lambda record: record.held_out).epoch
