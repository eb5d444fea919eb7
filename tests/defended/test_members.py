"""Ensembles: several networks, or several modules of one, as a classifier with a place for their logits."""

import pytest
import torch
from torch import Tensor, nn

from advbench import DefendedModel, Heads, Members, Placement
from advbench.defenses import EnsembleVote
from advbench.errors import DefenseError, ModelError
from tests.small import Network, images


def networks(count: int = 3) -> list[nn.Module]:
    torch.manual_seed(0)
    return [Network().eval() for _ in range(count)]


def test_an_ensemble_without_a_defense_is_the_mean_of_its_logits() -> None:
    members, x = networks(), images()
    wanted = torch.stack([member(x) for member in members]).mean(0)
    torch.testing.assert_close(Members(members).eval()(x), wanted)


def test_a_defense_at_members_sees_their_logits_side_by_side() -> None:
    members, x = networks(), images()
    seen: list[Tensor] = []

    def look(z: Tensor) -> Tensor:
        seen.append(z)
        return z

    DefendedModel(Members(members), [Placement(look, "members")]).eval()(x)
    torch.testing.assert_close(seen[0], torch.stack([member(x) for member in members], 1))
    votes = DefendedModel(Members(members), [Placement(EnsembleVote(), "members")]).eval()(x)
    assert (votes.sum(1) == 3).all()


class TwoHeads(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.body = nn.Linear(16, 6)
        self.first, self.second, self.unused = nn.Linear(6, 3), nn.Linear(6, 3), nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        z = self.body(x.flatten(1)).relu()
        total: Tensor = self.first(z) + self.second(z)
        return total


def test_modules_of_a_network_are_members_by_their_names() -> None:
    network, x = TwoHeads(), images()
    wanted = network(x) / 2
    torch.testing.assert_close(Heads(network, ["first", "second"])(x), wanted)
    assert not network.first._forward_hooks, "no hook is left behind"
    votes = DefendedModel(Heads(network, ["first", "second"]), [Placement(EnsembleVote(), "members")])(x)
    assert (votes.sum(1) == 2).all()


def test_what_is_no_ensemble_is_refused() -> None:
    with pytest.raises(ModelError, match="two members or more, got 1"):
        Members(networks(1))
    with pytest.raises(ModelError, match="two members or more, got 1"):
        Heads(TwoHeads(), ["first", "first"])
    with pytest.raises(ModelError, match="no module 'third' to be a member"):
        Heads(TwoHeads(), ["first", "third"])
    with pytest.raises(ModelError, match="never called its module 'unused'"):
        Heads(TwoHeads(), ["first", "unused"])(images())
    with pytest.raises(ModelError, match=r"logits of one shape \(n, k\), got \[\(8, 3\), \(8, 6\)\]"):
        Heads(TwoHeads(), ["first", "body"])(images())
    shrinking = DefendedModel(Members(networks()), [Placement(lambda z: z[:, :1], "members")]).eval()
    with pytest.raises(DefenseError, match=r"must keep the shape \(8, 3, 3\), got \(8, 1, 3\)"):
        shrinking(images())


def test_a_vote_over_a_model_that_is_no_ensemble_names_the_place() -> None:
    with pytest.raises(DefenseError, match="no module 'members': an ensemble has it, of --member FILE or"):
        DefendedModel(Network(), [Placement(EnsembleVote(), "members")])
