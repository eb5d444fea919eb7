"""What passes a place, as a head is given it."""

import pytest
import torch
from torch import Tensor, nn

import advbench as ab
from advbench.errors import DefenseError


def test_features_are_what_a_head_at_the_place_is_given() -> None:
    net = ab.load_model("digits-cnn").train()
    x = torch.rand(5, 1, 8, 8)
    given: list[Tensor] = []

    def head(features: Tensor) -> Tensor:
        given.append(features)
        return features[:, :10]

    seen = ab.features(net, x, "layer3")
    assert net.training
    assert not net.get_submodule("layer3")._forward_hooks
    net.eval()
    ab.DefendedModel(net, [ab.Placement(ab.Head(head), at="layer3")])(x)
    assert torch.equal(given[0], seen)
    assert seen.shape == (5, 256)
    assert torch.equal(ab.features(net, x), net(x))


def test_a_place_without_features_is_refused() -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.unused, self.act = nn.ReLU(), nn.ReLU()

        def forward(self, x: Tensor) -> Tensor:
            twice: Tensor = self.act(self.act(x))
            return twice

    for at, said in (("no", "has no module"), ("unused", "0 times"), ("act", "2 times")):
        with pytest.raises(DefenseError, match=said):
            ab.features(Odd(), torch.rand(2, 3), at)
