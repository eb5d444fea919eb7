"""What an adversary may do: how a radius reads, what lies in the ball, and one meaning of a norm."""

import numpy as np
import pytest
import torch
from torch import Tensor

from advbench import Draws, Threat
from advbench.errors import SpecError
from advbench.threat.threat import ROUNDING, Norm

NORMS: tuple[Norm, ...] = ("linf", "l2", "l1")
ORDERS: dict[Norm, float] = {"linf": np.inf, "l2": 2, "l1": 1}


def images(seed: int, n: int = 3) -> Tensor:
    return torch.rand(n, 2, 4, 4, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    ("spoil", "why"),
    [
        (lambda x: x + 0.2, "outside the ball"),
        (lambda x: x * torch.nan, "not a number"),
        (lambda x: x - 0.01, "below the box"),
    ],
)
def test_what_is_outside_is_seen(spoil: object, why: str) -> None:
    x = torch.zeros(1, 1, 2, 2)
    assert callable(spoil)
    assert not Threat("linf", 0.1).contains(spoil(x), x).any(), why


@pytest.mark.parametrize(("text", "eps"), [("8/255", 8 / 255), ("0.03", 0.03), (" 1 ", 1.0)])
def test_a_radius_reads_as_it_is_written_and_prints_back(text: str, eps: float) -> None:
    threat = Threat.parse("linf", text)
    assert threat.eps == eps
    assert threat.text == text.strip()


@pytest.mark.parametrize(
    ("norm", "text", "message"),
    [
        ("linf", "8", "Did you mean 8/255?"),
        ("linf", "0", r"\(0, 1\]"),
        ("linf", "-0.1", r"\(0, 1\]"),
        ("l2", "0", r"\(0, inf\)"),
        ("linf", "abc", "0.03 or 8/255"),
        ("linf", "1/0", "0.03 or 8/255"),
        ("linf", "nan", "0.03 or 8/255"),
        ("l2", "-inf", "0.03 or 8/255"),
    ],
)
def test_a_radius_out_of_range_is_refused(norm: Norm, text: str, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        Threat.parse(norm, text)


@pytest.mark.parametrize("norm", NORMS)
def test_within_an_infinite_radius_every_pixel_may_become_anything(norm: Norm) -> None:
    threat = Threat.parse(norm, "inf")
    black, white = torch.zeros(1, 3, 224, 224), torch.ones(1, 3, 224, 224)
    assert threat.text == "inf"
    assert bool(threat.contains(white, black))
    assert torch.equal(threat.project(white, black), white)


def test_an_l2_radius_may_exceed_one() -> None:
    assert Threat.parse("l2", "3").eps == 3.0


def test_an_unknown_norm_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(SpecError, match="no norm 'L2'"):
        Threat("L2", 0.5)  # type: ignore[arg-type]  # wrong on purpose


@pytest.mark.parametrize("norm", NORMS)
def test_distances_are_numpys_norms_of_each_image(norm: Norm) -> None:
    x, x_adv = images(0), images(1)
    difference = (x_adv - x).double().flatten(1).numpy()
    expected = torch.from_numpy(np.linalg.norm(difference, ORDERS[norm], axis=1))
    torch.testing.assert_close(Threat(norm, 0.1).distance(x_adv, x).double(), expected, rtol=1e-6, atol=0.0)
    assert Threat(norm, 0.1).distance(x[:0], x[:0]).shape == (0,)


@pytest.mark.parametrize("norm", NORMS)
def test_a_steepest_step_is_as_long_as_one_and_rises_by_the_dual_norm(norm: Norm) -> None:
    grad = images(2).double() - 0.5
    threat, dual = Threat(norm, 0.1), {"linf": 1, "l2": 2, "l1": np.inf}[norm]
    step = threat.steepest(grad)
    torch.testing.assert_close(threat.distance(step, torch.zeros_like(step)), torch.ones(3).double())
    rise = torch.from_numpy(np.linalg.norm(grad.flatten(1).numpy(), dual, axis=1))
    torch.testing.assert_close((grad * step).flatten(1).sum(1), rise)


@pytest.mark.parametrize("norm", NORMS)
def test_a_radius_of_its_own_binds_an_image_in_place_of_the_threats(norm: Norm) -> None:
    x, threat = torch.full((3, 2, 4, 4), 0.5), Threat(norm, 0.2)
    own = torch.tensor([0.0, 0.05, 0.3])
    found = threat.project(images(3), x, own)
    torch.testing.assert_close(threat.distance(found, x), own, atol=1e-5, rtol=0.0)


@pytest.mark.parametrize("norm", NORMS)
def test_a_random_point_is_a_matter_of_the_image_and_its_stream(norm: Norm) -> None:
    x, threat = images(4), Threat(norm, 0.3)
    whole = threat.random_point(x, Draws(7, torch.tensor([5, 6, 7])))
    assert torch.equal(threat.random_point(x[1:2], Draws(7, torch.tensor([6]))), whole[1:2])
    assert not torch.equal(threat.random_point(x, Draws(8, torch.tensor([5, 6, 7]))), whole)


@pytest.mark.parametrize(
    ("pixel", "inside"),
    [
        (0.9, True),
        (0.9 + 0.9 * ROUNDING, True),
        (0.9 + 3 * ROUNDING, False),
        (0.7 - 0.9 * ROUNDING, True),
        (0.7 - 3 * ROUNDING, False),
        (torch.inf, False),
        (torch.nan, False),
    ],
)
def test_the_ball_is_closed_up_to_the_rounding_of_float32(pixel: float, inside: bool) -> None:
    x = torch.full((1, 1, 1, 2), 0.8)
    x_adv = torch.tensor([[[[0.8, pixel]]]])
    assert Threat("linf", 0.1).contains(x_adv, x).tolist() == [inside]


@pytest.mark.parametrize(("eps", "text"), [(8 / 255, "0.0313725490196"), (0.5, "0.5"), (1, "1")])
def test_a_radius_without_words_prints_as_a_short_decimal(eps: float, text: str) -> None:
    assert Threat("linf", eps).text == text
