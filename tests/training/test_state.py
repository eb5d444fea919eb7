"""A training's state comes back as it was written, and nothing else is taken for one."""

from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest
import safetensors
import torch
from torch import nn

from advbench.errors import CheckpointError
from advbench.training.loop import train
from advbench.training.recipe import Precision, Recipe
from advbench.training.state import Sums, TrainingState, begin, read_state, write_state, write_weights
from tests.training.small_trainings import CPU, RECIPES, fresh, images


@pytest.mark.parametrize("damage", ["cut", "other", "empty"])
def test_a_damaged_state_is_a_clear_error(damage: str, tmp_path: Path) -> None:
    path = tmp_path / "state.safetensors"
    write_state(fresh(RECIPES["plain"]), path)
    contents = path.read_bytes()
    if damage == "cut":
        path.write_bytes(contents[: len(contents) // 2])
    elif damage == "empty":
        path.write_bytes(b"")
    else:
        write_weights(nn.Linear(2, 2), path, {})
    with pytest.raises(CheckpointError, match="is damaged, or the state of another training"):
        read_state(fresh(RECIPES["plain"]), path)


def test_tied_weights_are_written(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    model[1].weight = model[0].weight
    write_weights(model, path := tmp_path / "weights.safetensors", {"seed": "0"})
    with safetensors.safe_open(path, "pt") as file:
        assert torch.equal(file.get_tensor("0.weight"), file.get_tensor("1.weight"))


def trained_for(epochs: int) -> TrainingState:
    training = fresh(RECIPES["cosine"])
    train(training, images(), replace(RECIPES["cosine"], epochs=epochs), CPU)
    return training


def test_what_was_written_comes_back_to_the_bit(tmp_path: Path) -> None:
    training = trained_for(2)
    training.step, training.sums = 3, Sums(images=48, loss=0.1 + 0.2, correct=7, seconds=1.5)
    write_state(training, tmp_path / "state.safetensors")
    again = fresh(RECIPES["cosine"])
    read_state(again, tmp_path / "state.safetensors")
    assert (again.epoch, again.step, again.best, again.sums) == (2, 3, training.best, training.sums)
    assert repr(again.history) == repr(training.history), "NaN is NaN again"
    for one, other in zip(
        again.model.state_dict().values(), training.model.state_dict().values(), strict=True
    ):
        assert torch.equal(one, other)
    mine, theirs = (each.optimizer.state_dict() for each in (again, training))
    assert mine["param_groups"] == theirs["param_groups"]
    for number, entries in theirs["state"].items():
        assert torch.equal(mine["state"][number]["momentum_buffer"], entries["momentum_buffer"])
    assert again.schedule.get_last_lr() == training.schedule.get_last_lr()


def test_weights_are_what_a_checkpoint_is_read_from_and_say_where_they_come_from(tmp_path: Path) -> None:
    network = nn.Linear(3, 2)
    write_weights(network, path := tmp_path / "weights.safetensors", {"seed": "7"})
    with safetensors.safe_open(path, "pt") as file:
        assert file.metadata() == {"seed": "7"}
        assert torch.equal(file.get_tensor("weight"), network.weight)


@pytest.mark.parametrize(
    ("epochs", "rates"),
    [(1, [0.1]), (2, [0.1, 0.01]), (3, [0.1, 0.1, 0.01]), (4, [0.1, 0.1, 0.01, 0.001])],
)
def test_steps_of_the_rate_come_after_half_and_three_quarters_rounded_up(
    epochs: int, rates: list[float]
) -> None:
    training = begin(nn.Linear(2, 2), Recipe(epochs=epochs, lr=0.1), CPU)
    found = []
    for _ in range(epochs):
        found.append(training.schedule.get_last_lr()[0])
        training.optimizer.step()
        training.schedule.step()
    assert found == pytest.approx(rates)


def test_frozen_parameters_are_not_trained_and_only_float16_is_scaled() -> None:
    model = nn.Sequential(nn.Linear(2, 2).requires_grad_(False), nn.Linear(2, 2))
    training = begin(model, Recipe(lr=0.2, momentum=0.5, weight_decay=0.25), CPU)
    (group,) = training.optimizer.param_groups
    assert [id(each) for each in group["params"]] == [id(each) for each in model[1].parameters()]
    assert (group["lr"], group["momentum"], group["weight_decay"]) == (0.2, 0.5, 0.25)
    scaled = {
        each: begin(model, Recipe(precision=each), CPU).scaler.is_enabled() for each in get_args(Precision)
    }
    assert scaled == {"float32": False, "bfloat16": False, "float16": True}
