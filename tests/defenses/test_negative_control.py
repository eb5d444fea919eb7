"""Without BPDA the attack fails, with BPDA it succeeds, and on an identity defense BPDA changes nothing."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from advbench import Placement, Threat, evaluate, identity
from advbench.attacks import PGD
from advbench.backward import Map
from advbench.checkpoint.load import load_checkpoint
from advbench.data.load import load_dataset
from advbench.data.sources import Place
from advbench.defenses import (
    JPEG,
    Argmax,
    Binarize,
    BitDepth,
    Halftone,
    ReverseSigmoid,
    Round,
    Thermometer,
    ThermometerStem,
    WebP,
)
from advbench.models.load import build_network, bundled_weights
from advbench.spec import Spec

CONTROLS: dict[str, tuple[Any, str, float]] = {
    "round": (Round(), "input", 0.15),
    "bit-depth": (BitDepth(), "input", 0.15),
    "binarize": (Binarize(), "input", 0.3),
    "thermometer": (Thermometer(), "input", 0.15),
    "halftone": (Halftone(levels=4), "input", 0.15),
    "jpeg": (JPEG(), "input", 0.15),
    "jpeg of 25": (JPEG(quality=25), "input", 0.15),
    "webp": (WebP(), "input", 0.15),
    "round inside": (Round(step=0.25), "layer2", 0.15),
    "round on logits": (Round(step=1.0), "logits", 0.15),
    "reverse-sigmoid": (ReverseSigmoid(), "logits", 0.15),
    "argmax": (Argmax(), "logits", 0.15),
}
"""A defense, its place, and a radius at which the network would fall without it."""


@pytest.mark.parametrize("name", CONTROLS)
def test_without_bpda_the_attack_fails_and_with_it_succeeds(name: str) -> None:
    defense, place, eps = CONTROLS[name]
    best_known = own(defense, defense.substitutes[0])
    row = attacked(bundled_network(), {name: Placement(defense, place, best_known)}, eps)[name]
    assert row["clean"] > 0.8
    assert row["shattered"] > 0.7
    assert row["bpda"] < 0.25


def test_on_an_identity_defense_bpda_changes_nothing() -> None:
    rows = attacked(bundled_network(), {"identity": Placement(identity)}, 0.15)
    assert rows["identity"]["bpda"] == rows["identity"]["shattered"] == rows["none"]["shattered"]


def test_jpeg_of_low_quality_falls_to_its_soft_version_and_not_to_the_identity() -> None:
    """What made a substitute of its own worth having: ART's users report the same."""
    g = JPEG(quality=10)
    rows = attacked(
        bundled_network(), {each: Placement(g, "input", own(g, each)) for each in ("identity", "soft")}, 0.1
    )
    assert rows["soft"]["bpda"] < rows["identity"]["bpda"] - 0.1


def test_a_network_behind_thermometer_channels_falls_most_to_soft_channels() -> None:
    """The ramps of Athalye et al. have no gradient in dark pixels, of which digits have many."""
    network, g = bundled_network(), Thermometer(decode=False)
    block = network.get_submodule("layer1")
    assert isinstance(block, nn.Sequential)
    assert isinstance(block[0], nn.Conv2d)
    block[0] = ThermometerStem(block[0])
    rows = attacked(network, {each: Placement(g, "input", own(g, each)) for each in g.substitutes}, 0.15)
    assert rows["soft"]["clean"] > 0.9
    assert rows["soft"]["shattered"] > 0.9
    assert rows["soft"]["bpda"] < 0.25
    assert rows["soft"]["bpda"] < rows["ramp"]["bpda"] < rows["ramp"]["shattered"]


def attacked(network: nn.Module, defenses: dict[str, Placement], eps: float) -> dict[str, dict[str, float]]:
    """Accuracy on each rung behind each defense, under PGD from the images themselves."""
    digits = load_dataset("digits", Place(root=Path(), split="test"))
    found = evaluate(
        network,
        digits,
        threat=Threat("linf", eps),
        attacks={"pgd": PGD(steps=20, random_start=False)},
        defenses=defenses,
        indices=range(64),
    )
    return {row.defense: {rung: rate.accuracy for rung, rate in row.rates.items()} for row in found.rows}


def own(defense: Any, substitute: str) -> Map:
    method: Callable[[Tensor], Tensor] = (
        identity if substitute == "identity" else getattr(defense, substitute)
    )
    return method


def bundled_network() -> nn.Module:
    spec = Spec("digits-cnn")
    path = bundled_weights(spec)
    assert path is not None
    return load_checkpoint(path, lambda: build_network(spec, 10), spec, torch.device("cpu")).network
