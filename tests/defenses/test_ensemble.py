"""What an ensemble's members come to, against counts by hand, and under attack with and without BPDA."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from advbench import Draws, Evaluation, Judge, Members, Placement, Threat, bpda, evaluate
from advbench.attacks import PGD
from advbench.defended.substitutes import make_substitute
from advbench.defenses import EnsembleMean, EnsemblePick, EnsembleVote
from advbench.errors import DefenseError
from tests.defenses.test_every_defense import same_in_any_batch

NAN = torch.nan


def beside(n: int = 9, members: int = 5, k: int = 4) -> Tensor:
    return 3.0 * torch.randn(n, members, k, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("members", "votes", "label"),
    [
        ([[1.0, 0.0, 0.0], [9.0, 8.0, 0.0], [0.0, 0.0, 1.0]], [2.0, 0.0, 1.0], 0),
        ([[0.0, 0.0, 9.0], [0.0, 1.0, 0.0]], [0.0, 1.0, 1.0], 1),  # a tie falls to the first
        ([[5.0, 5.0, 0.0], [0.0, 5.0, 0.0]], [1.0, 1.0, 0.0], 0),
        ([[NAN, 5.0, 0.0], [0.0, 5.0, 0.0]], [0.0, 1.0, 0.0], 1),
    ],
)
def test_the_votes_of_a_class_are_its_logit(
    members: list[list[float]], votes: list[float], label: int
) -> None:
    found = EnsembleVote()(torch.tensor([members]))
    assert found.shape == (1, len(members), 3)
    assert all(row == votes for row in found[0].tolist())
    assert int(found.mean(1).argmax()) == label


def test_where_no_member_votes_there_is_no_class() -> None:
    assert EnsembleVote()(torch.full((2, 3, 4), NAN)).isnan().all()


def test_the_mean_is_that_of_the_probabilities() -> None:
    x = beside()
    wanted = F.softmax(x.double(), 2).mean(1).numpy()
    found = EnsembleMean()(x).mean(1).double().numpy()
    np.testing.assert_allclose(np.exp(found), wanted, rtol=1e-5)
    np.testing.assert_allclose(np.exp(found).sum(1), 1.0, rtol=1e-5)


def test_the_stand_ins_of_the_vote_are_split_votes_and_the_mean_of_logits() -> None:
    x = beside()
    torch.testing.assert_close(EnsembleVote().mean_softmax(x)[:, 0], F.softmax(x, 2).sum(1))
    torch.testing.assert_close(EnsembleVote().mean_logits(x)[:, 3], x.mean(1))
    sharp = EnsembleVote().mean_softmax(1e4 * x)
    torch.testing.assert_close(sharp, EnsembleVote()(x), msg="sure members split no vote")


def test_each_image_picks_a_member_of_its_own_and_all_are_picked_alike() -> None:
    x = torch.arange(4.0).view(1, 4, 1).expand(4000, 4, 3)
    picked = EnsemblePick()(x, draws=Draws(0, torch.arange(4000)))[:, 0, 0]
    counts = torch.bincount(picked.long(), minlength=4)
    assert (counts - 1000).abs().max() < 4 * (4000 * 0.25 * 0.75) ** 0.5
    again = EnsemblePick()(x[:7], draws=Draws(0, torch.arange(7)))[:, 0, 0]
    assert torch.equal(again, picked[:7])


@pytest.mark.parametrize("made", [EnsembleVote(), EnsembleMean()])
def test_half_precision_is_rounded_and_not_computed_in(made: EnsembleVote | EnsembleMean) -> None:
    half = beside().bfloat16()
    assert torch.equal(made(half), made(half.float()).bfloat16())


def test_an_images_word_is_the_same_in_any_batch() -> None:
    pick = EnsemblePick()
    same_in_any_batch(lambda x, _: EnsembleVote()(x), beside())
    same_in_any_batch(lambda x, _: EnsembleMean()(x), beside())
    same_in_any_batch(lambda x, draws: pick(x, draws=draws), beside())


@pytest.mark.parametrize("made", [EnsembleVote(), EnsembleMean()])
def test_other_tensors_are_refused(made: EnsembleVote | EnsembleMean) -> None:
    with pytest.raises(
        DefenseError, match=r"side by side \(n, members, k\), got \(2, 3\): place it at 'members'"
    ):
        made(torch.rand(2, 3))


@pytest.mark.parametrize("name", ["mean-softmax", "mean-logits"])
def test_bpda_keeps_the_votes_and_takes_the_stand_ins_gradient(name: str) -> None:
    vote, x = EnsembleVote(), beside().requires_grad_()
    substitute = make_substitute(name, vote)
    weights = beside().cos()
    y = bpda(vote, substitute)(x)
    assert torch.equal(y, vote(x.detach()))
    (found,) = torch.autograd.grad((y * weights).sum(), x)
    (wanted,) = torch.autograd.grad((substitute(x) * weights).sum(), x)
    assert torch.equal(found, wanted)
    assert found.any()


class Linear(nn.Module):
    def __init__(self, seed: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        shared = torch.randn(3, 16, generator=torch.Generator().manual_seed(9))
        self.weight = nn.Parameter(shared + 0.3 * torch.randn(3, 16, generator=generator))

    def forward(self, x: Tensor) -> Tensor:
        return 4.0 * (x.flatten(1) - 0.5) @ self.weight.T


def climbed(defenses: dict[str, object], **changes: object) -> Evaluation:
    ensemble = Members([Linear(seed) for seed in range(3)])
    x = torch.rand(40, 1, 4, 4, generator=torch.Generator().manual_seed(1))
    settings: dict[str, object] = {
        "threat": Threat("linf", 0.2),
        "attacks": {"pgd": PGD(steps=5)},
        "defenses": defenses,
        "eot": 4,
        "judge_draws": 5,
        "batch_size": 16,
    }
    data = TensorDataset(x, ensemble(x).argmax(1))
    return evaluate(ensemble, data, **{**settings, **changes})  # type: ignore[arg-type]  # a table of settings


def test_the_vote_hides_the_gradient_and_bpda_finds_it() -> None:
    _, vote, mean = climbed({"vote": EnsembleVote(), "mean": EnsembleMean()}).rows
    right = vote.rates["clean"].count
    assert vote.rates["shattered"].count > 0.75 * right, "of which only the random start fells any"
    assert vote.rates["bpda"].count < 0.3 * right
    assert vote.substitute.split("; ")[0] in ("mean-softmax", "mean-logits")
    assert mean.rates["shattered"].count < 0.3 * right, "the mean hides nothing"


def test_who_is_picked_is_a_matter_of_eot_and_of_the_judge() -> None:
    found = climbed({"pick": Placement(EnsemblePick(), "members")}, judge_draws=Judge("any:5", 5), rungs=())
    _, row = found.rows
    assert row.judge == "any:5"
    rate = row.rates["shattered"]
    assert rate.over_draws is not None
    assert rate.count <= rate.over_draws.mean * rate.n
    steps = found.samples.query("defense == 'pick' and queries > 0")["steps"]
    assert (steps % 4 == 0).all(), "each gradient is over four draws"
