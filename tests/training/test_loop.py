"""The training loop: a function of its recipe, its images and where it stands, however often stopped."""

import copy
import dataclasses
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from advbench import APART
from advbench.draws.draws import Draws
from advbench.errors import CheckpointError, ModelError, SpecError
from advbench.training.augment import augmented
from advbench.training.feed import TrainingImages, batches_of_epoch, plan_of_epoch
from advbench.training.folder import metrics
from advbench.training.loop import StepDone, train
from advbench.training.processes import Share
from advbench.training.recipe import Perturbation, Recipe, check_shares
from advbench.training.state import TrainingState, begin, read_state, write_state, write_weights
from advbench.training.tensorboard import epoch_writer
from tests.small import Network

CPU = torch.device("cpu")
APART_SETTINGS = Perturbation(groups=4, ratio=0.5)
RECIPES = {
    "plain": Recipe(epochs=4, batch_size=16, lr=0.05),
    "apart": Recipe(epochs=4, batch_size=16, lr=0.05, drop_last=True, apart=APART_SETTINGS),
    "cosine": Recipe(epochs=4, batch_size=16, lr=0.05, schedule="cosine", augment="crop-flip"),
    "bfloat16": Recipe(
        epochs=2, batch_size=16, lr=0.05, precision="bfloat16", drop_last=True, apart=APART_SETTINGS
    ),
    "float16": Recipe(epochs=2, batch_size=16, lr=0.05, precision="float16"),
}


def images() -> TrainingImages:
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(60, 1, 4, 4, generator=generator)
    y = (x.mean((1, 2, 3)) * 3).long().clamp(0, 2)
    return TrainingImages(images=TensorDataset(x, y), indices=range(50), held_out=range(50, 60))


def fresh(recipe: Recipe) -> TrainingState:
    torch.manual_seed(1)
    return begin(Network().train(), recipe, CPU)


def trained(recipe: Recipe, **options: Any) -> TrainingState:
    training = fresh(recipe)
    train(training, images(), recipe, CPU, **options)
    return training


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


@pytest.mark.parametrize("drop_last", [False, True])
def test_an_epoch_has_every_image_once_in_an_order_of_its_own(drop_last: bool) -> None:
    recipe = Recipe(batch_size=16, drop_last=drop_last)
    plans = [plan_of_epoch(range(7, 57), recipe, epoch) for epoch in (0, 0, 1)]
    assert plans[0] == plans[1] != plans[2]
    seen = sorted(each for batch in plans[0] for each in batch)
    assert len(set(seen)) == len(seen) == (48 if drop_last else 50)
    assert set(seen) <= set(range(7, 57))


def test_plain_and_apart_see_the_same_batches_and_processes_share_both_passes() -> None:
    plain = Recipe(batch_size=16, drop_last=True, augment="crop")
    apart = dataclasses.replace(plain, apart=Perturbation(groups=2, ratio=0.5))
    whole = list(batches_of_epoch(images(), plain, 0, 0, Share()))
    shares = [list(batches_of_epoch(images(), apart, 0, 0, Share(rank, 2))) for rank in range(2)]
    for batch, *parts in zip(whole, *shares, strict=True):
        first = torch.cat([part.indices[:4] for part in parts])
        assert torch.equal(first, batch.indices[:8])
        both = {int(index): x for part in parts for index, x in zip(part.indices, part.x, strict=True)}
        for index, x in zip(batch.indices, batch.x, strict=True):
            assert torch.equal(both[int(index)], x)


def test_other_processes_read_the_same_batches() -> None:
    recipe = Recipe(batch_size=16, augment="crop-flip")
    alone = list(batches_of_epoch(images(), recipe, 2, 1, Share()))
    helped = list(batches_of_epoch(dataclasses.replace(images(), workers=1), recipe, 2, 1, Share()))
    assert len(alone) == 3
    for one, other in zip(alone, helped, strict=True):
        assert all(torch.equal(first, second) for first, second in zip(one, other, strict=True))


