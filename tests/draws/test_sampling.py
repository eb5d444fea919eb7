"""Random defenses: draws that belong to images, expectation in the attack, and the majority in the judge."""

import random

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from advbench import DefendedModel, Draws, Evaluation, Placement, Threat, evaluate
from advbench.attacks import APGD, PGD, Square
from advbench.defended.gradient import loss_and_gradient
from advbench.draws.sampling import Sampling, content_keys, drawn, is_random
from advbench.errors import InputError
from advbench.threat.losses import margin


class Noise(nn.Module):
    """Gaussian noise from the streams of the images."""

    random = True

    def __init__(self, sigma: float = 0.1) -> None:
        super().__init__()
        self.sigma = sigma

    def forward(self, x: Tensor, draws: Draws) -> Tensor:
        return x + self.sigma * draws.normal(tuple(x.shape[1:])).to(x)


class Global(nn.Module):
    """The same from generators of the process, all three of them."""

    random = True

    def forward(self, x: Tensor) -> Tensor:
        assert len(x) == 1  # one after another, each under a seed of its own
        return x + 0.05 * torch.randn_like(x) + 0.05 * float(np.random.randn()) + 0.05 * random.random()  # noqa: NPY002


def sampled(network: nn.Module, defense: nn.Module, count: int, name: str = "a") -> DefendedModel:
    return DefendedModel(network, [Placement(defense)], sampling=Sampling(0, name, count), lanes=8)


def test_a_key_is_a_matter_of_the_pixels_alone() -> None:
    x = torch.rand(50, 3, 5, 5)
    keys = content_keys(x)
    assert len(set(keys.tolist())) == 50
    assert int(keys.min()) >= 0
    assert torch.equal(content_keys(x.flip(0)), keys.flip(0))
    assert torch.equal(content_keys(x.to(memory_format=torch.channels_last)), keys)
    nudged = x.clone()
    nudged[7, 2, 4, 4] = torch.nextafter(nudged[7, 2, 4, 4], torch.tensor(2.0))
    assert (content_keys(nudged) != keys).nonzero().flatten().tolist() == [7]


@pytest.mark.parametrize("defense", [Noise(), Global()])
@pytest.mark.parametrize("place", ["input", "features"])
def test_an_image_gets_the_same_draws_in_any_batch(
    defense: nn.Module, place: str, network: nn.Module
) -> None:
    network.eval()
    x = torch.rand(9, 1, 4, 4)
    model = DefendedModel(network, [Placement(defense, place)], sampling=Sampling(3, "a", 4), lanes=8)
    with torch.no_grad():
        whole = model.sampled(x)
        assert torch.equal(model.sampled(x[4:5]), whole[:, 4:5])
        assert torch.equal(model.sampled(x.flip(0)), whole.flip(1))
    assert whole.shape == (4, 9, 3)
    assert len({tuple(each.flatten().tolist()) for each in whole}) == 4


def test_other_seeds_streams_and_places_give_other_draws(network: nn.Module) -> None:
    x = torch.rand(2, 1, 4, 4)
    twice = [Placement(Noise()), Placement(Noise())]
    seen = [
        DefendedModel(nn.Identity(), chain, sampling=Sampling(seed, name))(x)
        for chain in (twice[:1], twice)
        for seed in (0, 1)
        for name in ("attack", "judge")
    ]
    assert len({tuple(each.flatten().tolist()) for each in seen}) == 8
    same = DefendedModel(nn.Identity(), twice, sampling=Sampling(0, "judge"))(x) - x
    once = DefendedModel(nn.Identity(), twice[:1], sampling=Sampling(0, "judge"))(x) - x
    assert not torch.allclose(same, 2 * once)


def test_generators_of_the_process_are_left_as_they_were() -> None:
    before = torch.get_rng_state(), np.random.get_state(legacy=False)["state"]["key"], random.getstate()  # noqa: NPY002
    drawn(Global(), Draws(0, torch.arange(3)))(torch.rand(3, 1, 2, 2, generator=torch.Generator()))
    assert torch.equal(torch.get_rng_state(), before[0])
    np.testing.assert_array_equal(np.random.get_state(legacy=False)["state"]["key"], before[1])  # noqa: NPY002
    assert random.getstate() == before[2]


def test_what_is_not_random_is_called_as_it_is() -> None:
    assert drawn(torch.relu, None) is torch.relu
    assert not is_random(torch.relu)
    assert not is_random(nn.Linear(1, 1))


def test_outside_a_run_a_random_defense_draws_from_torch() -> None:
    x = torch.zeros(2, 1, 3, 3)
    torch.manual_seed(0)
    first, second = Placement(Noise()).stage(bpda=True)(x), Placement(Noise()).stage(bpda=False)(x)
    torch.manual_seed(0)
    assert torch.equal(Placement(Noise()).stage(bpda=True)(x), first)
    assert not torch.equal(first, second)
    assert not torch.equal(first[0], first[1])


def test_gradients_and_losses_are_means_over_the_draws(network: nn.Module) -> None:
    network.eval()
    x, y = torch.rand(5, 1, 4, 4), torch.zeros(5, dtype=torch.int64)
    model = sampled(network, Noise(0.5), 6)
    found = loss_and_gradient(model, x, lambda z, piece: margin(z, y[piece]))
    each = [loss_and_gradient(draw, x, lambda z, piece: margin(z, y[piece])) for draw in model.draws()]
    torch.testing.assert_close(found.grad, sum(one.grad for one in each) / 6)
    torch.testing.assert_close(found.loss, sum(one.loss for one in each) / 6)
    torch.testing.assert_close(found.logits, model(x))


