"""Tabu: Square's windows with a memory of what was tried, which changes what is asked and nothing else."""

import pytest
import torch
from torch import Tensor, nn

from advbench import Draws, Threat
from advbench.attacks import Square, Tabu
from advbench.errors import SpecError
from advbench.threat.norms import l2_norm
from advbench.threat.threat import Norm
from tests.attacks.counted import Counted, run

THREAT = Threat("linf", 0.1)


class Noted:
    """A linear classifier of one image that keeps what it was shown, and lets nothing beat the label."""

    def __init__(self, w: Tensor) -> None:
        self.w = w
        self.shown: list[Tensor] = []

    def __call__(self, x: Tensor) -> Tensor:
        self.shown.append(x.clone())
        score = (x - 0.5).flatten(1) @ self.w
        return torch.stack([torch.full_like(score, 100.0), score], dim=1)


def noted(attack: Square | Tabu, w: Tensor) -> tuple[Noted, Tensor]:
    model = Noted(w)
    x = torch.full((1, 1, 8, 8), 0.5)
    return model, run(attack, model, x, torch.tensor([0]), THREAT).x_adv


def test_it_asks_for_scores_alone_and_counts_what_it_asks(linear_model: nn.Sequential) -> None:
    model = Counted(linear_model)
    x = torch.rand(40, 1, 4, 4, generator=torch.Generator().manual_seed(1))
    y = linear_model(x).argmax(1)
    attempt = run(Tabu(queries=60), model, x, y, THREAT)
    fallen = linear_model(attempt.x_adv).argmax(1) != y
    assert 0.2 < fallen.float().mean() < 1.0
    assert attempt.queries[~fallen].tolist() == [60] * int((~fallen).sum())
    assert model.sizes[-1] < 40, "images that have fallen leave"
    assert (model.gradients, int(attempt.steps.sum())) == (0, 0)


def test_every_proposal_changes_one_square_to_corners_of_the_ball() -> None:
    model, _ = noted(Tabu(queries=400), torch.randn(64, generator=torch.Generator().manual_seed(0)))
    best, highest = model.shown[0], -torch.inf
    for x in model.shown:
        torch.testing.assert_close((x - 0.5).abs(), torch.full_like(x, 0.1))
        score = float((x - 0.5).flatten() @ model.w)
        changed = (x != best)[0, 0]
        if x is not model.shown[0]:
            assert changed.any(), "what changes nothing is never asked"
            assert len(set(x[0, 0][changed].tolist())) == 1, "one corner"
        if score > highest:
            best, highest = x, score


def test_on_a_linear_model_it_reaches_the_optimum_where_square_is_on_its_way() -> None:
    w = torch.randn(64, generator=torch.Generator().manual_seed(0))
    optimum = float(0.1 * w.abs().sum())
    reached = [
        float((noted(attack, w)[1] - 0.5).flatten() @ w) / optimum
        for attack in (Tabu(queries=250), Square(queries=250))
    ]
    assert reached[0] > 0.999
    assert reached[0] > reached[1]


def test_single_pixels_are_tried_in_turn_and_not_again_and_again() -> None:
    """With windows of one pixel, of which 64 in a row are refused."""
    model, _ = noted(Tabu(queries=2000, share=1e-9), torch.full((64,), -1.0))
    late = [x for x in model.shown if float((x - 0.5).sum()) > -0.1 * 64 + 1e-3][-64:]
    touched = torch.stack([(x > 0.5)[0, 0] for x in late]).any(0)
    assert int(touched.sum()) > 48  # of 64 at random: 64 (1 - 1/e) = 40


@pytest.mark.parametrize("norm", ["l2", "l1"])
def test_in_other_norms_it_is_square(norm: Norm, linear_model: nn.Sequential) -> None:
    threat = Threat.parse(norm, "0.3")
    x = torch.rand(4, 1, 4, 4, generator=torch.Generator().manual_seed(1))
    y, draws = linear_model(x).argmax(1), Draws(0, torch.arange(4))
    ours = Tabu(queries=30)(linear_model, x, y, threat, draws)
    assert ours.x_adv.equal(Square(queries=30)(linear_model, x, y, threat, draws).x_adv)


def test_it_goes_on_from_a_start_in_the_ball(linear_model: nn.Sequential) -> None:
    x = torch.full((3, 1, 4, 4), 0.5)
    start = x + 0.05
    attempt = Tabu(queries=1)(
        linear_model, x, torch.zeros(3, dtype=torch.int64), THREAT, Draws(0, torch.arange(3)), start=start
    )
    assert attempt.x_adv.equal(start)
    assert attempt.queries.tolist() == [1, 1, 1]
    assert l2_norm(start - x).gt(0).all()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"queries": 0}, "queries must be at least 1"),
        ({"share": 1.5}, r"share must lie in \(0, 1\]"),
        ({"candidates": 0}, "candidates must be at least 1"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, float], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        Tabu(**settings)  # type: ignore[arg-type]  # wrong on purpose
