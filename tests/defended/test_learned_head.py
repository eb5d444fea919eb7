"""Networks that stand in for heads: fitted by their seed, with a gradient that has a direction everywhere."""

import pytest
import torch

from advbench.defended.learned import Imitation, pack_network, read_network
from advbench.defended.learned_head import (
    HeadImitation,
    _Unsaturated,
    agreement_of,
    as_decisions,
    fit_to_head,
    new_imitation,
)
from advbench.errors import DefenseError


def pairs(n: int = 400) -> tuple[torch.Tensor, torch.Tensor]:
    features = torch.randn(n, 2, 3, generator=torch.Generator().manual_seed(0))
    flat = features.flatten(1)
    return features, torch.stack([flat[:, 0] > 0, flat[:, 0] <= 0], 1).float()


def test_a_network_decides_as_its_head_and_its_seed_decides_it() -> None:
    networks = []
    for seed in (1, 1, 2):
        networks.append(new_imitation(*pairs(), seed))
        fit_to_head(networks[-1], *pairs(), seed)
    fresh = torch.randn(300, 6, generator=torch.Generator().manual_seed(5))
    truth = torch.stack([fresh[:, 0] > 0, fresh[:, 0] <= 0], 1).float()
    assert agreement_of(networks[0], fresh, truth) > 0.9
    first, again, other = (network.linear.weight for network in networks)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert not any(parameter.requires_grad for parameter in networks[0].parameters())


def test_the_gradient_is_that_of_softmax_but_for_its_size() -> None:
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(5, 4, generator=generator).double().requires_grad_()
    g = torch.randn(5, 4, generator=generator).double()
    (own,) = torch.autograd.grad(_Unsaturated.apply(z), z, g)
    (true,) = torch.autograd.grad(z.softmax(1), z, g)
    assert torch.allclose(torch.cosine_similarity(own, true), torch.ones(5).double())
    assert torch.allclose(own.abs().sum(1), g.abs().sum(1))


def test_a_sure_network_has_a_gradient_still() -> None:
    z = torch.tensor([[200.0, 0.0, 1.0]], requires_grad=True)
    g = torch.tensor([[-0.5, 0.25, 0.25]])
    (saturated,) = torch.autograd.grad(z.softmax(1), z, g)
    (own,) = torch.autograd.grad(_Unsaturated.apply(z), z, g)
    assert not saturated.any()
    assert own[0, 0] < 0.0 < own[0, 1] < own[0, 2]


def test_shares_stay_and_other_scores_are_classes() -> None:
    votes = torch.tensor([[0.2, 0.8], [1.0, 0.0]])
    assert torch.equal(as_decisions(votes), votes)
    assert torch.equal(as_decisions(-10 * votes), torch.tensor([[1.0, 0.0], [0.0, 1.0]]))


def test_scores_that_are_not_finite_are_refused() -> None:
    features, scores = pairs(8)
    with pytest.raises(DefenseError, match="NaN or infinite"):
        fit_to_head(new_imitation(features, scores, 0), features, scores / 0.0, 0)


def test_a_network_is_kept_and_read_as_what_it_is() -> None:
    network = new_imitation(*pairs(), 3)
    network.agreement.fill_(0.93)
    contents = pack_network(network, {"model": "m"})
    read = read_network(contents, torch.device("cpu"))
    assert isinstance(read, HeadImitation)
    assert read.is_close
    assert torch.equal(read(pairs()[0]), network(pairs()[0]))
    assert read_network(contents[:-8], torch.device("cpu")) is None
    assert isinstance(read_network(pack_network(Imitation((3,), (2,)), {}), torch.device("cpu")), Imitation)