def test_crops_are_windows_of_the_padded_image_and_half_are_mirrored() -> None:
    x = torch.rand(400, 1, 16, 16, generator=torch.Generator().manual_seed(0)) * 0.9 + 0.1
    draws = Draws(0, torch.arange(400))
    views = augmented(x, draws, "crop-flip")
    padded = F.pad(x, (2, 2, 2, 2))
    windows = [padded[:, :, top : top + 16, left : left + 16] for top in range(5) for left in range(5)]
    windows += [each.flip(3) for each in windows]
    match = torch.stack([(each == views).flatten(1).all(1) for each in windows])
    assert bool((match.sum(0) == 1).all())
    counts = match.sum(1)
    assert int(counts.min()) > 0
    assert 150 < int(counts[25:].sum()) < 250
    assert torch.equal(augmented(x[7:9], Draws(0, torch.arange(7, 9)), "crop-flip"), views[7:9])
    assert augmented(x, draws, "none") is x
    assert not any(
        torch.equal(each, view) for each, view in zip(x.flip(3), augmented(x, draws, "crop"), strict=True)
    )


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
    write_weights(model, tmp_path / "weights.safetensors", {"seed": "0"})


def test_metrics_leave_empty_what_there_is_not() -> None:
    header, first, *_ = metrics(trained(RECIPES["plain"]).history).splitlines()
    values = dict(zip(header.split(","), first.split(","), strict=True))
    assert values["epoch"] == "1"
    assert values["adver_loss"] == ""
    assert float(values["held_out"]) <= 1
    assert json.loads(values["loss"]) > 0


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"epochs": 0}, "--epochs must be at least 1, got 0"),
        ({"batch_size": 1}, "--batch-size must be at least 2, got 1"),
        ({"lr": 0.0}, "--lr must be positive, got 0"),
        ({"momentum": 1.0}, r"--momentum must lie in \[0, 1\), got 1"),
        ({"weight_decay": -1.0}, "--weight-decay must be 0 or more, got -1"),
        ({"schedule": "cosin"}, "no schedule 'cosin'. Did you mean 'cosine'"),
        ({"augment": "flip"}, "no augment 'flip'"),
        ({"precision": "fp16"}, "no precision 'fp16'"),
    ],
)
def test_a_recipe_says_what_is_wrong_with_it(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(SpecError, match=said):
        Recipe(**settings)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"epsilon": -0.1}, "--epsilon must be 0 or more, got -0.1"),
        ({"groups": -1}, "--groups must be 0 or more, got -1"),
        ({"ratio": 0.0}, r"--ratio must lie in \(0, 1\], got 0"),
        ({"ratio": 1.5}, r"--ratio must lie in \(0, 1\], got 1.5"),
    ],
)
def test_a_perturbation_says_what_is_wrong_with_it(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(SpecError, match=said):
        Perturbation(**settings)


@pytest.mark.parametrize(
    ("recipe", "processes", "said"),
    [
        (Recipe(batch_size=60, drop_last=True), 1, "--batch-size 60 is more than the 50 training images"),
        (Recipe(batch_size=15), 2, "2 processes cannot share --batch-size = 15 equally"),
        (Recipe(batch_size=16, apart=Perturbation(ratio=0.3, groups=0)), 2, "--ratio = 5 equally"),
        (Recipe(batch_size=24, apart=Perturbation()), 1, "--groups 16 does not divide the 24 images"),
        (Recipe(batch_size=32, apart=Perturbation(groups=32)), 2, "the 16 images of the second pass in each"),
    ],
)
def test_batches_that_cannot_be_shared_are_refused(recipe: Recipe, processes: int, said: str) -> None:
    with pytest.raises(SpecError, match=said):
        check_shares(recipe, processes, 50)


def test_equal_shares_are_accepted() -> None:
    accepted: Sequence[tuple[Recipe, int]] = [
        (Recipe(batch_size=16), 1),
        (Recipe(batch_size=32, apart=Perturbation(groups=8)), 4),
        (Recipe(batch_size=15, apart=Perturbation(groups=0, ratio=0.1)), 1),
    ]
    for recipe, processes in accepted:
        check_shares(recipe, processes, 50)


def test_epochs_go_to_tensorboard_where_it_is_installed(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="the extra 'tensorboard' is not installed")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator  # noqa: PLC0415

    history = trained(RECIPES["apart"]).history
    for done, records in ((0, history[:3]), (2, history[2:])):  # the third epoch is done again
        write = epoch_writer(tmp_path, done)
        assert write is not None
        for record in records:
            write(record)
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    assert [each.step for each in events.Scalars("loss")] == [1, 2, 3, 4]
    assert [each.value for each in events.Scalars("adver_loss")] == pytest.approx(
        [each.adver_loss for each in history]
    )


def test_without_tensorboard_nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert epoch_writer(tmp_path, 0) is None
    assert not list(tmp_path.iterdir())
