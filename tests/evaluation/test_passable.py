"""A defense of the user's own that autograd can pass is tried under its own derivative too."""

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from advbench import Placement
from tests.small import Network, run


def blurred(x: Tensor) -> Tensor:
    """Smooth, and far from the identity."""
    return 1.0 - (0.6 * x + 0.4 * x.flip(3))


def in_numpy(x: Tensor) -> Tensor:
    return torch.from_numpy(np.asarray(x) * 0.9)


def without_gradient(x: Tensor) -> Tensor:
    return (x * 4).round() / 4


def labelled(network: Network, data: TensorDataset) -> TensorDataset:
    x, _ = data.tensors
    mode = network.training
    y = network.eval()(blurred(x)).argmax(1)
    network.train(mode)
    return TensorDataset(x, y)


def test_the_derivative_of_a_smooth_defense_is_tried_and_wins(network: Network, data: TensorDataset) -> None:
    found = run(network, labelled(network, data), defenses={"blurred": blurred})
    graded = {each.substitute: each for each in found.candidates}
    assert set(graded) == {"exact", "identity"}
    assert graded["exact"].rank == 1
    row = found.rows[1]
    assert row.substitute == "exact; identity"
    assert row.rates["bpda"].count <= row.rates["shattered"].count


def test_where_there_is_none_the_identity_stands_alone_and_nothing_is_searched(
    network: Network, data: TensorDataset
) -> None:
    found = run(network, data, defenses={"numpy": in_numpy, "round": without_gradient})
    assert found.candidates == ()
    assert [row.substitute for row in found.rows[1:]] == ["identity", "identity"]


def test_each_element_of_a_chain_is_asked(network: Network, data: TensorDataset) -> None:
    chain = [Placement(without_gradient), Placement(blurred)]
    found = run(network, labelled(network, data), defenses={"chain": chain})
    assert {each.substitute for each in found.candidates} == {"identity+exact", "identity+identity"}


def test_what_somebody_names_is_left_to_them(network: Network, data: TensorDataset) -> None:
    named = Placement(blurred, substitute=nn.Identity())
    found = run(network, data, defenses={"named": named})
    assert found.candidates == ()
    found = run(network, data, defenses={"blurred": blurred}, substitute="identity")
    assert found.candidates == ()
    assert found.rows[1].substitute == "identity"