def test_the_exact_substitute_of_a_random_defense_meets_the_same_draws() -> None:
    class Gain(nn.Module):
        random = True

        def forward(self, x: Tensor, draws: Draws) -> Tensor:
            return x * draws.uniform((1, 1, 1))

    gain = Gain()
    x = torch.rand(3, 1, 2, 2).requires_grad_()
    model = DefendedModel(
        nn.Flatten(), [Placement(gain, substitute=gain)], bpda=True, sampling=Sampling(0, "a", 2)
    )
    first, second = (draw(x) for draw in model.draws())
    (grad,) = torch.autograd.grad(first.sum() + second.sum(), x)  # after both draws were made
    torch.testing.assert_close(grad, ((first + second).view_as(x) / x).detach())


def run(network: nn.Module, data: TensorDataset, **changes: object) -> Evaluation:
    settings: dict[str, object] = {
        "threat": Threat("linf", 0.1),
        "attacks": {"pgd": PGD(steps=4)},
        "defenses": {"noise": Placement(Noise(0.3))},
        "eot": 4,
        "judge_draws": 9,
        "rungs": (),
        "batch_size": 16,
    }
    return evaluate(network, data, **{**settings, **changes})  # type: ignore[arg-type]  # a table of settings


def test_the_table_of_a_random_defense_does_not_depend_on_the_batch(
    network: nn.Module, data: TensorDataset
) -> None:
    pd.testing.assert_frame_equal(run(network, data).samples, run(network, data, batch_size=7).samples)


def test_a_row_tells_the_spread_of_single_draws_and_the_cost_of_all(
    network: nn.Module, data: TensorDataset
) -> None:
    found = run(network, data)
    undefended, noisy = found.rows
    assert all(rate.spread is None for rate in undefended.rates.values())
    rate = noisy.rates["shattered"]
    share = found.samples.query("defense == 'noise' and rung == 'shattered'")["fooled_share"]
    assert rate.spread is not None
    assert rate.spread.mean == pytest.approx(1 - share.mean())
    assert 0.0 < rate.spread.deviation < 0.5
    assert rate.count == (share <= 0.5).sum()
    steps = found.samples.query("defense == 'noise' and rung == 'shattered' and queries > 0")["steps"]
    assert (steps % 4 == 0).all()
    assert steps.max() == 16


def test_behind_a_random_defense_an_attack_goes_on_after_its_first_success(network: nn.Module) -> None:
    network.eval()
    x = torch.rand(6, 1, 4, 4)
    y, threat = network(x).argmax(1), Threat("linf", 0.3)
    for attack in (PGD(steps=5), APGD(steps=5), Square(queries=6)):
        surely = attack(DefendedModel(network, []), x, y, threat, Draws(0, torch.arange(6)))
        attempt = attack(sampled(network, Noise(0.05), 3), x, y, threat, Draws(0, torch.arange(6)))
        assert surely.queries.min() < attempt.queries.min() == attempt.queries.max()


def test_an_attack_without_expectation_is_named(network: nn.Module, data: TensorDataset) -> None:
    _, noisy = run(network, data, eot=1).rows
    assert any("without expectation" in each for each in noisy.warnings)
    assert not any("without expectation" in each for each in run(network, data).rows[1].warnings)


@pytest.mark.parametrize("declared", [False, True])
def test_a_defense_that_draws_from_the_process_is_named_in_its_row(
    network: nn.Module, data: TensorDataset, declared: bool
) -> None:
    class Sly:
        """Draws where nobody sees it, whether or not it says that it is random."""

        random = declared

        def __call__(self, x: Tensor, draws: Draws | None = None) -> Tensor:
            return x + 0.3 * torch.rand_like(x)

    chain = [Placement(torch.round), Placement(Sly())]
    _, honest, sly = run(network, data, defenses={"honest": Noise(0.3), "sly": chain}).rows
    assert not any("two passes" in each for each in honest.warnings)
    (said,) = [each for each in sly.warnings if "two passes over the same images differ" in each]
    assert "Sly at input draws from a generator of the process" in said
    assert "round" not in said


def test_a_lucky_draw_is_no_success() -> None:
    class Coin(nn.Module):
        """Right in four draws of five, whatever the pixels."""

        random = True

        def forward(self, x: Tensor, draws: Draws) -> Tensor:
            wrong = draws.uniform((1, 1, 1)) < 0.2
            return torch.where(wrong, 1.0, 0.0).expand_as(x)

    class First(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            score = x.flatten(1)[:, :1]
            return torch.cat([0.5 - score, score - 0.5], dim=1)

    data = TensorDataset(torch.rand(60, 1, 2, 2), torch.zeros(60, dtype=torch.int64))
    found = run(
        First(),
        data,
        defenses={"coin": Coin()},
        attacks={"square": Square(queries=50)},
        eot=1,
        judge_draws=51,
    )
    _, row = found.rows
    assert row.rates["shattered"].count == row.rates["clean"].count == 60
    assert row.rates["shattered"].spread is not None
    assert row.rates["shattered"].spread.mean == pytest.approx(0.8, abs=0.05)


@pytest.mark.parametrize("name", ["eot", "judge_draws"])
def test_less_than_one_draw_is_refused(name: str, network: nn.Module, data: TensorDataset) -> None:
    with pytest.raises(InputError, match=f"{name} must be at least 1"):
        run(network, data, **{name: 0})
