"""Negative controls: what hides its gradient falls to BPDA, and what has one falls to it, in expectation."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from torch import nn

from advbench import DefendedModel, Placement, Threat, evaluate, identity
from advbench.attacks import PGD
from advbench.data.images import LabelledImages
from advbench.data.load import load_dataset
from advbench.data.sources import Place
from advbench.defended.gradient import loss_and_gradient
from advbench.defended.substitutes import make_substitute
from advbench.defenses import (
    DEFENSES,
    JPEG,
    KWTA,
    Argmax,
    Binarize,
    BitDepth,
    CropEnsemble,
    DropoutActivations,
    Gaussian,
    Halftone,
    MeanSparse,
    Median,
    Noise,
    NonLocalMeans,
    Purify,
    QuantizeActivations,
    Quilt,
    ResizePad,
    ReverseSigmoid,
    Round,
    Thermometer,
    ThermometerStem,
    TVMin,
    WebP,
    channel_statistics,
    patch_bank,
)
from advbench.draws.sampling import Sampling
from advbench.models.checkpoint.load import load_checkpoint
from advbench.models.network import build_network, bundled_weights
from advbench.names.grammar import Spec
from advbench.threat.losses import margin


def digits(split: str) -> LabelledImages:
    return load_dataset("digits", Place(root=Path(), split=split))


@cache
def clean_patches() -> torch.Tensor:
    train = digits("train")
    return patch_bank(torch.stack([train[i][0] for i in range(len(train))]), size=3, count=2000)


@cache
def of_layer2() -> torch.Tensor:
    train = digits("train")
    x = torch.stack([train[i][0] for i in range(256)])
    return channel_statistics(bundled_network(), [x], ["layer2"])[0]


class Control(NamedTuple):
    """A defense before the digits model, at a radius at which that would fall without it."""

    entry: str
    """Its name in the registry."""
    make: Callable[[], Any]
    at: str = "input"
    eps: float = 0.15
    substitutes: tuple[str, ...] = ()
    """What stands in for it, one after the other; by default the best known."""
    clean: float = 0.8
    """More than this share of images is right behind it."""
    shattered: float = 0.7
    """More stand without BPDA; of a defense with a gradient, fewer."""
    bpda: float = 0.25
    """Fewer stand with it."""


HIDING: dict[str, Control] = {
    "round": Control("round", Round),
    "bit-depth": Control("bit-depth", BitDepth),
    "binarize": Control("binarize", Binarize, eps=0.3),
    "thermometer": Control("thermometer", Thermometer),
    "halftone": Control("halftone", lambda: Halftone(levels=4)),
    "jpeg": Control("jpeg", JPEG),
    "jpeg of 25": Control("jpeg", lambda: JPEG(quality=25)),
    "webp": Control("webp", WebP),
    "round inside": Control("round", lambda: Round(step=0.25), "layer2"),
    "round on logits": Control("round", lambda: Round(step=1.0), "logits"),
    "reverse-sigmoid": Control("reverse-sigmoid", ReverseSigmoid, "logits"),
    "argmax": Control("argmax", Argmax, "logits"),
    "quantize-activations": Control(
        "quantize-activations",
        lambda: QuantizeActivations(bits=2),
        "layer2",
        substitutes=("identity", "soft"),
        clean=0.9,
        shattered=0.9,
        bpda=0.1,
    ),
    "quilt": Control(
        "quilt",
        lambda: Quilt(bank=clean_patches(), overlap=1, neighbours=2),
        eps=0.3,
        substitutes=("identity", "smooth"),
        clean=0.9,
        shattered=0.9,
        bpda=0.2,
    ),
}
"""Without BPDA the attack fails, with it succeeds."""


def with_gradient(entry: str, make: Callable[[], Any], at: str, *substitutes: str) -> Control:
    return Control(entry, make, at, substitutes=substitutes, clean=0.65, shattered=0.3, bpda=0.3)


SHOWING: dict[str, Control] = {
    "median": with_gradient("median", lambda: Median(kernel=2), "input", "smooth"),
    "gaussian": with_gradient("gaussian", lambda: Gaussian(sigma=0.6), "input", "identity"),
    "nlm": with_gradient("nlm", lambda: NonLocalMeans(search=5, strength=0.2), "input", "identity"),
    "tv-min": with_gradient("tv-min", lambda: TVMin(drop=0.2, steps=20), "input", "identity"),
    "purify": Control(
        "purify",
        lambda: Purify(noise=0.1, steps=3),
        eps=0.3,
        substitutes=("exact",),
        clean=0.9,
        shattered=0.1,
        bpda=0.1,
    ),
    "resize-pad": with_gradient("resize-pad", ResizePad, "input", "exact"),
    "resize-pad back": with_gradient("resize-pad", lambda: ResizePad(keep=True), "input", "exact"),
    "crop-ensemble": with_gradient("crop-ensemble", lambda: CropEnsemble(size=0.875), "input", "exact"),
    "dropout-activations": with_gradient(
        "dropout-activations", lambda: DropoutActivations(share=0.3), "layer1", "identity"
    ),
    "k-wta": with_gradient("k-wta", lambda: KWTA(gamma=0.2), "layer2", "soft"),
    "meansparse": with_gradient(
        "meansparse", lambda: MeanSparse(statistics=of_layer2()), "layer2", "identity"
    ),
}
"""It has a gradient, and falls to it as it falls to what may stand in for it."""

IN_EXPECTATION: dict[str, tuple[Any, str]] = {
    "noise": (Noise(sigma=0.2), "input"),
    "resize-pad": (ResizePad(keep=True), "input"),
    "crop-ensemble": (CropEnsemble(size=0.75), "input"),
    "tv-min": (TVMin(steps=10), "input"),
    "dropout-activations": (DropoutActivations(share=0.2), "layer1"),
}
"""Random defenses with a gradient, and their places."""


def test_every_defense_of_the_registry_has_a_control() -> None:
    controls = [*HIDING.values(), *SHOWING.values()]
    made = {each.entry: type(each.make()) for each in controls}
    made.update({name: type(g) for name, (g, _) in IN_EXPECTATION.items()})
    others = {name: entry.load() for name, entry in DEFENSES.items() if not name.startswith("ensemble-")}
    assert made == others, "the ensembles' controls are in `test_ensemble.py`"


@pytest.mark.parametrize(
    ("name", "which"),
    [(name, which) for name, each in HIDING.items() for which in each.substitutes or ("",)],
)
def test_without_bpda_the_attack_fails_and_with_it_succeeds(name: str, which: str) -> None:
    control, g = HIDING[name], HIDING[name].make()
    row = attacked({name: placed(g, which or g.substitutes[0], control.at)}, eps=control.eps)[name]
    assert row["clean"] > control.clean
    assert row["shattered"] > control.shattered
    assert row["bpda"] < control.bpda


@pytest.mark.parametrize("name", SHOWING)
def test_what_has_a_gradient_falls_to_it_and_to_its_best_known_substitute(name: str) -> None:
    control, g = SHOWING[name], SHOWING[name].make()
    assert g.differentiable
    placement = placed(g, control.substitutes[0], control.at)
    row = attacked({name: placement}, eps=control.eps, steps=10)[name]
    assert row["clean"] > control.clean
    assert row["shattered"] < control.shattered
    assert row["bpda"] < control.bpda


def test_on_an_identity_defense_bpda_changes_nothing() -> None:
    rows = attacked({"identity": Placement(identity)})
    assert rows["identity"]["bpda"] == rows["identity"]["shattered"] == rows["none"]["shattered"]


def test_jpeg_of_low_quality_falls_to_its_soft_version_and_not_to_the_identity() -> None:
    """What made a substitute of its own worth having: ART's users report the same."""
    g = JPEG(quality=10)
    rows = attacked({each: placed(g, each) for each in ("identity", "soft")}, eps=0.1)
    assert rows["soft"]["bpda"] < rows["identity"]["bpda"] - 0.1


