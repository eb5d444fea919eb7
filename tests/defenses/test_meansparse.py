"""MeanSparse against plain loops, its gradient and its substitutes, and statistics that cannot be used."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from advbench.defenses import MeanSparse
from advbench.errors import DefenseError, SpecError
from tests.defenses.families import images

MEAN, STD = torch.tensor([0.2, -1.0, 3.0]), torch.tensor([0.5, 2.0, 0.0])
STATISTICS = torch.stack([MEAN, STD])


def values(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("alpha", [0.0, 0.25, 1.5])
@pytest.mark.parametrize(
    ("shape", "axis"), [((4, 3, 5, 6), None), ((4, 3), None), ((4, 7, 3), None), ((4, 5, 6, 3), 3)]
)
def test_values_near_the_mean_become_it_as_in_plain_loops(
    alpha: float, shape: tuple[int, ...], axis: int | None
) -> None:
    x = values(*shape)
    got = MeanSparse(alpha=alpha, axis=axis, statistics=STATISTICS)(x)
    at = axis or (2 if len(shape) == 3 else 1)
    for place in np.ndindex(*shape):
        mean, std, value = float(MEAN[place[at]]), float(STD[place[at]]), float(x[place])
        expected = mean if abs(value - mean) <= alpha * std else value
        assert float(got[place]) == pytest.approx(expected, abs=1e-6)


def test_a_second_time_changes_nothing() -> None:
    g, x = MeanSparse(statistics=STATISTICS), values(9, 3, 4, 4)
    assert torch.equal(g(g(x)), g(x))


def test_the_edge_of_the_band_belongs_to_it() -> None:
    g = MeanSparse(alpha=0.5, statistics=torch.tensor([[1.0], [0.5]]))
    assert g(torch.tensor([[1.25], [0.75], [1.2500002]])).flatten().tolist() == pytest.approx(
        [1.0, 1.0, 1.2500002], abs=1e-7
    )


def test_its_own_gradient_is_zero_in_the_band_and_one_outside() -> None:
    x = values(9, 3, 4, 4).requires_grad_()
    g = MeanSparse(alpha=0.5, statistics=STATISTICS)
    (grad,) = torch.autograd.grad(g(x).sum(), x)
    inside = (x - MEAN.view(1, 3, 1, 1)).abs() <= 0.5 * STD.view(1, 3, 1, 1)
    assert torch.equal(grad, (~inside).float())
    assert 0.0 < float(inside.float().mean()) < 1.0


def test_the_soft_band_is_the_defense_far_away_and_has_a_gradient_nearly_everywhere() -> None:
    g = MeanSparse(alpha=0.5, statistics=torch.tensor([[1.0], [0.8]]))
    x = torch.linspace(-20.0, 20.0, 4001, dtype=torch.float64)[:, None].requires_grad_()
    (grad,) = torch.autograd.grad(g.soft(x).sum(), x)
    x = x.detach()
    y = g.soft(x)
    assert float((y - g(x)).abs().max()) < 0.4 / 2 + 1e-9  # where the step is, half its height
    far = (x - 1.0).abs() > 8.0
    assert float((y - x)[far].abs().max()) < 0.05 * 0.4
    assert float((grad > 0.0).double().mean()) > 0.999
    assert float(grad.max()) == pytest.approx(9 / 8, abs=1e-3), "at u^2 = 3"
    d = 1e-6
    torch.testing.assert_close(grad, (g.soft(x + d) - g.soft(x - d)) / (2 * d), rtol=1e-4, atol=1e-6)


def test_without_a_band_the_soft_one_is_the_identity() -> None:
    x = values(5, 3, 2, 2)
    assert torch.equal(MeanSparse(alpha=0.0, statistics=STATISTICS).soft(x), x)
    assert torch.equal(MeanSparse(statistics=STATISTICS).soft(x)[:, 2], x[:, 2]), "a channel that never moves"


def test_statistics_are_read_from_either_kind_of_file_and_told_by_their_digest(tmp_path: Path) -> None:
    np.save(tmp_path / "s.npy", STATISTICS.numpy())
    np.savez(tmp_path / "s.npz", statistics=STATISTICS.numpy())
    expected, x = MeanSparse(statistics=STATISTICS), values(4, 3, 4, 4)
    for name in ("s.npy", "s.npz"):
        g = MeanSparse(statistics=tmp_path / name)
        assert g == expected
        assert torch.equal(g(x), expected(x))
    assert MeanSparse(statistics=STATISTICS + 0.1) != expected
    assert not MeanSparse().is_measured
    assert not MeanSparse().digest


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"alpha": -0.1}, r"alpha must lie in \[0, 10\], got -0.1"),
        ({"alpha": 11.0}, "got 11"),
        ({"images": 1}, "images must be at least 2, got 1"),
        ({"axis": 0}, "axis must lie in 1..4, got 0"),
        ({"statistics": "nowhere.npy"}, "there is no statistics 'nowhere.npy': make them with"),
        ({"statistics": torch.zeros(3)}, r"\(2, channels\) of floats, got torch.float32 \(3,\)"),
        ({"statistics": torch.zeros(2, 3, dtype=torch.int64)}, "of floats, got torch.int64"),
        ({"statistics": torch.full((2, 3), torch.nan)}, "must be finite"),
        ({"statistics": torch.full((2, 3), -1.0)}, "deviations not below 0"),
    ],
)
def test_parameters_out_of_range_are_refused(said: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        MeanSparse(**said)


def test_other_channels_and_missing_statistics_are_told() -> None:
    with pytest.raises(DefenseError, match=r"of 3 channels, .* \(2, 4, 8, 8\) have 4 along axis 1"):
        MeanSparse(statistics=STATISTICS)(images(2, 4, 8, 8))
    with pytest.raises(DefenseError, match="has no statistics yet, which a run measures"):
        MeanSparse()(images(2, 3, 8, 8))
    with pytest.raises(DefenseError, match=r"channels along axis 1, got activations \(2,\)"):
        MeanSparse(statistics=STATISTICS)(torch.zeros(2))
