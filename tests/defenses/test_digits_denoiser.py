"""The bundled denoiser: what its formula promises, what it was trained to do, and what its card says."""

import math
import re

import pytest
import torch

from advbench.defenses.digits_denoiser import WEIGHTS, DigitsDenoiser, digits_denoiser, noisy
from advbench.errors import DefenseError
from advbench.files import sha256
from benchmarks.train_denoiser import accuracy, digits, error, train

CARD = WEIGHTS.with_suffix(".md").read_text(encoding="utf-8")


def test_without_what_it_has_learnt_it_is_the_best_linear_denoiser() -> None:
    network = DigitsDenoiser()
    with torch.no_grad():
        network.leave.weight.zero_()
        network.leave.bias.zero_()
        x, sigma = torch.rand(3, 1, 8, 8), torch.tensor([0.1, 0.5, 2.0])
        v, s2 = 0.376**2, sigma.square().view(-1, 1, 1, 1)
        torch.testing.assert_close(network(x, sigma), 0.305 + (x - 0.305) * v / (v + s2))


def test_images_without_noise_stay_as_they_are() -> None:
    x = digits("test").x[:32]
    y = digits_denoiser()(x, torch.tensor(1e-4))
    torch.testing.assert_close(y, x, rtol=0.0, atol=1e-3)


def test_noise_of_one_number_is_that_number_for_every_image() -> None:
    network, x = digits_denoiser(), torch.rand(8, 1, 8, 8)
    torch.testing.assert_close(network(x, torch.tensor(0.3)), network(x, torch.full((8,), 0.3)))


@pytest.mark.parametrize("noise", [0.1, 0.2, 0.4])
def test_it_takes_away_far_more_noise_than_the_best_linear_denoiser(noise: float) -> None:
    linear = math.sqrt(0.376**2 * noise**2 / (0.376**2 + noise**2))
    found = error(digits_denoiser(), digits("test").x, noise)
    assert found < 0.7 * linear
    assert f"{found:.3f} at noise {noise}" in CARD


def test_the_card_is_of_these_weights() -> None:
    assert sha256(WEIGHTS) in CARD
    assert WEIGHTS.stat().st_size < 1_000_000
    assert f"{sum(parameter.numel() for parameter in digits_denoiser().parameters()):,} parameters" in CARD
    rate = accuracy(digits_denoiser())
    told = re.findall(r"\((\d+) of (\d+)\)", CARD)
    assert abs(rate.count - int(told[0][0])) <= 2
    assert rate.n == int(told[0][1])


def test_training_is_a_function_of_its_seed() -> None:
    one, again, other = (train(seed, steps=20) for seed in (0, 0, 1))
    x, sigma = torch.rand(2, 1, 8, 8), torch.tensor(0.3)
    assert torch.equal(one(x, sigma), again(x, sigma))
    assert not torch.equal(one(x, sigma), other(x, sigma))


def test_noise_is_scaled_image_by_image() -> None:
    z = torch.ones(2, 1, 8, 8)
    assert noisy(torch.zeros(2, 1, 8, 8), torch.tensor([0.5, 2.0]), z).mean((1, 2, 3)).tolist() == [0.5, 2.0]


def test_other_images_are_refused() -> None:
    with pytest.raises(DefenseError, match=r"of grey digits \(n, 1, 8, 8\), got images \(2, 3, 32, 32\)"):
        digits_denoiser()(torch.rand(2, 3, 32, 32), torch.tensor(0.1))
