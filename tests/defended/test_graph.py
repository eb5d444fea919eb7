"""The walk through autograd's graph meets every node once and stops at its end."""

import pytest
import torch
from torch import Tensor

from advbench.defended.graph import nodes_between


def names(x: Tensor, y: Tensor) -> list[str]:
    return sorted(node.name().rpartition("::")[2].rstrip("0123456789") for node in nodes_between(x, y))


def test_nodes_that_several_ways_lead_to_are_met_once() -> None:
    x = torch.ones(3, requires_grad=True)
    z = x.exp()
    assert names(x, z + z * z) == ["AccumulateGrad", "AddBackward", "ExpBackward", "MulBackward"]


def test_nothing_behind_the_end_is_met() -> None:
    x = torch.ones(3, requires_grad=True).sin()
    assert names(x, x.exp().round()) == ["ExpBackward", "RoundBackward"]


@pytest.mark.parametrize("is_leaf", [False, True])
def test_a_tensor_itself_and_one_without_a_graph_have_no_nodes_between(is_leaf: bool) -> None:
    x = torch.ones(3, requires_grad=True)
    x = x if is_leaf else x.sin()
    assert names(x, torch.ones(3)) == []
    assert names(x, x) == []
