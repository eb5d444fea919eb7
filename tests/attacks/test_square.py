"""Square: random search that never asks for a gradient, keeps to its ball, and finds what there is."""

import pytest
import torch
from torch import Tensor, nn

from advbench import Draws, Threat
from advbench.attacks import Square
from advbench.attacks.corners import Corners
from advbench.attacks.square import bump, tiles, window_lp
from advbench.errors import SpecError
from advbench.threat.threat import Norm
from tests.attacks.counted import Counted, run


def test_it_asks_for_scores_alone_and_counts_what_it_asks(linear_model: nn.Sequential) -> None:
    model = Counted(linear_model)
    x = torch.rand(40, 1, 4, 4, generator=torch.Generator().manual_seed(1))
    y = linear_model(x).argmax(1)
    attempt = run(Square(queries=60), model, x, y, Threat("linf", 0.1))
    fallen = linear_model(attempt.x_adv).argmax(1) != y
    assert 0.2 < fallen.float().mean() < 1.0
    assert attempt.queries[~fallen].tolist() == [60] * int((~fallen).sum())
    assert int(attempt.queries[fallen].max()) <= 60
    assert model.sizes[-1] < 40, "images that have fallen leave"
    assert model.gradients == 0
    assert attempt.steps.sum() == 0
    assert not attempt.flat.any(), "without gradients none can be flat"


@pytest.mark.parametrize(
    ("norm", "eps", "reached"), [("linf", 0.1, 0.95), ("l2", 0.4, 0.8), ("l1", 1.0, 0.5)]
)
def test_on_a_linear_model_it_comes_near_the_analytic_optimum(norm: Norm, eps: float, reached: float) -> None:
    w = torch.randn(64, generator=torch.Generator().manual_seed(0))
    x, threat = torch.full((1, 1, 8, 8), 0.5), Threat(norm, eps)

    def model(x: Tensor) -> Tensor:
        score = (x - 0.5).flatten(1) @ w
        return torch.stack([torch.full_like(score, 100.0), score], dim=1)

    # In L1 the box lets no pixel change by more than a half, so that the budget goes to two of them.
    best = {"linf": eps * w.abs().sum(), "l2": eps * w.norm(), "l1": w.abs().topk(2).values.sum() / 2}[norm]
    x_adv = run(Square(queries=3000), model, x, torch.tensor([0]), threat).x_adv
    assert float(model(x_adv)[0, 1] / best) > reached


def test_proposals_change_one_window_to_a_corner_of_the_ball() -> None:
    x = torch.full((5, 3, 9, 7), 0.5)
    numbers = Draws(0, torch.arange(5)).uniform((2, 8))
    x_adv = x.clone()
    Corners.of(x, Threat("linf", 0.2), [2, 4], numbers).write(x_adv, 1)
    changed = (x_adv != x).flatten(2)
    assert (changed.sum(2) == 16).all()
    torch.testing.assert_close((x_adv - x).abs().amax((1, 2, 3)), torch.full((5,), 0.2))
    for image in x_adv - x:
        assert all(len(colour.unique()) == 2 for colour in image)


@pytest.mark.parametrize("norm", ["l2", "l1"])
@pytest.mark.parametrize("side", [1, 2, 3, 4, 9])
@pytest.mark.parametrize("shape", [(1, 9, 9), (3, 8, 12), (3, 3, 3), (1, 1, 1), (1, 2, 5)])
def test_proposals_keep_to_the_sphere_at_every_size(norm: Norm, side: int, shape: tuple[int, ...]) -> None:
    x = torch.full((6, *shape), 0.5)
    draws, threat = Draws(0, torch.arange(6)), Threat(norm, 0.1)
    start = tiles(x, threat, draws)
    torch.testing.assert_close(threat.distance(start, x), torch.full((6,), 0.1))
    x_adv = window_lp(start, x, threat, side, draws.uniform((5 + shape[0],)))
    torch.testing.assert_close(threat.distance(x_adv, x), torch.full((6,), 0.1))
    assert not torch.equal(x_adv, x)


@pytest.mark.parametrize("side", [1, 2, 3, 4, 5, 9, 20])
def test_a_bump_has_unit_length_and_two_opposite_halves(side: int) -> None:
    shape = bump(side)
    torch.testing.assert_close(shape.norm(), torch.tensor(1.0))
    if side >= 3:
        assert (shape[: side // 2] > 0).all()
        assert (shape[side // 2 :] < 0).all()


def test_windows_shrink_as_in_the_paper() -> None:
    attack, x = Square(queries=10_000), torch.zeros(1, 3, 32, 32)
    sides = {query: attack._side(query, x) for query in (1, 11, 51, 201, 501, 1001, 2001, 4001, 6001, 8001)}
    shares = [0.8 / 2**halving for halving in range(10)]
    assert list(sides.values()) == [max(1, round((share * 1024) ** 0.5)) for share in shares]


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"queries": 0}, "queries must be at least 1"), ({"share": 0.0}, r"share must lie in \(0, 1\]")],
)
def test_settings_out_of_range_are_refused(settings: dict[str, float], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        Square(**settings)  # type: ignore[arg-type]  # wrong on purpose
