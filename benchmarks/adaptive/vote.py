"""Five networks of different seeds that vote, and one of five picked at random for each query."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from advbench import Members
from benchmarks.adaptive.ascent import majority, margin, standing
from benchmarks.adaptive.digits import plain_network, robust_network
from benchmarks.adaptive.line import Line

MEMBERS = 5


def networks() -> list[nn.Module]:
    """The members, each trained on clean images."""
    return [plain_network(seed) for seed in range(MEMBERS)]


def robust_networks() -> list[nn.Module]:
    """Three members that were trained adversarially."""
    return [robust_network(seed) for seed in range(3)]


def ensemble() -> nn.Module:
    """The members as one classifier."""
    return Members(networks())


def robust_ensemble() -> nn.Module:
    """The robust members as one classifier."""
    return Members(robust_networks())


def vote(members: list[nn.Module], x: Tensor) -> Tensor:
    """The class with the most votes, `(n,)`; of equals the first."""
    with torch.no_grad():
        return sum(F.one_hot(member(x).argmax(1), 10) for member in members).argmax(1)  # type: ignore[union-attr]  # never empty


def against_vote(x: Tensor, y: Tensor, eps: float) -> Tensor:
    """Votes have no gradient, and need none: raise the margin of every member that is not yet wrong."""
    return _against(networks(), x, y, eps)


def against_robust_vote(x: Tensor, y: Tensor, eps: float) -> Tensor:
    """The same attack on members that were trained for it."""
    return _against(robust_networks(), x, y, eps)


def _against(members: list[nn.Module], x: Tensor, y: Tensor, eps: float) -> Tensor:
    def loss(x_adv: Tensor) -> Tensor:
        return torch.stack([margin(member(x_adv), y).clamp(max=1.0) for member in members]).sum(0)

    return standing(loss, lambda x_adv: vote(members, x_adv) == y, x, eps, restarts=5)


def against_pick(x: Tensor, y: Tensor, eps: float) -> Tensor:
    """Whichever member is picked, it is one of five: raise the margin of all of them at once."""
    members = networks()

    def loss(x_adv: Tensor) -> Tensor:
        return torch.stack([margin(member(x_adv), y).clamp(max=1.0) for member in members]).sum(0)

    def right(x_adv: Tensor) -> Tensor:
        picked = torch.randint(MEMBERS, (len(x),))
        with torch.no_grad():
            logits = torch.stack([member(x_adv) for member in members])
        return logits[picked, torch.arange(len(x))].argmax(1) == y

    def stands(x_adv: Tensor) -> Tensor:
        return majority(lambda: right(x_adv))

    return standing(loss, stands, x, eps, restarts=1, look_every=100)


VOTE = Line(
    name="vote of five networks",
    kind="ensemble",
    paper="Hansen, Salamon 1990",
    options="--model benchmarks.adaptive.vote:ensemble --defense ensemble-vote "
    "--gradient-free square:queries=200",
    adaptive=against_vote,
    right=("masked",),
    eps=0.1,
)
PICK = Line(
    name="one of five networks at random",
    kind="ensemble",
    paper="Srisakaokul et al. 2018",
    options="--model benchmarks.adaptive.vote:ensemble --defense ensemble-pick --eot 5 "
    "--gradient-free square:queries=100",
    adaptive=against_pick,
    right=("not robust",),
    eps=0.1,
)
ROBUST_VOTE = Line(
    name="vote of three robust networks",
    kind="ensemble",
    paper="Madry et al. 2018, a vote of three",
    options="--model benchmarks.adaptive.vote:robust_ensemble --defense ensemble-vote "
    "--gradient-free square:queries=200",
    adaptive=against_robust_vote,
    right=("robust as measured",),
    eps=0.1,
)
