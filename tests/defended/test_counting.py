"""What a run says it has shown to its model, against a model that counts for itself."""

import copy
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from advbench import Evaluation, Placement
from advbench.attacks import APGD, FAB, FMN, PGD, Square, autoattack, strongest
from advbench.defended.counting import CountedModel, Shown, Tally
from advbench.defended.model import DefendedModel
from advbench.defenses import Noise, Round
from advbench.results.shown import PURPOSES, read_shown
from advbench.threat.attack import Attack
from tests.small import Network, run


class Endpoint(nn.Module):
    """A model that counts the images it is shown, its copies included: what a server would see."""

    seen: ClassVar[list[int]] = []

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append(len(x))
        logits: Tensor = self.network(x)
        return logits


def shown_by(network: nn.Module, data: TensorDataset, **changes: Any) -> tuple[Evaluation, int]:
    """A run on few images, and what the endpoint has counted."""
    Endpoint.seen.clear()
    usual = {
        "indices": range(0, 50, 4),
        "batch_size": 8,
        "defenses": {"round": Round()},
        "substitute": "identity",
    }
    found = run(Endpoint(network), data, **{**usual, **changes})
    return found, sum(Endpoint.seen)


ATTACKS: dict[str, Attack] = {
    "pgd": PGD(steps=3, restarts=2),
    "pgd, all steps": PGD(steps=3, early_stop=False),
    "pgd, logit difference": PGD(steps=3, loss="logit-difference"),
    "pgd, targeted": PGD(steps=3, target="least-likely", random_start=False),
    "apgd": APGD(steps=5, restarts=2),
    "apgd, targeted": APGD(steps=4, loss="dlr", targets=2),
    "square": Square(queries=30),
    "fab": FAB(steps=4, targets=2, restarts=2),
    "fab, early stop": FAB(steps=4, early_stop=True),
    "fmn": FMN(steps=4, targets=2),
    "autoattack": autoattack(steps=3, queries=10),
    "strongest": strongest(steps=3, queries=20),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_a_run_counts_every_image_that_the_model_is_shown(
    name: str, network: Network, data: TensorDataset
) -> None:
    found, seen = shown_by(network, data, attacks={name: ATTACKS[name]})
    assert found.shown.keys() == PURPOSES.keys()
    assert sum(found.shown.values()) == seen
    assert found.shown["attack"] == found.samples["queries"].sum()
    assert found.shown["padding"] > 0
    assert found.shown["repeated"] == 0


LADDER = ("static", "shattered", "bpda", "gradient_free", "worst")

SETTINGS: dict[str, dict[str, Any]] = {
    "not fast": {"fast": False},
    "batch size auto": {"batch_size": "auto"},
    "bfloat16": {"precision": "bf16"},
    "a random defense": {"defenses": {"noise": Noise()}, "eot": 3, "judge_draws": 3},
    "a defense inside": {"defenses": {"inside": Placement(Round(), "network.features")}},
    "a ladder": {"rungs": LADDER, "gradient_free": {"square": Square(queries=9)}},
    "a search": {"substitute": "search", "calibration": 9},
    "an attack for the smallest perturbation": {"attacks": {"fab": FAB(steps=3)}},
    "a batch of one": {"batch_size": 1},
}


@pytest.mark.parametrize("name", SETTINGS)
def test_it_does_so_however_it_is_run(name: str, network: Network, data: TensorDataset) -> None:
    found, seen = shown_by(network, data, **SETTINGS[name])
    assert sum(found.shown.values()) == seen
    assert found.shown["attack"] == found.samples["queries"].sum()
    if name == "a ladder":
        assert found.shown["indicators"] > 0
    if name == "a search":
        assert found.shown["search"] > 0


@pytest.mark.parametrize("name", ATTACKS)
def test_an_images_queries_and_steps_are_those_it_takes_alone(
    name: str, network: Network, data: TensorDataset
) -> None:
    """Alone nothing fills a batch up: what the endpoint sees is what the image costs."""
    together, _ = shown_by(network, data, attacks={name: ATTACKS[name]}, rungs=(), defenses={})
    attacked = together.samples[together.samples["rung"] == "shattered"].set_index("index")
    for index in (12, 16, 20):
        alone, _ = shown_by(
            network, data, attacks={name: ATTACKS[name]}, rungs=(), defenses={}, indices=[index]
        )
        mine = alone.samples[alone.samples["rung"] == "shattered"].iloc[0]
        assert mine["queries"] == attacked.loc[index, "queries"]
        assert mine["steps"] == attacked.loc[index, "steps"]


class Full(nn.Module):
    """A network on a device whose memory holds few images: larger ones fail."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor:
        if len(x) > 8 and x.requires_grad:
            raise torch.OutOfMemoryError("out of memory")
        logits: Tensor = self.network(x)
        return logits


def test_batches_that_are_done_again_are_told_apart(network: Network, data: TensorDataset) -> None:
    found, seen = shown_by(Full(network), data, batch_size=32, fast=False)
    assert sum(found.shown.values()) == seen
    assert found.shown["repeated"] > 0
    assert found.shown["attack"] == found.samples["queries"].sum()


def test_what_fills_a_batch_up_is_padding() -> None:
    shown = Shown(purpose="judging")
    DefendedModel(CountedModel(nn.Flatten(), shown), (), lanes=8)(torch.zeros(11, 1, 2, 2))
    assert {name: count for name, count in shown.images.items() if count} == {"judging": 11, "padding": 5}


def test_a_copy_counts_with_the_model() -> None:
    model = CountedModel(nn.Flatten(), Shown())
    copy.deepcopy(model)(torch.zeros(3, 1, 2, 2))
    assert model.shown.images["probe"] == 3


def test_what_earlier_starts_have_left_untold_goes_into_the_next_part() -> None:
    tally = Tally()
    tally.go_on(read_shown({"attack": 9, "judging": 4}), read_shown({"attack": 7}))
    tally.shown.images["attack"] += 5
    assert tally.untold() == read_shown({"attack": 7, "judging": 4})
    assert tally.untold() == read_shown({})
