"""Negative controls: what hides its gradient falls to BPDA, and what has one falls to it, in expectation."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from advbench import DefendedModel, Placement, Threat, evaluate
from advbench.attacks import PGD
from advbench.data.images import LabelledImages
from advbench.data.load import load_dataset
from advbench.data.sources import Place
from advbench.defenses import (
    KWTA,
    CropEnsemble,
    DropoutActivations,
    Gaussian,
    Median,
    Noise,
    NonLocalMeans,
    QuantizeActivations,
    Quilt,
    ResizePad,
    TVMin,
    patch_bank,
)
from advbench.gradient import loss_and_gradient
from advbench.losses import margin
from advbench.randomness import Sampling
from advbench.records import Row
from tests.defenses.families import substitute
from tests.defenses.test_negative_control import bundled_network


@pytest.fixture(scope="module")
def network() -> nn.Module:
    return bundled_network()


def digits(split: str) -> LabelledImages:
    return load_dataset("digits", Place(root=Path(), split=split))


def clean_patches() -> torch.Tensor:
    train = digits("train")
    return patch_bank(torch.stack([train[i][0] for i in range(len(train))]), size=3, count=2000)


def attacked(
    network: nn.Module, placement: Placement, *, eps: float = 0.15, steps: int = 10, eot: int = 4
) -> Row:
    """The table's row of a defense before the digits model."""
    found = evaluate(
        network,
        digits("test"),
        threat=Threat("linf", eps),
        attacks={"pgd": PGD(steps=steps, random_start=False)},
        defenses={"defense": placement},
        indices=range(48),
        eot=eot,
        judge_draws=5,
        batch_size=48,
    )
    return found.rows[1]


@pytest.mark.parametrize("which", ["identity", "soft"])
def test_without_bpda_rounded_activations_stand_and_with_it_they_fall(which: str, network: nn.Module) -> None:
    g = QuantizeActivations(bits=2)
    row = attacked(network, Placement(g, "layer2", substitute=substitute(g, which)), steps=20)
    assert row.rates["clean"].accuracy > 0.9
    assert row.rates["shattered"].accuracy > 0.9
    assert row.rates["bpda"].accuracy < 0.1


@pytest.mark.parametrize("which", ["identity", "smooth"])
def test_without_bpda_quilted_images_stand_and_with_it_they_fall(which: str, network: nn.Module) -> None:
    g: Any = Quilt(bank=clean_patches(), overlap=1, neighbours=2)
    row = attacked(network, Placement(g, substitute=substitute(g, which)), eps=0.3)
    assert row.rates["clean"].accuracy > 0.9
    assert row.rates["shattered"].accuracy > 0.9
    assert row.rates["bpda"].accuracy < 0.2


@pytest.mark.parametrize(
    ("defense", "place", "which"),
    [
        (Median(kernel=2), "input", "smooth"),
        (Gaussian(sigma=0.6), "input", "identity"),
        (NonLocalMeans(search=5, strength=0.2), "input", "identity"),
        (TVMin(drop=0.2, steps=20), "input", "identity"),
        (ResizePad(), "input", "exact"),
        (ResizePad(keep=True), "input", "exact"),
        (CropEnsemble(size=0.875), "input", "exact"),
        (DropoutActivations(share=0.3), "layer1", "identity"),
        (KWTA(gamma=0.2), "layer2", "soft"),
    ],
    ids=lambda each: each if isinstance(each, str) else type(each).__name__,
)
def test_what_has_a_gradient_falls_to_it_and_to_its_best_known_substitute(
    defense: Any, place: str, which: str, network: nn.Module
) -> None:
    assert defense.differentiable
    row = attacked(network, Placement(defense, place, substitute=substitute(defense, which)))
    assert row.rates["clean"].accuracy > 0.65
    assert row.rates["shattered"].accuracy < 0.3
    assert row.rates["bpda"].accuracy < 0.3


def test_an_attack_in_expectation_succeeds_where_one_draw_is_weak(network: nn.Module) -> None:
    g: Any = Noise(sigma=0.2)
    once, often = (attacked(network, Placement(g), eps=0.1, eot=eot) for eot in (1, 10))
    assert once.rates["clean"].accuracy > 0.85
    assert once.rates["shattered"].accuracy > 0.45
    assert often.rates["shattered"].accuracy < 0.4


@pytest.mark.parametrize(
    "defense",
    [
        Noise(sigma=0.2),
        ResizePad(keep=True),
        CropEnsemble(size=0.75),
        TVMin(steps=10),
        DropoutActivations(share=0.2),
    ],
    ids=lambda each: type(each).__name__,
)
def test_more_draws_come_nearer_to_the_expected_gradient(defense: Any, network: nn.Module) -> None:
    place = "layer1" if isinstance(defense, DropoutActivations) else "input"
    test = digits("test")
    x = torch.stack([test[i][0] for i in range(16)])
    y = torch.tensor([int(test[i][1]) for i in range(16)])

    def gradient(name: str, count: int) -> torch.Tensor:
        model = DefendedModel(network, [Placement(defense, place)], sampling=Sampling(0, name, count))
        return loss_and_gradient(model, x, lambda z: margin(z, y)).grad.flatten(1)

    expected = gradient("many", 60)
    one, eight = (torch.cosine_similarity(gradient("few", count), expected).mean().item() for count in (1, 8))
    assert eight > one + 0.1
