"""The training loop: a function of its recipe, its images and where it stands, however often stopped."""

import copy
import dataclasses
import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from advbench import APART
from advbench.errors import ModelError
from advbench.training.feed import batches_of_epoch
from advbench.training.loop import StepDone, train
from advbench.training.processes import Share
from advbench.training.recipe import Perturbation, Recipe
from advbench.training.state import TrainingState, begin, read_state, write_state
from tests.training.small_trainings import CPU, RECIPES, fresh, images, trained


def weights_of(training: TrainingState) -> list[Tensor]:
    return list(training.model.state_dict().values())


def assert_equal(one: TrainingState, other: TrainingState) -> None:
    for first, second in zip(weights_of(one), weights_of(other), strict=True):
        assert torch.equal(first, second)
    clocked = ("seconds",)
    for record, again in zip(one.history, other.history, strict=True):
        for name, value in dataclasses.asdict(record).items():
            if name not in clocked:
                assert value == getattr(again, name) or math.isnan(value), name


@pytest.mark.parametrize("name", RECIPES)
def test_training_learns(name: str) -> None:
    history = trained(RECIPES[name]).history
    assert history[-1].loss < history[0].loss
    assert len(history) == RECIPES[name].epochs


@pytest.mark.parametrize("name", RECIPES)
def test_a_training_that_stops_after_every_step_ends_in_the_same_weights(name: str, tmp_path: Path) -> None:
    recipe = RECIPES[name]
    whole = trained(recipe)
    state = tmp_path / "state.safetensors"
    stops = 0
    while True:
        training = fresh(recipe)
        if state.exists():
            read_state(training, state)
        try:
            train(
                training,
                images(),
                recipe,
                CPU,
                keep=lambda kept: write_state(kept, state),
                asked=lambda: True,
            )
            break
        except KeyboardInterrupt:
            stops += 1
    assert stops > 2 * recipe.epochs
    assert_equal(training, whole)


def test_global_generators_are_left_alone() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    training = fresh(RECIPES["apart"])
    torch.set_rng_state(before)
    train(training, images(), RECIPES["apart"], CPU)
    assert torch.equal(torch.get_rng_state(), before)


def test_a_step_of_the_loop_is_the_four_lines_of_apart() -> None:
    recipe = Recipe(epochs=1, batch_size=20, drop_last=True, apart=Perturbation(groups=2, ratio=0.5))
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 3))
    twin = copy.deepcopy(model)
    data = dataclasses.replace(images(), indices=range(20))
    train(begin(model, recipe, CPU), data, recipe, CPU)
    (batch,) = batches_of_epoch(data, recipe, 0, 0, Share())
    apart, r = APART(twin, 0.1, 2), 20 / 30
    optimizer = torch.optim.SGD(twin.parameters(), 0.1, momentum=0.9, weight_decay=5e-4)
    with apart.to_proxy():
        torch.autograd.backward(r * F.cross_entropy(twin(batch.x), batch.y))
    with apart.to_adver():
        torch.autograd.backward((1 - r) * F.cross_entropy(twin(batch.x[:10]), batch.y[:10]))
    optimizer.step()
    for one, other in zip(model.state_dict().values(), twin.state_dict().values(), strict=True):
        assert torch.equal(one, other)


def test_the_learning_rate_follows_its_schedule() -> None:
    step = [each.lr for each in trained(Recipe(epochs=8, batch_size=50, lr=0.1)).history]
    assert step == pytest.approx([0.1] * 4 + [0.01] * 2 + [0.001] * 2)
    cosine = trained(Recipe(epochs=8, batch_size=50, lr=0.1, schedule="cosine")).history
    expected = [0.05 * (1 + math.cos(math.pi * epoch / 8)) for epoch in range(8)]
    assert [each.lr for each in cosine] == pytest.approx(expected)


def test_the_best_epoch_is_that_of_the_held_out_images() -> None:
    training = trained(RECIPES["plain"])
    best = training.history[training.best - 1].held_out
    assert best == max(each.held_out for each in training.history)
    none = fresh(RECIPES["plain"])
    train(none, dataclasses.replace(images(), held_out=()), RECIPES["plain"], CPU)
    assert none.best == 0
    assert math.isnan(none.history[0].held_out)


def test_progress_counts_steps() -> None:
    seen: list[StepDone] = []
    trained(RECIPES["plain"], notify=seen.append)
    assert [(each.epoch, each.step, each.steps) for each in seen] == [
        (epoch, step, 4) for epoch in range(1, 5) for step in range(1, 5)
    ]


def test_a_loss_that_is_not_finite_ends_the_training() -> None:
    with pytest.raises(ModelError, match="the training diverged"):
        trained(Recipe(epochs=50, batch_size=16, lr=1e18))


def test_a_last_batch_of_one_image_is_refused_where_batch_norm_cannot_take_it() -> None:
    recipe, data = Recipe(epochs=1, batch_size=16), dataclasses.replace(images(), indices=range(17))
    vectors = nn.Sequential(nn.Flatten(), nn.Linear(16, 4), nn.BatchNorm1d(4), nn.Linear(4, 3))
    with pytest.raises(ModelError, match=r"last batch is a single image.*another --batch-size"):
        train(begin(vectors, recipe, CPU), data, recipe, CPU)
    pixels = fresh(recipe)
    train(pixels, data, recipe, CPU)
    assert pixels.epoch == 1, "an image has pixels enough"


def test_other_errors_of_a_model_are_told_as_they_are() -> None:
    recipe, data = Recipe(epochs=1, batch_size=16), dataclasses.replace(images(), indices=range(17))

    class Picky(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            raise ValueError("more than 1 value per channel, said the model")

    with pytest.raises(ValueError, match="said the model"):
        train(begin(Picky(2, 2), recipe, CPU), data, recipe, CPU)
