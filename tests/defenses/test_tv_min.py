"""Total variation minimisation against slow solvers of the same problem."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import scipy.optimize
import torch
from skimage import restoration
from torch import Tensor

from advbench.defenses import TVMin
from advbench.errors import SpecError
from tests.defenses.families import images, streams


def natural(n: int, c: int, side: int) -> Tensor:
    """Blobs on ramps, with noise."""
    ramp = torch.linspace(0, 1, side)
    blob = ((ramp[:, None] - 0.4) ** 2 + (ramp - 0.6) ** 2 < 0.06).float()
    return 0.2 + 0.2 * ramp + 0.4 * blob + 0.1 * images(n, c, side, side)


def objective(z: Tensor, x: Tensor, kept: Tensor, weight: float) -> Tensor:
    """Of each image, `(n,)`: half the squared distance of the kept pixels, and the isotropic variation."""
    down, right = torch.zeros_like(z), torch.zeros_like(z)
    down[..., :-1, :] = z[..., 1:, :] - z[..., :-1, :]
    right[..., :-1] = z[..., 1:] - z[..., :-1]
    variation = (down**2 + right**2).sqrt()
    return (0.5 * kept * (z - x) ** 2 + weight * variation).flatten(1).sum(1)


@pytest.mark.parametrize("weight", [0.03, 0.1])
def test_the_objective_is_that_of_another_solver(weight: float) -> None:
    """L-BFGS on the same objective, its roots rounded off by 1e-8."""
    x = natural(1, 1, 10).double()
    g = TVMin(weight=weight, steps=3000)
    kept = g.kept(x, streams(x))

    def rounded_off(values: npt.NDArray[np.float64]) -> tuple[float, npt.NDArray[np.float64]]:
        z = torch.from_numpy(values).view_as(x).requires_grad_()
        down = torch.nn.functional.pad(z[..., 1:, :] - z[..., :-1, :], (0, 0, 0, 1))
        right = torch.nn.functional.pad(z[..., 1:] - z[..., :-1], (0, 1))
        variation = (down**2 + right**2 + 1e-8).sqrt()
        loss = (0.5 * kept * (z - x) ** 2 + weight * variation).sum()
        (grad,) = torch.autograd.grad(loss, z)
        return loss.item(), grad.flatten().numpy()

    found = scipy.optimize.minimize(
        rounded_off,
        x.flatten().numpy(),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": 20000, "maxfun": 50000},
    )
    slow = objective(torch.from_numpy(found.x).view_as(x), x, kept, weight)
    fast = objective(g(x, streams(x)), x, kept, weight)
    assert fast.item() <= slow.item() * 1.001
    assert fast.item() >= slow.item() * 0.99


def test_sixty_steps_come_near_the_least_objective() -> None:
    x = natural(4, 3, 32).double()
    g, limit = TVMin(), TVMin(steps=2000)
    kept = g.kept(x, streams(x))
    near, least = (objective(each(x, streams(x)), x, kept, 0.03) for each in (g, limit))
    nothing = objective(x, x, kept, 0.03)
    assert (least < 0.5 * nothing).all()
    assert (near < 1.03 * least).all()


def test_without_dropped_pixels_it_equals_chambolles_solver() -> None:
    x = natural(1, 1, 16).double()
    expected = restoration.denoise_tv_chambolle(x[0, 0].numpy(), weight=0.1, eps=1e-10, max_num_iter=5000)
    got = TVMin(drop=0.0, weight=0.1, steps=2000)(x, streams(x))[0, 0].numpy()
    np.testing.assert_allclose(got, expected, atol=2e-3)


def test_what_was_dropped_plays_no_part() -> None:
    x = natural(3, 3, 16)
    g = TVMin()
    kept = g.kept(x, streams(x))
    other = torch.where(kept > 0, x, 1.0 - x)
    assert torch.equal(g(other, streams(x)), g(x, streams(x)))
    assert torch.equal(g.smooth(other, streams(x)), g.smooth(x, streams(x)))
    assert not torch.equal(g(1.0 - x, streams(x)), g(x, streams(x)))


@pytest.mark.parametrize("drop", [0.0, 0.2, 0.5, 0.9])
def test_so_many_pixels_are_dropped_each_alone(drop: float) -> None:
    x = images(20, 3, 16, 16)
    kept = TVMin(drop=drop).kept(x, streams(x))
    assert set(kept.flatten().tolist()) <= {0.0, 1.0}
    assert kept.mean().item() == pytest.approx(1.0 - drop, abs=0.02)
    if drop == 0.5:
        assert (kept[:, 0] != kept[:, 1]).any()  # channels are dropped apart, as in equation 6
        assert not torch.equal(kept[0], kept[1])


def test_almost_no_weight_and_no_drops_leave_the_image() -> None:
    x = natural(2, 3, 8)
    torch.testing.assert_close(TVMin(drop=0.0, weight=1e-6)(x, streams(x)), x, atol=1e-4, rtol=0.0)


def test_a_heavy_weight_leaves_one_colour() -> None:
    x = natural(2, 1, 8)
    y = TVMin(weight=100.0, steps=2000)(x, streams(x))
    assert (y.flatten(1).std(1) < 1e-2).all()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: TVMin(drop=1.0), r"drop must lie in \[0, 1\), got 1"),
        (lambda: TVMin(weight=0.0), "weight must be positive"),
        (lambda: TVMin(steps=0), "steps must be at least 1"),
    ],
)
def test_parameters_out_of_range_are_refused(make: Any, message: str) -> None:
    with pytest.raises(SpecError, match=message):
        make()
