"""Channels' statistics against NumPy's on hooks of our own, and modules that have none."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from advbench.defenses import channel_statistics
from advbench.defenses.channels import Spot, channel_axis
from advbench.errors import DefenseError
from tests.defenses.families import images
from tests.small import Network


def activations(model: nn.Module, name: str, x: Tensor) -> Any:
    """What passes a module, by a hook that the code under test does not know."""
    seen: list[Tensor] = []
    handle = model.get_submodule(name).register_forward_hook(lambda _m, _i, y: seen.append(y.detach()))
    with torch.no_grad():
        model.eval()(x)
    handle.remove()
    return seen[0].double().numpy()


class Tokens(nn.Module):
    """Three tokens of four channels, then logits."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(16, 12)
        self.cut = nn.Unflatten(1, (3, 4))
        self.head = nn.Linear(12, 10)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.cut(self.embed(x.flatten(1))).flatten(1))
        return logits


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5), nn.ReLU(), nn.Flatten(), nn.Linear(5 * 36, 10)
    ).eval()


@pytest.mark.parametrize("size", [1, 7, 30])
def test_they_are_numpys_whatever_the_batches(size: int) -> None:
    model, x = network(), images(30, 3, 8, 8)
    measured = channel_statistics(model, torch.split(x, size), ["0", "1", "4", "input", "logits"])
    inside = [activations(model, name, x) for name in ("0", "1", "4")]
    for got, values in zip(measured, [*inside, x.double().numpy(), inside[2]], strict=True):
        others = tuple(axis for axis in range(values.ndim) if axis != 1)
        expected = np.stack([values.mean(others), values.std(others)])
        np.testing.assert_allclose(got.numpy(), expected, rtol=1e-6, atol=1e-7)


def test_channels_of_tokens_lie_along_the_last_axis_unless_another_is_asked_for() -> None:
    torch.manual_seed(0)
    model, x = Tokens(), images(20, 1, 4, 4)
    tokens, steps = channel_statistics(model, [x], ["cut", Spot("cut", 1)])
    values = activations(model, "cut", x)
    np.testing.assert_allclose(tokens[0].numpy(), values.mean((0, 1)), rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(steps[1].numpy(), values.std((0, 2)), rtol=1e-5, atol=1e-7)
    assert channel_axis(torch.zeros(2, 3, 4)) == 2
    assert channel_axis(torch.zeros(2, 3, 4, 5)) == channel_axis(torch.zeros(2, 3)) == 1


def test_the_model_stays_in_training_mode_with_its_own_running_statistics() -> None:
    model = network().train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    channel_statistics(model, [images(9, 3, 8, 8)], ["1"])
    assert model.training
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


class Twice(nn.Module):
    """One activation that is used in two places."""

    def __init__(self) -> None:
        super().__init__()
        self.relu, self.first, self.second = nn.ReLU(), nn.Linear(4, 4), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.relu(self.second(self.relu(self.first(x.flatten(1)))))
        return logits


class Once(Twice):
    """One activation that is used in one place, on twice as many rows as there are images."""

    def forward(self, x: Tensor) -> Tensor:
        rows: Tensor = self.relu(torch.cat([x.flatten(1)] * 2))
        logits: Tensor = self.second(rows[: len(x)])
        return logits


def test_a_module_that_cuts_images_into_windows_is_called_once() -> None:
    x = images(3, 1, 2, 2)
    (got,) = channel_statistics(Once(), [x], ["relu"], at_once=2)
    np.testing.assert_allclose(got[0].numpy(), x.flatten(1).double().mean(0).numpy(), rtol=1e-6)


@pytest.mark.parametrize(
    ("model", "at", "x", "message"),
    [
        (Twice(), "relu", images(2, 1, 2, 2), "after 4; the module is used for several things"),
        (Twice(), "nowhere", images(2, 1, 2, 2), "no module 'nowhere'"),
        (Twice(), Spot("logits", 2), images(2, 1, 2, 2), "needs channels along axis 2"),
        (Twice(), "first", torch.full((2, 1, 2, 2), torch.nan), "'first' are not finite"),
    ],
)
def test_what_has_no_statistics_is_told(model: nn.Module, at: Any, x: Tensor, message: str) -> None:
    with pytest.raises(DefenseError, match=message):
        channel_statistics(model, [x], [at])


def test_a_module_that_is_called_twice_with_the_same_channels_is_told() -> None:
    model = Twice()
    model.second = nn.Linear(4, 4)
    with pytest.raises(DefenseError, match="calls this module 2 times in a forward pass"):
        channel_statistics(model, [images(2, 1, 2, 2)], ["relu"])


def test_no_images_have_no_statistics() -> None:
    with pytest.raises(DefenseError, match="needs images"):
        channel_statistics(Network(), [], ["logits"])
