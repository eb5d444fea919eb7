"""Several attacks in turn: who gets which images, what is believed, and what it adds up to."""

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
import torch
from torch import Tensor, nn

from advbench import Attempt, DefendedModel, Draws, Placement, Threat
from advbench.attacks import APGD, PGD, Relay, Square, autoattack, strongest
from advbench.attacks.relay import Leg, WarmAttack, WarmLeg
from advbench.defenses import Round
from advbench.jobs.build_subject import describe
from advbench.threat.losses import margin
from advbench.threat.threat import Norm
from tests.attacks.counted import Model, run

THREAT = Threat("linf", 0.1)


@dataclass
class Fake:
    """Changes each image by a given amount, and notes what it was given."""

    change: float
    steps: int = 1
    flat: bool = False
    images: list[int] = field(default_factory=list)
    start: Tensor | None = None

    def __call__(
        self,
        model: Model,
        x: Tensor,
        y: Tensor,
        threat: Threat,
        draws: Draws,
        *,
        start: Tensor | None = None,
    ) -> Attempt:
        self.images += draws.indices.tolist()
        self.start = start
        count = torch.full((len(x),), self.steps)
        return Attempt(x + self.change, count, count, torch.full((len(x),), self.flat))


def one_pixel(x: Tensor) -> Tensor:
    """Class 1 above 0.5, with a margin of the distance."""
    z = x.flatten(1)
    return torch.cat([0.5 - z, z - 0.5], dim=1)


def pixels(*values: float) -> tuple[Tensor, Tensor]:
    return torch.tensor(values).view(-1, 1, 1, 1), torch.zeros(len(values), dtype=torch.int64)


def relayed(legs: dict[str, Leg | WarmLeg], x: Tensor, y: Tensor) -> Attempt:
    return run(Relay(legs=legs), one_pixel, x, y, THREAT)


def test_an_image_leaves_as_soon_as_it_falls() -> None:
    first, second, third = Fake(0.05), Fake(0.1), Fake(0.1)
    x, y = pixels(0.46, 0.42, 0.1)
    attempt = relayed({"a": Leg(attack=first), "b": Leg(attack=second), "c": Leg(attack=third)}, x, y)
    assert (first.images, second.images, third.images) == ([0, 1, 2], [1, 2], [2])
    assert attempt.steps.tolist() == [1, 2, 3]
    torch.testing.assert_close(attempt.x_adv.flatten(), torch.tensor([0.51, 0.52, 0.2]))


def test_what_leaves_the_ball_is_judged_inside_it() -> None:
    x, y = pixels(0.1)
    later = Fake(0.0)
    attempt = relayed({"cheat": Leg(attack=Fake(0.9)), "b": Leg(attack=later)}, x, y)
    assert later.images == [0], "nothing within 0.1 fools the model"
    assert attempt.x_adv.item() == pytest.approx(0.2)


def test_a_leg_for_near_images_gets_those_whose_margin_has_halved() -> None:
    near = Fake(0.0)
    x, y = pixels(0.32, 0.25, 0.38)  # 0.1 nearer, margins shrink by 0.56, 0.4 and 0.83
    relayed({"a": Leg(attack=Fake(0.1)), "near": Leg(attack=near, within=0.5)}, x, y)
    assert near.images == [0, 2]


@pytest.mark.parametrize(("steps", "wanted"), [(1, [0]), (0, [])])
def test_an_image_without_a_gradient_counts_as_near(steps: int, wanted: list[int]) -> None:
    """How near it is nobody knows; but an attack that asked for none has nothing to say about it."""
    near = Fake(0.0)
    x, y = pixels(0.1)
    blind = Fake(0.0, steps=steps, flat=steps > 0)
    relayed({"blind": Leg(attack=blind), "near": Leg(attack=near, within=0.5)}, x, y)
    assert near.images == wanted


def test_a_warm_leg_begins_with_the_best_iterates_so_far() -> None:
    warm = Fake(0.0)
    x, y = pixels(0.1, 0.2)
    relayed({"a": Leg(attack=Fake(0.05)), "b": Leg(attack=Fake(-0.05)), "warm": WarmLeg(attack=warm)}, x, y)
    assert warm.start is not None
    torch.testing.assert_close(warm.start.flatten(), torch.tensor([0.15, 0.25]))


