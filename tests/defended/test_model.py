"""Defenses in their places, and the classifier left alone."""

import pytest
import torch
from torch import Tensor, nn

from advbench import DefendedModel, Normalized, Placement
from advbench.defenses import BitDepth, Round
from advbench.errors import DefenseError


class Network(nn.Module):
    """Two layers, one of which is used twice, and one that is never called."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.ReLU())
        self.again = nn.Tanh()
        self.unused = nn.Linear(3, 3)
        self.pair = nn.LSTM(4, 4)
        self.head = nn.Linear(32, 3)

    def forward(self, x: Tensor) -> Tensor:
        z: Tensor = self.again(self.again(self.features(x)))
        logits: Tensor = self.head(z.flatten(1))
        return logits


@pytest.fixture
def network() -> Network:
    torch.manual_seed(0)
    return Network().eval()


@pytest.fixture
def x() -> Tensor:
    return torch.rand(3, 1, 4, 4, generator=torch.Generator().manual_seed(0))


def test_a_defense_acts_at_the_input_the_logits_or_a_module(network: Network, x: Tensor) -> None:
    g = Round(step=0.25)
    z = network.features(x)

    def rest(z: Tensor) -> Tensor:
        logits: Tensor = network.head(network.again(network.again(z)).flatten(1))
        return logits

    expected = {
        "input": network(g(x)),
        "logits": g(network(x)),
        "features": rest(g(z)),
        "features.1": rest(g(z)),
    }
    for place, logits in expected.items():
        assert torch.equal(DefendedModel(network, [Placement(g, place)])(x), logits), place
    z = g(network.again(g(network.again(z))))
    twice = DefendedModel(network, [Placement(g, "again")])(x)
    assert torch.equal(twice, network.head(z.flatten(1))), "a module called twice is defended twice"


@pytest.mark.parametrize("place", ["input", "features", "logits"])
def test_a_chain_runs_in_its_order(network: Network, x: Tensor, place: str) -> None:
    seen: list[str] = []

    def recorded(name: str) -> Placement:
        def defense(x: Tensor) -> Tensor:
            seen.append(name)
            return x

        return Placement(defense, place)

    DefendedModel(network, [recorded("first"), recorded("second")])(x)
    assert seen == ["first", "second"]


@pytest.mark.parametrize("bpda", [False, True])
def test_the_forward_pass_does_not_depend_on_the_gradient(network: Network, x: Tensor, bpda: bool) -> None:
    chain = [
        Placement(BitDepth(bits=2)),
        Placement(Round(step=0.3), "features"),
        Placement(Round(), "logits"),
    ]
    judged = DefendedModel(network, chain)(x)
    assert torch.equal(DefendedModel(network, chain, bpda=bpda)(x.requires_grad_()), judged)


def test_each_element_of_a_chain_is_differentiated_at_the_input_that_it_saw(
    network: Network, x: Tensor
) -> None:
    seen: dict[str, Tensor] = {}

    def record(name: str) -> Placement:
        def substitute(x: Tensor) -> Tensor:
            seen[name] = x.detach().clone()
            return x * 1.0

        return Placement(lambda x: x * 0.5, substitute=substitute)

    model = DefendedModel(network, [record("first"), record("second")], bpda=True)
    x.requires_grad_()
    torch.autograd.grad(model(x).sum(), x)
    assert torch.equal(seen["first"], x)
    assert torch.equal(seen["second"], x * 0.5)


def test_a_defense_may_name_its_own_substitute(network: Network, x: Tensor) -> None:
    class Halved:
        def __call__(self, x: Tensor) -> Tensor:
            return x.round()

        def substitute(self, x: Tensor) -> Tensor:
            return x / 2

    x.requires_grad_()
    (half,) = torch.autograd.grad(DefendedModel(network, [Placement(Halved())], bpda=True)(x).sum(), x)
    plain = Placement(Halved(), substitute=lambda x: x * 1.0)
    (whole,) = torch.autograd.grad(DefendedModel(network, [plain], bpda=True)(x).sum(), x)
    torch.testing.assert_close(half, whole / 2)


def test_the_network_keeps_no_trace(network: Network, x: Tensor) -> None:
    before = network(x)
    model = DefendedModel(network, [Placement(Round(), "features")])
    model(x)
    assert torch.equal(network(x), before)
    assert not any(module._forward_hooks for module in network.modules())


def test_hooks_go_even_when_the_network_fails(network: Network) -> None:
    with pytest.raises(RuntimeError):
        DefendedModel(network, [Placement(Round(), "features")])(torch.rand(1, 7, 4, 4))
    assert not any(module._forward_hooks for module in network.modules())


def test_places_are_names_of_the_network_under_its_normalisation(network: Network, x: Tensor) -> None:
    normalized = Normalized(network, [0.5], [0.5])
    model = DefendedModel(normalized, [Placement(Round(step=0.25), "features")])
    expected = DefendedModel(network, [Placement(Round(step=0.25), "features")])((x - 0.5) / 0.5)
    assert torch.equal(model(x), expected)


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("featuers", "no module 'featuers'. Did you mean 'features'"),
        ("layer99", "no module 'layer99'"),
        ("unused", "never called its module 'unused'"),
    ],
)
def test_a_place_that_does_nothing_is_an_error(network: Network, x: Tensor, place: str, message: str) -> None:
    with pytest.raises(DefenseError, match=message):
        DefendedModel(network, [Placement(Round(), place)])(x)


def test_a_module_that_returns_no_tensor_takes_no_defense() -> None:
    class Recurrent(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell = nn.LSTM(4, 3)

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.cell(x.flatten(1))[0]
            return out

    with pytest.raises(DefenseError, match="'cell' returns tuple, not a tensor"):
        DefendedModel(Recurrent(), [Placement(Round(), "cell")])(torch.rand(3, 1, 2, 2))


def test_a_model_without_modules_says_so(x: Tensor) -> None:
    with pytest.raises(DefenseError, match="no modules"):
        DefendedModel(nn.Flatten(), [Placement(Round(), "layer")])
