"""Copies of a model that attacks differentiate: the same images fall, and only the model itself judges."""

import copy
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset
from torchvision.models import VisionTransformer

from advbench import DefendedModel, Placement, Threat, cli
from advbench.attacks import APGD, FAB, FMN, PGD, Square
from advbench.defended.normalized import Normalized
from advbench.defenses import Noise, Round
from advbench.models.network import build_network
from advbench.names.grammar import Spec
from advbench.speed import working_copy
from advbench.speed.working_copy import Copies, in_bfloat16
from advbench.threat.attack import Attack
from tests.small import Network, images, ready, run

ATTACKS: dict[str, Attack] = {
    "pgd": PGD(steps=5, restarts=2),
    "apgd": APGD(steps=10),
    "apgd-t": APGD(steps=6, loss="dlr", targets=2),
    "fab": FAB(steps=5),
    "fmn": FMN(steps=5),
    "square": Square(queries=30),
}


def copies(model: nn.Module, **settings: Any) -> tuple[nn.Module | None, nn.Module | None, list[str]]:
    said: list[str] = []
    working, rough = Copies(**settings).of(ready(model), images(), (), said.append)
    return working, rough, said


def test_a_copy_is_folded_and_the_model_is_left_as_it_was(network: Network) -> None:
    before = copy.deepcopy(network.state_dict())
    working, rough, said = copies(network)
    assert (rough, said) == (None, [])
    assert isinstance(working, Network)
    assert isinstance(working.features[1], nn.Identity)
    assert isinstance(network.features[1], nn.BatchNorm2d)
    for name, tensor in before.items():
        if name != "calls":
            assert torch.equal(network.state_dict()[name], tensor)
    torch.testing.assert_close(working(images()), network(images()))


def test_without_convolutions_there_is_no_copy() -> None:
    assert copies(nn.Sequential(nn.Flatten(), nn.Linear(16, 3))) == (None, None, [])
    assert copies(nn.Sequential(nn.Flatten(), nn.Linear(16, 3)), fast=False) == (None, None, [])


FOLDED, CHANNELS_LAST = "folded", "channels-last"

CHANGES: dict[str, set[str]] = {
    "digits-cnn": {FOLDED, CHANNELS_LAST},
    "lenet5": {CHANNELS_LAST},
    "resnet20": {FOLDED, CHANNELS_LAST},
    "resnet18": {FOLDED, CHANNELS_LAST},
    "mobilenet_v2": {FOLDED, CHANNELS_LAST},
}
"""What is done to the copies of networks that are measured, or are in use."""


def changes_of(model: nn.Module, shape: tuple[int, ...]) -> tuple[set[str], list[str]]:
    """What a copy of a network has, and what was said."""
    torch.manual_seed(0)
    for each in model.modules():
        if isinstance(each, nn.BatchNorm2d):  # statistics as after a training
            nn.init.normal_(each.get_buffer("running_mean"), std=0.1)
            nn.init.uniform_(each.get_buffer("running_var"), 0.5, 2.0)
    said: list[str] = []
    x = torch.rand(8, *shape)
    made = Copies().of(ready(model), x, (), said.append).working
    parts = [] if made is None else list(made.modules())
    weights = [each.weight for each in parts if isinstance(each, nn.Conv2d) and min(each.weight.shape) > 1]
    norms = [
        sum(isinstance(each, nn.BatchNorm2d) for each in one.modules()) for one in (model, made or model)
    ]
    found = {FOLDED} if norms[0] > norms[1] == 0 else set[str]()
    if weights and all(each.is_contiguous(memory_format=torch.channels_last) for each in weights):
        found.add(CHANNELS_LAST)
    return found, said


@pytest.mark.parametrize("name", ["digits-cnn", "lenet5", "resnet20"])
def test_networks_of_ours_have_every_change_that_fits(name: str) -> None:
    shape = {"digits-cnn": (1, 8, 8), "lenet5": (1, 28, 28), "resnet20": (3, 32, 32)}[name]
    assert changes_of(build_network(Spec(name, {}), 10), shape) == (CHANGES[name], [])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v2"])
def test_networks_of_torchvision_have_every_change_that_fits(name: str) -> None:
    assert changes_of(build_network(Spec(name, {}), 10), (3, 64, 64)) == (CHANGES[name], [])


@pytest.mark.slow
def test_a_transformer_has_its_patches_in_channels_last_memory() -> None:
    sides = {"image_size": 32, "patch_size": 16, "num_layers": 2, "num_heads": 2}
    network = VisionTransformer(**sides, hidden_dim=32, mlp_dim=64, num_classes=10)
    assert changes_of(network, (3, 32, 32)) == ({CHANNELS_LAST}, [])