def test_a_network_behind_thermometer_channels_falls_most_to_soft_channels() -> None:
    """The ramps of Athalye et al. have no gradient in dark pixels, of which digits have many."""
    network, g = bundled_network(), Thermometer(decode=False)
    block = network.get_submodule("layer1")
    assert isinstance(block, nn.Sequential)
    assert isinstance(block[0], nn.Conv2d)
    block[0] = ThermometerStem(block[0])
    rows = attacked({each: placed(g, each) for each in g.substitutes}, network=network)
    assert rows["soft"]["clean"] > 0.9
    assert rows["soft"]["shattered"] > 0.9
    assert rows["soft"]["bpda"] < 0.25
    assert rows["soft"]["bpda"] < rows["ramp"]["bpda"] < rows["ramp"]["shattered"]


def test_an_attack_in_expectation_succeeds_where_one_draw_is_weak() -> None:
    g: Any = Noise(sigma=0.2)
    once, often = (attacked({"noise": Placement(g)}, eps=0.1, eot=eot)["noise"] for eot in (1, 10))
    assert once["clean"] > 0.85
    assert once["shattered"] > 0.45
    assert often["shattered"] < 0.4


@pytest.mark.parametrize("name", IN_EXPECTATION)
def test_more_draws_come_nearer_to_the_expected_gradient(name: str) -> None:
    defense, place = IN_EXPECTATION[name]
    test, network = digits("test"), bundled_network()
    x = torch.stack([test[i][0] for i in range(16)])
    y = torch.tensor([int(test[i][1]) for i in range(16)])

    def gradient(stream: str, count: int) -> torch.Tensor:
        model = DefendedModel(network, [Placement(defense, place)], sampling=Sampling(0, stream, count))
        return loss_and_gradient(model, x, lambda z, piece: margin(z, y[piece])).grad.flatten(1)

    expected = gradient("many", 60)
    one, eight = (torch.cosine_similarity(gradient("few", count), expected).mean().item() for count in (1, 8))
    assert eight > one + 0.1


def placed(defense: Any, substitute: str, at: str = "input") -> Placement:
    return Placement(defense, at, make_substitute(substitute, defense))


def attacked(
    defenses: dict[str, Placement],
    *,
    eps: float = 0.15,
    steps: int = 20,
    eot: int = 4,
    network: nn.Module | None = None,
) -> dict[str, dict[str, float]]:
    """Accuracy on each rung behind each defense, under PGD from the images themselves."""
    found = evaluate(
        network or bundled_network(),
        digits("test"),
        threat=Threat("linf", eps),
        attacks={"pgd": PGD(steps=steps, random_start=False)},
        defenses=defenses,
        indices=range(64),
        eot=eot,
        judge_draws=5,
        batch_size=64,
    )
    return {row.defense: {rung: rate.accuracy for rung, rate in row.rates.items()} for row in found.rows}


def bundled_network() -> nn.Module:
    spec = Spec("digits-cnn")
    path = bundled_weights(spec)
    assert path is not None
    return load_checkpoint(path, lambda: build_network(spec, 10), spec, torch.device("cpu")).network
