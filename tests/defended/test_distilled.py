"""A network that is distilled from a model: its points, its shapes, and what it learns."""

import pytest
import torch
from torch import Tensor

from advbench import Threat
from advbench.defended.distilled import Distilled, answers_near, distilled, neighbours, places, shifted
from advbench.defended.learned import pack_network, read_fitted
from advbench.draws.draws import Draws
from advbench.errors import ModelError
from tests.evaluation.models import Sum

THREAT = Threat("linf", 0.1)


def images(count: int = 24) -> tuple[Tensor, Draws]:
    x = torch.rand(count, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    return x, Draws(0, torch.arange(count))


def of_sum(x: Tensor) -> tuple[Tensor, Tensor]:
    return x, Sum(edge=8.0)(x).detach()


def test_a_distilled_network_predicts_what_the_model_does_and_its_seed_decides_it() -> None:
    x, draws = images()
    network = distilled(of_sum, x, draws, THREAT, seed=0)
    near = neighbours(x, draws, THREAT, 100)
    agreeing = (network(near).argmax(1) == of_sum(near)[1].argmax(1)).float().mean()
    assert len(near) == 120
    assert agreeing > 0.9
    again = distilled(of_sum, x, draws, THREAT, seed=0)
    assert torch.equal(again(x), network(x))
    kept = read_fitted(pack_network(network, {}), torch.device("cpu"), Distilled)
    assert kept is not None
    assert torch.equal(kept(x), network(x))


def test_points_are_shifted_images_within_the_ball() -> None:
    x, draws = images(4)
    points = answers_near(of_sum, x, draws, THREAT)
    assert len(points.x) == 25 * len(x)
    whole = torch.cat([shifted(x, place) for place in [*places(x), *places(x)][:25]])
    assert bool(((points.x - whole).abs() <= THREAT.eps + 1e-6).all())
    assert torch.equal(points.y, of_sum(points.x)[1])


def test_a_shift_fills_from_the_border() -> None:
    x = torch.arange(4.0).view(1, 1, 2, 2)
    assert shifted(x, (1, 0)).flatten().tolist() == [0.0, 1.0, 0.0, 1.0]
    assert shifted(x, (0, -1)).flatten().tolist() == [1.0, 1.0, 3.0, 3.0]
    assert torch.equal(shifted(x, (0, 0)), x)


@pytest.mark.parametrize("before", [(1, 4, 4), (3, 32, 32), (3, 70, 66), (1, 1, 1)])
def test_images_of_any_size_have_a_network(before: tuple[int, ...]) -> None:
    assert Distilled(before, (7,))(torch.zeros(2, *before)).shape == (2, 7)


def test_a_model_of_nan_cannot_be_distilled() -> None:
    x, draws = images(3)
    with pytest.raises(ModelError, match="all NaN or infinite"):
        distilled(lambda x: (x, torch.full((len(x), 2), torch.nan)), x, draws, THREAT, seed=0)
