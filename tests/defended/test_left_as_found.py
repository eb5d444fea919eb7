"""Models are frozen and in evaluation mode for a while, and afterwards as they were found."""

import pytest
import torch
from torch import nn

from advbench.defended.left_as_found import prepared
from tests.small import Network


def state(network: nn.Module) -> list[object]:
    return [
        *((name, each.requires_grad, each.tolist()) for name, each in network.named_parameters()),
        *((name, id(each), each.tolist()) for name, each in network.named_buffers()),
        *((name, each.training) for name, each in network.named_modules()),
    ]


@pytest.fixture
def mixed(network: Network) -> Network:
    """Partly frozen, partly in training."""
    network.train()
    network.features.eval()
    network.head.bias.requires_grad_(False)
    return network


@pytest.mark.parametrize("fails", [False, True])
def test_whatever_is_done_to_it_meanwhile(mixed: Network, fails: bool) -> None:
    before = state(mixed)
    try:
        with prepared(mixed):
            assert not any(each.training for each in mixed.modules())
            assert not any(each.requires_grad for each in mixed.parameters())
            mixed(torch.rand(2, 1, 4, 4))
            mixed.train().requires_grad_(True)
            mixed.register_buffer("calls", torch.full((), 9.0))
            if fails:
                raise KeyError
    except KeyError:
        pass
    assert state(mixed) == before


def test_a_model_that_is_there_twice_or_has_shared_parts_is_left_too(mixed: Network) -> None:
    whole = nn.ModuleList([mixed, nn.Sequential(mixed.head)])
    before = state(whole)
    with prepared(mixed, whole, mixed):
        mixed.get_buffer("calls").add_(3.0)
        assert not mixed.head.weight.requires_grad
    assert state(whole) == before


def test_one_inside_another_ends_with_its_own_and_nothing_to_prepare_is_no_error(mixed: Network) -> None:
    before = state(mixed)
    with prepared(mixed):
        with prepared(mixed):
            pass
        assert not mixed.training
        assert not mixed.head.weight.requires_grad
        with prepared():
            pass
    assert state(mixed) == before


def test_a_gradient_inside_is_the_inputs_alone(mixed: Network) -> None:
    x = torch.rand(2, 1, 4, 4, requires_grad=True)
    with prepared(mixed):
        mixed(x).sum().backward()
    assert x.grad is not None
    assert all(each.grad is None for each in mixed.parameters())


def test_a_model_stays_prepared_until_the_last_of_two_threads_is_done() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5))
    model[0].bias.requires_grad_(False)
    one, other = prepared(model), prepared(model)
    one.__enter__()
    other.__enter__()
    one.__exit__(None, None, None)
    assert not any(module.training for module in model.modules())
    assert not any(parameter.requires_grad for parameter in model.parameters())
    other.__exit__(None, None, None)
    assert all(module.training for module in model.modules())
    assert [parameter.requires_grad for parameter in model.parameters()] == [True, False]
