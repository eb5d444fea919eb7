"""The smallest change that reaches a hyperplane: against a general solver, and what it must keep."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from scipy.optimize import linprog, minimize

from advbench.attacks.hyperplane import to_hyperplane
from advbench.threat.threat import Norm, Threat

NORMS: list[Norm] = ["linf", "l2", "l1"]


def cases(n: int = 40, d: int = 6) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Images, hyperplanes and how far they are: some at once, some by a corner of the box, some never."""
    g = torch.Generator().manual_seed(1)
    x = torch.rand(n, 1, 2, d // 2, generator=g)
    normal = torch.randn(x.shape, generator=g)
    normal[::7, :, 0, 0] = 0.0
    most = torch.where(normal > 0, normal * (1 - x), -normal * x).flatten(1).sum(1)
    need = most * torch.linspace(0.05, 1.2, n)
    return x, normal, need


Vector = npt.NDArray[np.float64]


def smallest(norm: Norm, x: Vector, w: Vector, need: float) -> float | None:
    """The optimum by a solver that knows nothing of the closed form; None where there is no such point."""
    d = len(x)
    if norm == "l2":
        start = linprog(np.zeros(d), A_eq=w[None], b_eq=[need], bounds=list(zip(-x, 1 - x, strict=True)))
        if start.status != 0:
            return None
        found = minimize(
            lambda v: float(v @ v),
            start.x,
            jac=lambda v: 2 * v,
            bounds=list(zip(-x, 1 - x, strict=True)),
            constraints={"type": "eq", "fun": lambda v: w @ v - need, "jac": lambda _: w},
            options={"ftol": 1e-12, "maxiter": 500},
        )
        return float(found.fun**0.5)
    # Split into what is added and what is taken, and for L-inf with one bound for all of them.
    costs = np.ones(2 * d) if norm == "l1" else np.r_[np.zeros(2 * d), 1.0]
    equal = np.r_[w, -w] if norm == "l1" else np.r_[w, -w, 0.0]
    bounds = [(0, 1 - each) for each in x] + [(0, each) for each in x]
    rest = {}
    if norm == "linf":
        bounds.append((0, None))
        rest = {"A_ub": np.c_[np.eye(2 * d), -np.ones(2 * d)], "b_ub": np.zeros(2 * d)}
    solved = linprog(costs, A_eq=equal[None], b_eq=[need], bounds=bounds, **rest)
    return float(solved.fun) if solved.status == 0 else None


@pytest.mark.parametrize("norm", NORMS)
def test_the_change_is_as_small_as_a_solver_finds_it(norm: Norm) -> None:
    x, normal, need = cases()
    delta = to_hyperplane(x, normal, need, norm)
    reached = (normal * delta).flatten(1).sum(1)
    unreachable = 0
    for row in range(len(x)):
        best = smallest(
            norm,
            x[row].flatten().numpy().astype(float),
            normal[row].flatten().double().numpy(),
            float(need[row]),
        )
        if best is None:
            unreachable += 1
            assert reached[row] < need[row]
            continue
        size = float(Threat(norm, 1.0).distance(x[row : row + 1] + delta[row : row + 1], x[row : row + 1]))
        assert size == pytest.approx(best, abs=1e-4)
        assert float(reached[row]) == pytest.approx(float(need[row]), abs=1e-5)
    assert 0 < unreachable < len(x)


@pytest.mark.parametrize("norm", NORMS)
def test_the_change_stays_in_the_box_and_its_sign_follows_the_need(norm: Norm) -> None:
    x, normal, need = cases()
    there = to_hyperplane(x, normal, need, norm)
    back = to_hyperplane(x, -normal, -need, norm)
    assert ((x + there >= 0.0) & (x + there <= 1.0 + 1e-6)).all()
    assert torch.allclose(there, back)


@pytest.mark.parametrize("norm", NORMS)
def test_where_the_box_leaves_no_point_the_corner_nearest_to_the_plane_is_taken(norm: Norm) -> None:
    x, normal, _ = cases()
    delta = to_hyperplane(x, normal, torch.full((len(x),), 1e6), norm)
    corner = torch.where(normal > 0, 1.0 - x, -x)
    assert torch.allclose(delta, torch.where(normal == 0, 0.0, corner))


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_a_level_is_found_in_a_few_steps_whatever_the_number_of_entries(
    norm: Norm, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Sums are what a step costs; there are two of them in each."""
    x, normal, need = cases(40, 3000)
    sums, plain = [0], torch.Tensor.sum

    def counted(*words: Any, **more: Any) -> torch.Tensor:
        sums[0] += 1
        return plain(*words, **more)

    monkeypatch.setattr(torch.Tensor, "sum", counted)
    delta = to_hyperplane(x, normal, need, norm)
    assert sums[0] / 2 <= 20
    reached = (normal * delta).double().flatten(1).sum(1)
    reachable = torch.linspace(0.05, 1.2, len(x)) < 1.0
    torch.testing.assert_close(reached[reachable], need[reachable].double(), rtol=1e-5, atol=0.0)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("slope", [0.0, float("nan")])
def test_without_a_slope_nothing_changes(norm: Norm, slope: float) -> None:
    x = torch.rand(3, 1, 2, 2)
    assert not to_hyperplane(x, torch.full_like(x, slope), torch.ones(3), norm).any()
