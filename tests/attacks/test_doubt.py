"""Which margins are doubted: bends, stairs and jumps are; honest networks are not."""

import math

import pytest
import torch
from torch import Tensor, nn

from advbench import DefendedModel, Draws, Threat
from advbench.attacks import APGD, autoattack, strongest
from advbench.attacks.best import Best
from advbench.attacks.doubt import doubtful, searched_better
from advbench.attacks.relay import Leg, Relay
from advbench.threat.judge import fooled, predict
from advbench.threat.losses import margin
from advbench.threat.threat import Norm
from tests.attacks.counted import Model, run
from tests.attacks.test_relay import Fake, crooked, one_pixel, pixels

RADII: dict[Norm, float] = {"linf": 0.05, "l2": 0.4, "l1": 2.0}


class Bent(nn.Module):
    """Margins pulled to the middles of intervals, with the slope turned round; no label changes.

    Chen et al. 2022, "Adversarial attack on attackers", section 4.1, with a sine in each interval.
    """

    def __init__(self, network: nn.Module, period: float) -> None:
        super().__init__()
        self.network, self.period = network, period

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.network(x)
        top, classes = logits.topk(2, dim=1)
        lead = top[:, 0] - top[:, 1]
        middle = self.period * ((lead / self.period).floor() + 0.5)
        bent = middle - 0.3 * self.period * torch.sin(2.0 * math.pi * (lead - middle) / self.period)
        return logits.scatter_add(1, classes[:, :1], (bent - lead)[:, None])


class Votes(nn.Module):
    """The votes of several networks, which have no gradient."""

    def __init__(self, networks: list[nn.Module]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)

    def forward(self, x: Tensor) -> Tensor:
        votes = [nn.functional.one_hot(each(x).argmax(1), 5) for each in self.networks]
        return torch.stack(votes).sum(0).float()


def voters() -> Votes:
    """Five networks that are one but for a little noise in their weights."""
    networks: list[nn.Module] = [crooked(1.0) for _ in range(5)]
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for network in networks:
            for weight in network.parameters():
                weight.add_(torch.randn(weight.shape, generator=generator), alpha=0.02)
    return Votes(networks)


def images() -> Tensor:
    return torch.rand(16, 1, 8, 8, generator=torch.Generator().manual_seed(3))


def doubted(model: nn.Module, threat: Threat) -> tuple[int, int]:
    """How many images ascents leave standing, and how many of them are doubted."""
    x = images()
    with torch.no_grad():
        y = model(x).argmax(1)
        draws = Draws(0, torch.arange(len(x)))
        found = APGD(steps=30, loss="margin")(model, x, y, threat, draws).x_adv
        logits = model(found)
    rows = (~fooled(predict(logits), y)).nonzero().flatten()
    best = Best.nothing(model, x, goal=1)
    best.loss = margin(logits, y)
    return len(rows), int(doubtful(model, (rows, x[rows], y[rows]), threat, best).sum())


@pytest.mark.parametrize("norm", RADII)
def test_no_margin_of_an_honest_network_is_doubted(norm: Norm) -> None:
    standing, count = doubted(crooked(1.0), Threat(norm, RADII[norm] / 4))
    assert standing >= 5, "or there is nothing to look at"
    assert count == 0


@pytest.mark.parametrize(
    ("model", "norm"),
    [
        (Bent(crooked(1.0), 0.05), "linf"),
        (Bent(crooked(1.0), 0.05), "l2"),
        (voters(), "linf"),
        (voters(), "l2"),
        (voters(), "l1"),
    ],
)
def test_most_margins_that_are_bent_or_have_no_gradient_are_doubted(norm: Norm, model: nn.Module) -> None:
    standing, count = doubted(model, Threat(norm, RADII[norm]))
    assert standing >= 4
    assert count >= 0.7 * standing


def test_a_search_that_gains_more_than_half_of_what_ascents_gained_raises_doubts() -> None:
    clean, before = torch.tensor([-4.0, -4.0, -4.0]), torch.tensor([-2.0, -2.0, -4.0])
    after = torch.tensor([-1.1, -0.9, -3.9])
    assert searched_better(before, after, clean).tolist() == [False, True, True]


def test_a_leg_for_doubted_images_gets_no_other_and_draws_as_it_does_alone() -> None:
    last = Fake(0.0)
    x, y = pixels(0.1, 0.38)

    def stairs(z: Tensor) -> Tensor:  # below 0.2 the margin does not move
        return one_pixel(torch.where(z < 0.25, 0.1 * torch.ones_like(z), z))

    legs = {"a": Leg(attack=Fake(0.05)), "last": Leg(attack=last, doubted=True)}
    run(Relay(legs=legs, look_after="a"), stairs, x, y, Threat("linf", 0.1))
    assert last.images == [0]
    run(Relay(legs=legs), stairs, x, y, Threat("linf", 0.1))
    assert last.images == [0], "nothing is doubted where nothing is looked at"


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["bent", "votes"])
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_strongest_leaves_no_image_that_autoattack_fells_where_margins_lie(norm: Norm, kind: str) -> None:
    network = Bent(crooked(1.0), 0.05) if kind == "bent" else voters()
    model, threat, x = DefendedModel(network, [], lanes=8), Threat(norm, RADII[norm]), images()
    with torch.no_grad():
        y = model(x).argmax(1)

    def standing(attack: Relay) -> set[int]:
        attempt = run(attack, model, x, y, threat)
        with torch.no_grad():
            right = model(attempt.x_adv).argmax(1) == y
        return set(right.nonzero().flatten().tolist())

    ours, theirs = strongest(steps=4, queries=60), autoattack(steps=8, queries=100)
    assert standing(ours) <= standing(theirs)


def test_a_model_is_asked_for_a_gradient_and_four_queries() -> None:
    sizes: list[int] = []

    def model(x: Tensor) -> Tensor:
        sizes.append(len(x))
        return one_pixel(x)

    asked: Model = model
    x, y = pixels(0.1, 0.3)
    best = Best.nothing(asked, x, goal=1)
    doubtful(asked, (torch.arange(2), x, y), Threat("linf", 0.1), best)
    assert sizes == [2] * 5
    assert best.queries.tolist() == [5, 5]
    assert best.steps.tolist() == [1, 1]
