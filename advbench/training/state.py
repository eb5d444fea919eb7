"""The state of a training, and how it is written down without anything that could run."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from advbench.errors import CheckpointError
from advbench.files import write_whole
from advbench.regular_files import check_regular
from advbench.training.recipe import Recipe

_PROGRESS = "progress"


@dataclass(frozen=True, kw_only=True)
class EpochRecord:
    """What one epoch came to.

    Args:
        epoch: counted from 1.
        lr: its learning rate.
        loss: mean of the batches' cross-entropy in the plain pass.
        accuracy: of the training images as they were seen.
        adver_loss: mean cross-entropy in APART's second pass; NaN without APART.
        held_out: accuracy of the images that were kept back; NaN where there are none.
        seconds: how long it took.
    """

    epoch: int
    lr: float
    loss: float
    accuracy: float
    adver_loss: float
    held_out: float
    seconds: float


@dataclass
class Sums:
    """What has been added up since the epoch began, over this process's images."""

    images: int = 0
    loss: float = 0.0
    correct: int = 0
    adver_images: int = 0
    adver_loss: float = 0.0
    seconds: float = 0.0


@dataclass
class TrainingState:
    """A model on its way, with everything that the next step depends on.

    Args:
        model: pixels to logits.
        optimizer: SGD on all its parameters.
        schedule: sets the learning rate after every epoch.
        scaler: keeps gradients of float16 in range; does nothing in other precisions.
        epoch: how many epochs are done.
        step: how many batches of the next one.
        sums: what these have come to.
        history: the epochs that are done.
        best: number of the epoch with the highest accuracy of held-out images, 0 for none.
    """

    model: nn.Module
    optimizer: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LRScheduler
    scaler: torch.amp.GradScaler
    epoch: int = 0
    step: int = 0
    sums: Sums = field(default_factory=Sums)
    history: list[EpochRecord] = field(default_factory=list)
    best: int = 0


def begin(model: nn.Module, recipe: Recipe, device: torch.device) -> TrainingState:
    """A training that has not begun."""
    optimizer = torch.optim.SGD(
        [parameter for parameter in model.parameters() if parameter.requires_grad],
        lr=recipe.lr,
        momentum=recipe.momentum,
        weight_decay=recipe.weight_decay,
    )
    schedules = torch.optim.lr_scheduler
    schedule: torch.optim.lr_scheduler.LRScheduler
    if recipe.schedule == "cosine":
        schedule = schedules.CosineAnnealingLR(optimizer, recipe.epochs)
    else:
        milestones = [math.ceil(recipe.epochs / 2), math.ceil(3 * recipe.epochs / 4)]
        schedule = schedules.MultiStepLR(optimizer, milestones, gamma=0.1)
    scaler = torch.amp.GradScaler(device.type, enabled=recipe.precision == "float16")
    return TrainingState(model, optimizer, schedule, scaler)


def write_state(training: TrainingState, path: Path) -> None:
    """Write down everything that going on needs.

    Raises:
        RunError: the disk is full, for example.
    """
    kept = training.optimizer.state_dict()
    tensors = {f"model.{key}": tensor for key, tensor in training.model.state_dict().items()}
    for number, entries in kept["state"].items():
        tensors |= {
            f"optimizer.{number}.{name}": entry
            for name, entry in entries.items()
            if isinstance(entry, Tensor)
        }
    progress = {
        "epoch": training.epoch,
        "step": training.step,
        "best": training.best,
        "sums": asdict(training.sums),
        "history": [asdict(record) for record in training.history],
        "param_groups": kept["param_groups"],
        "schedule": _plain(training.schedule.state_dict()),
        "scaler": training.scaler.state_dict(),
    }
    write_whole(path, _packed(tensors, {_PROGRESS: json.dumps(progress)}))


def read_state(training: TrainingState, path: Path) -> None:
    """Take over what an earlier start of the same training has left.

    Raises:
        CheckpointError: a file that is damaged or belongs to another training.
    """
    try:
        check_regular(path)
        with safetensors.safe_open(path, framework="pt") as file:
            progress = json.loads((file.metadata() or {})[_PROGRESS])
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118  # no mapping
        _restore(training, progress, tensors)
    except Exception as error:  # a damaged or foreign file can make its readers raise anything
        raise CheckpointError(
            f"{path} is damaged, or the state of another training. Give another --out, or --overwrite."
        ) from error


def _restore(training: TrainingState, progress: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    training.model.load_state_dict(_below("model.", tensors))
    state: dict[int, dict[str, Any]] = {}
    for key, tensor in _below("optimizer.", tensors).items():
        number, _, name = key.partition(".")
        state.setdefault(int(number), {})[name] = tensor
    training.optimizer.load_state_dict({"state": state, "param_groups": progress["param_groups"]})
    training.schedule.load_state_dict(progress["schedule"])
    training.scaler.load_state_dict(progress["scaler"])
    training.epoch, training.step = int(progress["epoch"]), int(progress["step"])
    training.best, training.sums = int(progress["best"]), Sums(**progress["sums"])
    training.history = [EpochRecord(**record) for record in progress["history"]]


def write_weights(network: nn.Module, path: Path, origin: Mapping[str, str]) -> None:
    """Write a network's state dict as safetensors, as `--checkpoint` reads it.

    Raises:
        RunError: the disk is full, for example.
    """
    write_whole(path, _packed(network.state_dict(), origin))


def _packed(tensors: Mapping[str, Tensor], notes: Mapping[str, str]) -> bytes:
    # Clones, as tied weights share memory, which the format does not allow.
    plain = {key: tensor.detach().cpu().contiguous().clone() for key, tensor in tensors.items()}
    return safetensors.torch.save(plain, dict(notes))


def _below(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {key.removeprefix(prefix): tensor for key, tensor in tensors.items() if key.startswith(prefix)}


def _plain(state: Mapping[str, Any]) -> dict[str, Any]:
    """What of a schedule's state changes from step to step; its milestones are no JSON, and do not."""
    return {name: item for name, item in state.items() if isinstance(item, int | float | list)}
