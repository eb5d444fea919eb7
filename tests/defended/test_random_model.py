"""Models that draw random numbers themselves: draws that belong to images, whatever the batch."""

import random
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from advbench import DefendedModel, Draws, Hooks, Judge, Placement, RandomModel, Threat, evaluate
from advbench.attacks import PGD
from advbench.defended.gradient import loss_and_gradient
from advbench.defended.model import network_of
from advbench.defenses import BitDepth
from advbench.draws.sampling import Sampling
from advbench.evaluation.ladder import Evaluation
from advbench.evaluation.random_networks import ALONE, STILL
from tests.defended.test_doubts import doubts
from tests.draws.test_sampling import Noise
from tests.small import images


class Base(nn.Module):
    """A small network with a place inside it."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.features = nn.Sequential(nn.Flatten(), nn.Linear(16, 12), nn.ReLU())
        self.head = nn.Linear(12, 3)
        self.sizes: list[int] = []

    def forward(self, x: Tensor) -> Tensor:
        self.sizes.append(len(x))
        logits: Tensor = self.head(self.features(x))
        return logits


class Dropping(Base):
    """Dropout that stays on in evaluation mode."""

    def forward(self, x: Tensor) -> Tensor:
        self.sizes.append(len(x))
        logits: Tensor = self.head(F.dropout(self.features(x), 0.5, training=True))
        return logits


class FromAll(Base):
    """Draws from torch, NumPy and Python."""

    def forward(self, x: Tensor) -> Tensor:
        noise = torch.randn(x.shape) * 0.1 + float(np.random.randn()) * 0.1  # noqa: NPY002
        return random.choice([1.0, 2.0]) * super().forward(x + noise)


class Taking(Base):
    """Takes its draws, and so batches."""

    def forward(self, x: Tensor, draws: Draws | None = None) -> Tensor:
        if draws is not None:
            x = x + 0.2 * draws.normal(tuple(x.shape[1:]))
        return super().forward(x)


KINDS = [Dropping, FromAll, Taking]


def behind(model: nn.Module, name: str = "a", count: int = 4, **changes: Any) -> DefendedModel:
    made = DefendedModel(model.eval(), changes.pop("chain", ()), sampling=Sampling(0, name, count), **changes)
    return made.requires_grad_(False)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("chain", [(), (Placement(Noise(0.1)),), (Placement(Noise(0.1), "features"),)])
def test_an_images_draws_depend_on_neither_batch_nor_order(
    kind: type[Base], chain: tuple[Placement, ...]
) -> None:
    x = images(11)
    whole = behind(RandomModel(kind()), chain=chain, lanes=8).sampled(x)
    parts = [behind(RandomModel(kind()), chain=chain).sampled(part) for part in torch.split(x, [1, 3, 7])]
    torch.testing.assert_close(torch.cat(parts, 1), whole)
    flipped = behind(RandomModel(kind()), chain=chain, at_once=4).sampled(x.flip(0)).flip(1)
    torch.testing.assert_close(flipped, whole)


@pytest.mark.parametrize("kind", KINDS)
def test_draws_differ_from_one_another_and_from_those_of_others(kind: type[Base]) -> None:
    x, model = images(5), RandomModel(kind())
    mine, theirs = behind(model, "attack").sampled(x), behind(model, "judge").sampled(x)
    every = list(torch.cat([mine, theirs]))
    assert not any(torch.equal(one, other) for place, one in enumerate(every) for other in every[place + 1 :])
    torch.testing.assert_close(behind(model, "judge").sampled(x), theirs, rtol=0, atol=0)


def test_one_fixed_seed_draws_the_same_for_all_images() -> None:
    model = behind(RandomModel(Dropping()))
    model.sampling = Sampling(0, "fixed", fixed=True)
    x = images(1).expand(6, -1, -1, -1) * torch.linspace(0.5, 1.0, 6).view(-1, 1, 1, 1)
    hidden = F.linear(x.flatten(1), model.model.network.features[1].weight)  # type: ignore[union-attr,index]
    assert len(hidden) == 6
    kept: list[Tensor] = []
    head = network_of(model).head
    assert isinstance(head, nn.Module)
    handle = head.register_forward_pre_hook(lambda _, given: kept.append(given[0] == 0))
    model(x)
    handle.remove()
    base = network_of(model).features(x) == 0  # type: ignore[operator]
    dropped = [zeros & ~own for zeros, own in zip(torch.cat(kept), base, strict=True)]
    both = ~base.any(0)
    assert both.any()
    assert all(torch.equal(one[both], dropped[0][both]) for one in dropped)


@pytest.mark.parametrize("kind", KINDS)
def test_the_callers_generators_are_left_as_they_were(kind: type[Base]) -> None:
    model, x = behind(RandomModel(kind())), images(4)
    torch.manual_seed(3)
    np.random.seed(3)  # noqa: NPY002
    random.seed(3)
    before = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()  # type: ignore[index]  # noqa: NPY002
    model(x)
    loss_and_gradient(model, x, lambda logits, _: logits.sum(1))
    after = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()  # type: ignore[index]  # noqa: NPY002
    assert torch.equal(before[0], after[0])
    assert before[1:] == after[1:]


def test_a_network_that_takes_its_draws_sees_batches_and_any_other_one_image() -> None:
    for kind, sizes in ((Taking, {8}), (Dropping, {1})):
        network = kind()
        behind(RandomModel(network), lanes=8)(images(5))
        assert set(network.sizes) == sizes


def test_the_gradient_is_the_mean_over_the_draws_masks_and_all() -> None:
    """Of a linear network with dropout on its input, worked out from the masks that it drew."""

    class Linear(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.arange(1.0, 33.0).view(2, 16))
            self.masks: list[Tensor] = []

        def forward(self, x: Tensor) -> Tensor:
            mask = (torch.rand(len(x), 16) < 0.5).float()
            self.masks.append(mask)
            return (x.flatten(1) * mask) @ self.weight.T

    network, x = Linear(), images(3)
    found = loss_and_gradient(behind(RandomModel(network), count=5), x, lambda logits, _: logits.sum(1))
    masks = torch.cat(network.masks).view(5, 3, 16)
    wanted = masks.mean(0) * network.weight.detach().sum(0)
    torch.testing.assert_close(found.grad.flatten(1), wanted)


def test_outside_an_evaluation_the_draws_are_a_matter_of_the_pixels() -> None:
    model, x = RandomModel(Dropping()).eval(), images(6)
    with torch.no_grad():
        torch.testing.assert_close(model(x), model(x), rtol=0, atol=0)
        torch.testing.assert_close(model(x.flip(0)).flip(0), model(x))


def table(model: nn.Module, said: list[str] | None = None, **changes: Any) -> Evaluation:
    x = images(20)
    y = behind(model)(x).argmax(1)
    settings: dict[str, Any] = {
        "threat": Threat("linf", 0.1),
        "attacks": {"pgd": PGD(steps=2)},
        "rungs": (),
        "defenses": {"round": Placement(BitDepth(bits=6), "features")},
        "eot": 2,
        "judge_draws": 5,
        "batch_size": 16,
        "observer": Hooks(note=lambda note: None if said is None else said.append(note)),
    }
    return evaluate(model, TensorDataset(x, y), **{**settings, **changes})


@pytest.mark.parametrize("kind", KINDS)
def test_the_table_of_a_random_model_does_not_depend_on_the_batch(kind: type[Base]) -> None:
    whole, parts = table(RandomModel(kind())), table(RandomModel(kind()), batch_size=7)
    pd.testing.assert_frame_equal(whole.samples, parts.samples)
    assert not any("two passes" in told or "batch" in told for row in whole.rows for told in row.warnings)
    shares = whole.samples.query("rung == 'shattered' and defense == 'none'")["fooled_share"]
    assert ((shares > 0) & (shares < 1)).any(), "the judge draws it too"


def test_a_random_model_is_judged_by_any_rule_and_without_a_defense_too() -> None:
    rows = table(RandomModel(Dropping()), judge_draws=Judge("any:5", 5)).rows
    assert {row.judge for row in rows} == {"any:5"}
    assert all(row.rates["shattered"].over_draws is not None for row in rows)


def test_without_being_told_a_random_model_is_doubted_and_the_message_says_what_to_do() -> None:
    warnings = {warning for row in table(Dropping()).rows for warning in row.warnings}
    assert any("the model is random (--random-model gives it draws of its own" in told for told in warnings)


def test_what_draws_from_a_generator_of_its_own_is_told() -> None:
    own = torch.Generator().manual_seed(0)

    class Own(Base):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x + 0.3 * torch.randn(x.shape, generator=own))

    warnings = {warning for row in table(RandomModel(Own())).rows for warning in row.warnings}
    assert any(
        "the model draws from a generator that nobody can seed from outside" in told for told in warnings
    )
    (told,) = doubts(lambda x: x.flatten(1)[:, :4] + torch.rand(len(x), 4))
    assert "--random-model" in told


@pytest.mark.parametrize(
    ("model", "note"), [(Dropping(), ALONE), (Base(), STILL), (nn.Sequential(nn.Dropout(0.5), Base()), STILL)]
)
def test_what_a_random_model_costs_is_said_and_that_it_draws_nothing(model: nn.Module, note: str) -> None:
    said: list[str] = []
    table(RandomModel(model), said, defenses={})
    assert said.count(note) == 1
    other: list[str] = []
    table(RandomModel(Taking()), other, defenses={})
    assert note not in other


def test_without_expectation_a_random_model_is_named() -> None:
    warnings = table(RandomModel(Dropping()), eot=1).rows[0].warnings
    assert "the model is random, and was attacked without expectation over its draws (--eot 20)" in warnings
