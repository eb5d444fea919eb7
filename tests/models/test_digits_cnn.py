"""DigitsCNN is its layers in their order, by hand in numpy."""

import numpy as np
import numpy.typing as npt
import pytest
import torch

from advbench.models.digits_cnn import DigitsCNN
from tests.checkpoints import distinct_network

Array = npt.NDArray[np.float64]


def convolved(x: Array, weight: Array) -> Array:
    """A 3x3 cross-correlation with a border of zeros, `(n, c, h, w)` and `(k, c, 3, 3)`."""
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3))
    return np.asarray(np.einsum("nchwij,kcij->nkhw", windows, weight))


def pooled(x: Array) -> Array:
    n, c, h, w = x.shape
    return np.asarray(x.reshape(n, c, h // 2, 2, w // 2, 2).max((3, 5)))


def by_hand(state: dict[str, Array], x: Array) -> Array:
    for block in ("layer1", "layer2.0", "layer3.0"):
        mean, var, weight, bias = (
            state[f"{block}.1.{name}"][:, None, None]
            for name in ("running_mean", "running_var", "weight", "bias")
        )
        z = convolved(x, state[f"{block}.0.weight"])
        x = np.maximum(0, weight * (z - mean) / np.sqrt(var + 1e-5) + bias)
        x = x if block == "layer1" else pooled(x)
    return x.reshape(len(x), -1) @ state["linear.weight"].T + state["linear.bias"]


def test_the_logits_are_those_by_hand() -> None:
    network = distinct_network().double()
    x = torch.rand(3, 1, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) - 0.4
    state = {key: value.numpy().astype(np.float64) for key, value in network.state_dict().items()}
    with torch.no_grad():
        np.testing.assert_allclose(network(x).numpy(), by_hand(state, x.numpy()), rtol=1e-10)


@pytest.mark.parametrize("classes", [1, 10, 37])
def test_there_are_as_many_logits_as_classes_for_any_number_of_images(classes: int) -> None:
    network = DigitsCNN(num_classes=classes).eval()
    assert [network(torch.zeros(n, 1, 8, 8)).shape for n in (0, 1, 5)] == [(n, classes) for n in (0, 1, 5)]


def test_keys_are_those_of_the_bundled_weights() -> None:
    """A checkpoint of before must load: nothing is renamed."""
    layers = ("layer1", "layer2.0", "layer3.0")
    norms = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    expected = [key for layer in layers for key in (f"{layer}.0.weight", *(f"{layer}.1.{n}" for n in norms))]
    assert list(DigitsCNN().state_dict()) == [*expected, "linear.weight", "linear.bias"]