class Skip(nn.Module):
    """Uses what its convolution says a second time, beside the norm."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(1, 1, 3, padding=1), nn.BatchNorm2d(1)
        self.norm.running_mean = torch.full((1,), 2.0)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        logits: Tensor = (self.norm(x) + x).flatten(1)
        return logits


def test_a_copy_that_does_not_agree_is_not_used() -> None:
    working, _, said = copies(Skip())
    assert working is not None  # in channels-last memory
    assert isinstance(working.norm, nn.BatchNorm2d)
    assert len(said) == 1
    why = "a copy of the model with BatchNorm folded gives other logits"
    assert said[0].startswith(f"attacks may take longer, and find the same: {why}")


class Reshaped(nn.Module):
    """Works for one order of memory only."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.conv(x).view(len(x), -1)
        return logits


def test_a_copy_that_fails_is_not_used() -> None:
    working, _, said = copies(Reshaped())
    assert working is None
    assert len(said) == 1
    assert "a copy of the model in channels-last memory fails (RuntimeError: view size" in said[0]
    assert said[0].endswith(", and is not used")


class Single(nn.Module):
    """Cannot be copied."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 3)
        self.file = (each for each in "abc")

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.conv(x).flatten(1)
        return logits


def test_a_model_that_cannot_be_copied_is_attacked_itself() -> None:
    working, rough, said = copies(Single(), precision="bf16")
    assert (working, rough) == (None, None)
    assert len(said) == 2
    assert "in channels-last memory fails (TypeError: cannot pickle" in said[0]
    assert said[-1].startswith("attacking in float32: the model in bfloat16 fails")


@pytest.mark.parametrize("name", ATTACKS)
def test_the_same_images_fall_with_the_copy_as_without(
    name: str, network: Network, data: TensorDataset
) -> None:
    defenses = {"round": Round(step=0.1), "inside": Placement(Round(), "features.0")}
    settings: dict[str, Any] = {"attacks": {name: ATTACKS[name]}, "defenses": defenses}
    fast, slow = (run(network, data, **settings, fast=each).samples for each in (True, False))
    pd.testing.assert_frame_equal(fast, slow, rtol=1e-3, atol=1e-4)


def test_the_judge_sees_the_model_itself(
    network: Network, data: TensorDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Astray(nn.Module):
        """Predicts a class of its own whatever it is shown."""

        def forward(self, x: Tensor) -> Tensor:
            return torch.zeros(len(x), 3).index_fill(1, torch.tensor([2]), 1.0) + 0.0 * x.sum()

    monkeypatch.setattr(working_copy, "working_copy", lambda *_: Astray())
    found = run(network, data, defenses={})
    honest = run(network, data, defenses={}, fast=False)
    clean, same = (each.samples.query("rung == 'clean'") for each in (found, honest))
    pd.testing.assert_frame_equal(clean, same)
    shattered = found.samples.query("rung == 'shattered'")
    assert shattered["robust"].sum() == clean["robust"].sum(), "what fools the copy alone is no success"


def test_a_batch_in_flight_may_be_larger_than_what_goes_through_the_network(
    network: Network, data: TensorDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    network.features.register_forward_pre_hook(lambda _module, inputs: sizes.append(len(inputs[0])))
    batches: list[int] = []
    monkeypatch.setattr("advbench.evaluation.faster_plan.probed_size", lambda *_: 8)
    settings: dict[str, Any] = {"attacks": ATTACKS, "defenses": {"round": Round(step=0.1)}}
    found = run(
        network,
        data,
        **settings,
        batch_size="auto",
        fast=False,
        keep=lambda done: batches.append(0 if done.x_adv is None else len(done.x_adv)),
    )
    assert max(sizes) == 8
    assert max(batches) > 8
    pd.testing.assert_frame_equal(found.samples, run(network, data, **settings, fast=False).samples)


def test_bfloat16_begins_behind_the_first_layer_and_ends_before_the_logits() -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3))
    model = ready(Normalized(network, [0.5], [0.25]))
    rough = in_bfloat16(model, images(), print)
    assert isinstance(rough, Normalized)
    made = rough.network
    assert isinstance(made, nn.Sequential)
    kinds: list[torch.dtype] = []
    for each in made:
        each.register_forward_pre_hook(lambda _module, inputs: kinds.append(inputs[0].dtype))
    logits = rough(images())
    assert kinds == [torch.float32, torch.bfloat16, torch.bfloat16, torch.bfloat16]
    assert logits.dtype == torch.float32
    torch.testing.assert_close(logits, model(images()), rtol=0.05, atol=0.02)
    assert {each.dtype for each in model.parameters()} == {torch.float32}


def test_what_fools_bfloat16_alone_is_attacked_again_in_float32(
    network: Network, data: TensorDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Fooled(nn.Module):
        """Says of every image that it has fallen at once."""

        def __init__(self, model: nn.Module) -> None:
            super().__init__()
            self.model = model

        def forward(self, x: Tensor) -> Tensor:
            logits: Tensor = self.model(x)
            return logits - 1000.0 * nn.functional.one_hot(logits.argmax(1), 3)

    settings: dict[str, Any] = {"attacks": {"pgd": PGD(steps=5)}, "defenses": {"round": Round(step=0.1)}}
    exact = run(network, data, **settings).samples
    monkeypatch.setattr(working_copy, "in_bfloat16", lambda model, *_: Fooled(model))
    rough = run(network, data, **settings, precision="bf16").samples
    pd.testing.assert_series_equal(rough["robust"], exact["robust"])
    attacked = exact["steps"] > 0
    assert (rough["steps"] > exact["steps"])[attacked].any(), "both attacks are counted"


@pytest.mark.parametrize("name", ["pgd", "apgd"])
def test_bfloat16_fells_the_same_images_but_for_a_few(
    name: str, network: Network, data: TensorDataset
) -> None:
    settings: dict[str, Any] = {"attacks": {name: ATTACKS[name]}, "defenses": {"round": Round(step=0.1)}}
    exact, rough = (run(network, data, **settings, precision=each).samples for each in ("fp32", "bf16"))
    assert (exact["robust"] != rough["robust"]).mean() <= 0.02
    assert (exact["loss"] != rough["loss"]).any(), "something was computed in bfloat16"


@pytest.mark.parametrize("defenses", [{}, {"noise": Placement(Noise(sigma=0.1))}])
def test_a_batch_that_falls_whole_in_bfloat16_is_done(defenses: dict[str, Placement]) -> None:
    """Nothing is left to be looked at in float32, and networks that reshape by hand take no empty batch."""

    class ByHand(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.features, self.head = nn.Conv2d(1, 4, 3, padding=1), nn.Linear(64, 3)

        def forward(self, x: Tensor) -> Tensor:
            logits: Tensor = self.head(self.features(x).relu().view(x.shape[0], -1))
            return logits

    model, x = ByHand().eval(), images(16)
    found = run(
        model,
        TensorDataset(x, model(x).argmax(1)),
        threat=Threat("linf", 0.9),
        defenses=defenses,
        rungs=(),
        eot=2,
        judge_draws=3,
        precision="bf16",
    )
    assert [row.rates["shattered"].count for row in found.rows] == [0] * (1 + len(defenses))


def test_attacks_that_compare_scores_stay_in_float32(network: Network, data: TensorDataset) -> None:
    settings: dict[str, Any] = {"attacks": {"square": ATTACKS["square"]}, "defenses": {}}
    exact, rough = (run(network, data, **settings, precision=each).samples for each in ("fp32", "bf16"))
    pd.testing.assert_frame_equal(exact, rough)


@pytest.mark.parametrize(
    ("multiplies", "seconds", "used"), [(True, 0.5, True), (True, 0.9, False), (False, 0.5, False)]
)
def test_auto_computes_in_bfloat16_where_the_device_gains(
    multiplies: bool, seconds: float, used: bool, network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    def time_of(model: nn.Module, _x: Tensor) -> float:
        return seconds if next(iter(reversed(list(model.parameters())))).dtype == torch.bfloat16 else 1.0

    monkeypatch.setattr(working_copy, "multiplies_bfloat16", lambda _: multiplies)
    monkeypatch.setattr(working_copy, "seconds_a_gradient", time_of)
    assert (copies(network, precision="auto")[1] is not None) == used


def test_the_command_attacks_in_bfloat16_and_its_rows_say_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    said: dict[str, tuple[str, float]] = {}
    for words in ("--precision bf16", "--no-fast", "--compile"):
        assert (
            cli.main(["attack", "--first", "60", "--json", "--out", "run", "--overwrite", *words.split()])
            == 0
        )
        printed = capsys.readouterr()
        row = json.loads(printed.out)[0]
        said[words] = row["precision"], row["shattered_accuracy"]
    assert said["--precision bf16"][0] == "bfloat16, judged in float32"
    assert said["--no-fast"][0] == said["--compile"][0] == "float32"
    assert said["--no-fast"][1] == said["--compile"][1]
    assert abs(said["--precision bf16"][1] - said["--no-fast"][1]) <= 1 / 60
    assert "not compiled: that takes a minute, and the attacks about" in printed.err


def test_a_defense_inside_a_network_in_bfloat16_computes_in_float32(network: Network) -> None:
    seen: list[torch.dtype] = []

    def noted(z: Tensor) -> Tensor:
        seen.append(z.dtype)
        return z * 1.0

    rough = in_bfloat16(ready(network), images(), print)
    assert rough is not None
    logits = DefendedModel(rough, [Placement(noted, "features")])(images())
    assert (seen, logits.dtype) == ([torch.float32], torch.float32)
    torch.testing.assert_close(logits, network(images()), rtol=0.05, atol=0.05)