@pytest.mark.parametrize("attack", [Square(queries=20), APGD(steps=8, loss="margin", first_step=0.2)])
@pytest.mark.parametrize(("norm", "eps"), [("linf", 0.05), ("l2", 0.3), ("l1", 1.0)])
def test_a_warm_attack_loses_nothing_of_its_start(
    norm: Norm, eps: float, attack: WarmAttack, linear_model: nn.Sequential
) -> None:
    x = torch.rand(12, 1, 4, 4, generator=torch.Generator().manual_seed(2))
    y, threat, draws = linear_model(x).argmax(1), Threat(norm, eps), Draws(0, torch.arange(12))
    start = PGD(steps=1, step_size=eps / 4)(linear_model, x, y, threat, draws).x_adv
    with torch.no_grad():
        before = margin(linear_model(start), y)
        warm = attack(linear_model, x, y, threat, draws, start=start)
        after = margin(linear_model(warm.x_adv), y)
    assert (after >= before).all()
    assert (after > before).sum() >= 6


def test_a_warm_ascent_takes_the_small_steps_that_it_was_told_to() -> None:
    threat = Threat("linf", 0.1)
    x, y, start = torch.full((1, 1, 1, 1), 0.5), torch.tensor([0]), torch.full((1, 1, 1, 1), 0.45)
    seen: list[float] = []

    def falling(x: Tensor) -> Tensor:
        seen.append(float(x.detach()))
        z = x.flatten(1)
        return torch.cat([9.0 - z, z], dim=1)

    APGD(steps=1, first_step=0.2)(falling, x, y, threat, Draws(0, torch.tensor([0])), start=start)
    assert seen[0] == pytest.approx(0.45)
    assert seen[1] == pytest.approx(0.47)


def crooked(scale: float) -> nn.Sequential:
    """A small network with random weights, whose logits are multiplied by `scale`."""
    torch.manual_seed(0)
    last = nn.Linear(24, 5, bias=False)
    with torch.no_grad():
        last.weight.mul_(scale)
    return nn.Sequential(
        nn.Conv2d(1, 6, 3), nn.ReLU(), nn.Flatten(), nn.Linear(216, 24), nn.ReLU(), last
    ).eval()


@pytest.mark.parametrize("kind", ["plain", "saturated", "rounded"])
@pytest.mark.parametrize(("norm", "eps"), [("linf", 0.03), ("l2", 0.2), ("l1", 0.5)])
def test_strongest_leaves_no_image_that_autoattack_fells_and_takes_fewer_gradient_steps(
    kind: str, norm: Norm, eps: float
) -> None:
    x = torch.rand(24, 1, 8, 8, generator=torch.Generator().manual_seed(3))
    network, threat = crooked(1e4 if kind == "saturated" else 1.0), Threat(norm, eps)
    defense = [Placement(Round(step=0.02))] if kind == "rounded" else []
    model = DefendedModel(network, defense, lanes=8)
    with torch.no_grad():
        y = model(x).argmax(1)

    def standing(make: Callable[[], Relay]) -> tuple[set[int], int]:
        attempt = run(make(), model, x, y, threat)
        with torch.no_grad():
            right = model(attempt.x_adv).argmax(1) == y
        return set(right.nonzero().flatten().tolist()), int(attempt.steps.sum())

    ours, cost = standing(lambda: strongest(steps=20, queries=500))
    theirs, paid = standing(lambda: autoattack(steps=40, queries=1000))
    assert 0 < len(theirs) < len(x), "or there is nothing to compare"
    assert ours <= theirs
    # Margins behind rounding lie: such images are given the whole of the other on top.
    assert cost < (1.5 if kind == "rounded" else 1.0) * paid


def test_fields_that_came_later_change_no_hash_of_what_they_leave_as_it_was() -> None:
    before = describe(autoattack())
    assert list(before) == ["class", "legs"]
    assert [list(leg) for leg in before["legs"].values()] == [["attack", "within"]] * 4
    assert before["legs"]["square"]["attack"] == {"queries": 5000, "share": 0.8}
    after = describe(strongest())
    assert after["look_after"] == "apgd-margin"
    assert after["legs"]["autoattack"]["doubted"] is True
