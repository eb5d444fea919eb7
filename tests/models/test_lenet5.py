"""LeNet5 is its layers in their order, by hand in numpy."""

import numpy as np
import pytest
import torch

from advbench.models.lenet5 import LeNet5
from tests.models.test_digits_cnn import Array, convolved, pooled


def test_the_logits_are_those_by_hand() -> None:
    torch.manual_seed(0)
    network = LeNet5().double()
    x = torch.rand(2, 1, 28, 28, dtype=torch.float64)
    state: dict[str, Array] = {key: value.numpy() for key, value in network.state_dict().items()}
    z = x.numpy()
    for layer in ("conv1", "conv2"):
        z = pooled(
            np.maximum(0, convolved(z, state[f"{layer}.weight"]) + state[f"{layer}.bias"][:, None, None])
        )
    z = np.maximum(0, z.reshape(len(z), -1) @ state["linear1.weight"].T + state["linear1.bias"])
    z = z @ state["linear2.weight"].T + state["linear2.bias"]
    with torch.no_grad():
        np.testing.assert_allclose(network(x).numpy(), z, rtol=1e-10)


@pytest.mark.parametrize("classes", [1, 10, 26])
def test_there_are_as_many_logits_as_classes_for_any_number_of_images(classes: int) -> None:
    network = LeNet5(num_classes=classes)
    assert [network(torch.zeros(n, 1, 28, 28)).shape for n in (0, 1)] == [(n, classes) for n in (0, 1)]


def test_there_is_nothing_that_differs_between_training_and_evaluation() -> None:
    network = LeNet5()
    x = torch.rand(2, 1, 28, 28)
    assert torch.equal(network.train()(x), network.eval()(x))
    assert not list(network.buffers())
