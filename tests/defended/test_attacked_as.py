"""Which draws an attack meets: by image and pass where it tells its rows, by contents where not."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from advbench import DefendedModel, Draws, Placement, Threat
from advbench.attacks import APGD, FAB, FMN, PGD, Square, autoattack, strongest
from advbench.defended.attacked_as import attacked_as, showing
from advbench.defended.gradient import loss_and_gradient
from advbench.draws.sampling import Sampling
from advbench.threat.attack import Attack
from advbench.threat.losses import margin

THREAT = Threat("linf", 0.1)


class Noise(nn.Module):
    """Gaussian noise that remembers what it drew."""

    random = True

    def __init__(self) -> None:
        super().__init__()
        self.drawn: list[Tensor] = []

    def forward(self, x: Tensor, draws: Draws) -> Tensor:
        noise = 0.1 * draws.normal(tuple(x.shape[1:])).to(x)
        self.drawn.append(noise)
        return x + noise


class Silent:
    """An attack that does not tell its rows."""

    def __call__(self, model: Any, x: Tensor, y: Tensor, threat: Threat, draws: Draws) -> Any:
        raise NotImplementedError


@pytest.fixture
def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(36, 16), nn.ReLU(), nn.Linear(16, 4)).requires_grad_(False)


def defended(network: nn.Module, noise: Noise, **settings: Any) -> DefendedModel:
    sampling = settings.pop("sampling", Sampling(0, "attack", 2))
    return DefendedModel(network, [Placement(noise)], sampling=sampling, **settings)


def draws_of(indices: list[int]) -> Draws:
    return Draws(0, torch.tensor(indices), "/shattered")


def images(count: int) -> tuple[Tensor, Tensor]:
    torch.manual_seed(1)
    return torch.rand(count, 1, 6, 6), torch.arange(count) % 4


def test_the_last_bits_of_an_iterate_change_no_draw_and_every_pass_draws_anew(network: nn.Module) -> None:
    noise = Noise()
    model = attacked_as(PGD(), defended(network, noise), draws_of([4, 9]))
    x, _ = images(2)
    model(x)
    again = attacked_as(PGD(), defended(network, noise), draws_of([4, 9]))
    again(torch.nextafter(x, torch.ones(())))
    again(x)
    first, second, third = (torch.stack(noise.drawn[place : place + 2]) for place in (0, 2, 4))
    assert torch.equal(first, second)
    assert not bool((third == first).any())


def test_without_rows_and_under_a_fixed_seed_the_contents_decide(network: nn.Module) -> None:
    noise, (x, _) = Noise(), images(2)
    inner = attacked_as(PGD(), defended(network, noise), draws_of([4, 9]))
    for model in (
        attacked_as(Silent(), inner, draws_of([4, 9])),
        attacked_as(
            PGD(), defended(network, noise, sampling=Sampling(0, "fixed", 2, fixed=True)), draws_of([4, 9])
        ),
    ):
        noise.drawn.clear()
        model(x)
        model(x)
        model(x[:1])
        assert torch.equal(noise.drawn[0], noise.drawn[2])
        assert torch.equal(noise.drawn[0][:1], noise.drawn[4])


def test_what_draws_nothing_is_left_as_it_is(network: nn.Module) -> None:
    plain = DefendedModel(network, [])
    assert attacked_as(PGD(), plain, draws_of([0])) is plain
    assert attacked_as(PGD(), network, draws_of([0])) is network
    assert showing(network, torch.tensor([0])) is network
    assert showing(plain, torch.tensor([0])) is plain


@pytest.mark.parametrize("lanes", [1, 8])
def test_pieces_and_filled_up_batches_change_no_draw(network: nn.Module, lanes: int) -> None:
    x, y = images(5)

    def gradient(at_once: int | None) -> Tensor:
        model = attacked_as(
            PGD(), defended(network, Noise(), lanes=lanes, at_once=at_once), draws_of([*range(5)])
        )
        model(x)
        return loss_and_gradient(model, x, lambda logits, piece: margin(logits, y[piece])).grad

    whole = gradient(None)
    torch.testing.assert_close(gradient(2), whole)
    torch.testing.assert_close(gradient(1), whole)


ATTACKS: dict[str, Callable[[], Attack]] = {
    "pgd": lambda: PGD(steps=3, restarts=2),
    "pgd-target": lambda: PGD(steps=2, target="runner-up"),
    "apgd": lambda: APGD(steps=5, restarts=2),
    "apgd-t": lambda: APGD(steps=4, loss="dlr", targets=2),
    "square": lambda: Square(queries=20),
    "fab": lambda: FAB(steps=3, targets=2, restarts=2),
    "fmn": lambda: FMN(steps=4),
    "autoattack": lambda: autoattack(steps=4, queries=10),
    "strongest": lambda: strongest(steps=4, queries=20),
}


@pytest.mark.parametrize("name", ATTACKS)
def test_no_attack_finds_another_example_in_another_batch(network: nn.Module, name: str) -> None:
    x, y = images(9)

    def found(rows: list[int]) -> Tensor:
        attack, draws = ATTACKS[name](), draws_of(rows)
        model = attacked_as(attack, defended(network, Noise(), lanes=8), draws)
        return attack(model, x[rows], y[rows], THREAT, draws).x_adv

    whole = found([*range(9)])
    assert torch.equal(found([5, 2, 7]), whole[[5, 2, 7]])
    assert torch.equal(found([8]), whole[[8]])


@pytest.mark.parametrize("name", ["pgd", "apgd", "square", "autoattack", "strongest"])
def test_a_network_that_rounds_otherwise_meets_the_same_draws(network: nn.Module, name: str) -> None:
    x, y = images(9)

    def drawn(factor: float) -> Tensor:
        attack, draws, noise = ATTACKS[name](), draws_of([*range(9)]), Noise()
        model = attacked_as(attack, defended(nn.Sequential(network, Times(factor)), noise, lanes=1), draws)
        attack(model, x + 0.0, y, THREAT, draws)
        return torch.cat(noise.drawn)

    assert torch.equal(drawn(1.0), drawn(1.0 + 2.0**-22))


class Times(nn.Module):
    """Logits times a number, so that all later bits are others."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, logits: Tensor) -> Tensor:
        return logits * self.factor
