"""The binarization test: attacks that follow a sound gradient pass it, attacks that follow none do not."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from advbench import Attempt, Draws, Evaluation, Placement, Threat, evaluate
from advbench.attacks import PGD, Square
from advbench.errors import InputError
from advbench.evaluation.binarization import _discriminant, on_the_border
from advbench.results.indicators import Test
from advbench.results.records import LADDER, Rung
from advbench.threat.threat import Norm

TESTED: tuple[Rung | Test, ...] = (*LADDER, "binarization")


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(36, 24), nn.Tanh(), nn.Linear(24, 5)).eval()


def rounded(x: Tensor) -> Tensor:
    return (x * 20.0).round() / 20.0


class Noise(nn.Module):
    random = True

    def forward(self, x: Tensor, draws: Draws) -> Tensor:
        return x + 0.02 * draws.normal(tuple(x.shape[1:])).to(x)


def judged(defenses: Any = None, **changes: Any) -> Evaluation:
    model = network()
    x = torch.rand(24, 1, 6, 6, generator=torch.Generator().manual_seed(1))
    settings: dict[str, Any] = {
        "threat": Threat("linf", 0.1),
        "attacks": {"pgd": PGD(steps=20)},
        "gradient_free": {"square": Square(queries=10)},
        "rungs": TESTED,
        "batch_size": 16,
        "eot": 4,
        "judge_draws": 5,
    }
    data = TensorDataset(x, model(x).argmax(1))
    return evaluate(model, data, defenses=defenses or {}, **{**settings, **changes})


def outcome(
    evaluation: Evaluation, defense: str, rung: str, name: str = "binarization"
) -> tuple[float, float]:
    return next(
        (indicator.part, indicator.whole)
        for indicator in evaluation.heading.indicators
        if (indicator.defense, indicator.rung, indicator.name) == (defense, rung, name)
    )


def test_a_sound_gradient_finds_what_is_planted_and_random_points_do_not() -> None:
    evaluation = judged()
    part, whole = outcome(evaluation, "none", "shattered")
    assert whole == 24
    assert part >= 23
    assert outcome(evaluation, "none", "shattered", "binarization_random")[0] <= 4


def test_a_shattered_gradient_misses_it_and_bpda_finds_it() -> None:
    evaluation = judged({"round": rounded})
    assert outcome(evaluation, "round", "shattered") == (0.0, 24.0)
    assert outcome(evaluation, "round", "bpda")[0] >= 23


def test_a_row_that_rests_on_an_attack_that_misses_it_is_unreliable() -> None:
    def lazy(model: Any, x: Tensor, y: Tensor, threat: Threat, draws: Draws) -> Attempt:
        nothing = torch.zeros_like(y)
        return Attempt(x.clone(), nothing, nothing, nothing.bool())

    kept = judged(attacks={"lazy": lazy}, threat=Threat("linf", 0.01))
    plain = judged(attacks={"lazy": lazy}, threat=Threat("linf", 0.01), rungs=LADDER)
    assert outcome(kept, "none", "shattered") == (0.0, 24.0)
    verdict = str(kept.rows[0].verdict)
    assert verdict.startswith("unreliable")
    assert "examples that are there" in verdict
    assert "binarization" not in {indicator.name for indicator in plain.heading.indicators}


def test_the_outcome_does_not_depend_on_the_batch() -> None:
    one, other = judged({"round": rounded}, batch_size=5), judged({"round": rounded}, batch_size=24)
    assert [indicator for indicator in one.heading.indicators if "binar" in indicator.name] == [
        indicator for indicator in other.heading.indicators if "binar" in indicator.name
    ]


def test_behind_a_random_defense_the_planted_point_is_judged_in_the_judge_s_draws() -> None:
    part, whole = outcome(judged({"noise": Noise()}), "noise", "bpda")
    assert whole >= 18, "problems whose planted point the judge accepts"
    assert part >= 0.9 * whole


def test_a_defense_inside_the_network_is_part_of_the_features() -> None:
    evaluation = judged({"inside": Placement(rounded, at="1")})
    assert outcome(evaluation, "inside", "shattered")[0] == 0.0
    assert outcome(evaluation, "inside", "bpda")[0] >= 20


def test_images_whose_balls_touch_are_left_out() -> None:
    model = network()
    x = torch.full((3, 1, 6, 6), 0.5)
    x[1] += 0.15
    x[2] = 0.0
    data = TensorDataset(x, model(x).argmax(1))
    evaluation = evaluate(
        model,
        data,
        threat=Threat("linf", 0.1),
        attacks={"pgd": PGD(steps=5)},
        gradient_free={"square": Square(queries=5)},
        rungs=TESTED,
    )
    assert outcome(evaluation, "none", "shattered")[1] == 1


def test_the_test_belongs_to_the_ladder() -> None:
    with pytest.raises(InputError, match="belongs to the rung 'worst'"):
        judged(rungs=("bpda", "binarization"), gradient_free={})


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
def test_random_points_of_the_border_lie_on_it(norm: Norm) -> None:
    x = torch.full((3, 1, 6, 6), 0.5)
    threat = Threat(norm, {"linf": 0.1, "l2": 0.5, "l1": 2.0}[norm])
    points = on_the_border(x, threat, Draws(0, torch.arange(3)))
    assert torch.allclose(threat.distance(points, x), torch.tensor(threat.eps), atol=1e-4)
    assert not torch.equal(points[0], points[1])


@pytest.mark.parametrize("shape", [(200, 5), (20, 50)])
def test_the_direction_tells_the_point_from_the_cloud(shape: tuple[int, int]) -> None:
    generator = torch.Generator().manual_seed(0)
    within = torch.randn(*shape, generator=generator, dtype=torch.float64)
    outside = torch.full((shape[1],), 4.0, dtype=torch.float64)
    weights = _discriminant(within, outside, torch.max)
    assert float(outside @ weights) > float((within @ weights).max())
