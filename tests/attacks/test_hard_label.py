"""The hard-label attack: classes are all that it sees, and what it finds lies in the ball."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from advbench import DefendedModel, Draws, Threat
from advbench.attacks import HardLabel
from advbench.errors import SpecError
from advbench.threat.threat import Norm
from tests.attacks.counted import Counted, Model

RADII: list[tuple[Norm, float]] = [("linf", 0.1), ("l2", 0.3), ("l1", 0.8)]


def bent(logits: Tensor) -> Tensor:
    """The same classes, larger where the margin is small."""
    top = logits.topk(2, dim=1).values
    return logits.argsort(1).argsort(1) / (0.01 + (top[:, :1] - top[:, 1:2]))


def permuted(logits: Tensor) -> Tensor:
    """The same first class, the others in another order."""
    first = nn.functional.one_hot(logits.argmax(1), logits.shape[1])
    return torch.where(first.bool(), logits.amax(1, keepdim=True) + 1.0, logits.flip(1))


def one_hot(logits: Tensor) -> Tensor:
    return nn.functional.one_hot(logits.argmax(1), logits.shape[1]).float()


def rounded(logits: Tensor) -> Tensor:
    """Whole numbers, the first class a step ahead."""
    return logits.round() + 1e6 * one_hot(logits)


def images(model: Model, count: int = 24) -> tuple[Tensor, Tensor]:
    x = torch.rand(count, 1, 4, 4, generator=torch.Generator().manual_seed(1))
    return x, model(x).argmax(1)


@pytest.mark.parametrize(("norm", "eps"), RADII)
@pytest.mark.parametrize("lie", [bent, permuted, one_hot, rounded])
def test_scores_that_lie_change_neither_queries_nor_examples(
    norm: Norm, eps: float, lie: Callable[[Tensor], Tensor], linear_model: nn.Sequential
) -> None:
    x, y = images(linear_model)
    threat, draws = Threat(norm, eps), Draws(0, torch.arange(len(x)))
    honest = HardLabel(queries=120)(linear_model, x, y, threat, draws)
    lying = HardLabel(queries=120)(lambda points: lie(linear_model(points)), x, y, threat, draws)
    assert torch.equal(honest.x_adv, lying.x_adv)
    assert torch.equal(honest.queries, lying.queries)
    fell = linear_model(threat.project(honest.x_adv, x)).argmax(1) != y
    assert 0.0 < fell.float().mean() < 1.0, "neither all nor none, so that the comparison says something"


@pytest.mark.parametrize(("norm", "eps"), RADII)
def test_it_counts_what_it_asks_and_asks_no_more_about_what_has_fallen(
    norm: Norm, eps: float, linear_model: nn.Sequential
) -> None:
    x, y = images(linear_model, 40)
    model, threat = Counted(linear_model), Threat(norm, eps)
    attempt = HardLabel(queries=100)(model, x, y, threat, Draws(0, torch.arange(len(x))))
    assert sum(model.sizes) == int(attempt.queries.sum())
    assert int(attempt.queries.max()) <= 100
    assert model.sizes[-1] < 40
    assert model.gradients == 0
    inside = threat.contains(attempt.x_adv, x)
    found = (attempt.x_adv != x).flatten(1).any(1)
    assert found.float().mean() > 0.8
    fooling = linear_model(attempt.x_adv).argmax(1) != y
    assert torch.equal(fooling, found), "an example that was found is handed back, in the ball or not"
    assert (attempt.queries[inside] < 100).any()


@pytest.mark.parametrize(("norm", "eps", "reach"), [("linf", 0.1, 1.1), ("l2", 0.4, 1.1), ("l1", 1.0, 2.0)])
def test_on_a_linear_model_it_finds_what_lies_a_little_beyond_the_optimum(
    norm: Norm, eps: float, reach: float
) -> None:
    w = torch.randn(64, generator=torch.Generator().manual_seed(0))
    x, threat = torch.full((1, 1, 8, 8), 0.5), Threat(norm, eps)
    best = {"linf": eps * w.abs().sum(), "l2": eps * w.norm(), "l1": w.abs().topk(2).values.sum() / 2}[norm]

    def model(points: Tensor) -> Tensor:
        score = (points - 0.5).flatten(1) @ w
        return torch.stack([torch.full_like(score, float(best) / reach), score], dim=1)

    attempt = HardLabel(queries=1500)(model, x, torch.tensor([0]), threat, Draws(0, torch.arange(1)))
    assert threat.contains(attempt.x_adv, x).all()
    assert int(model(attempt.x_adv).argmax(1)) == 1
    assert int(attempt.queries) < 1500


def test_behind_a_random_model_it_goes_on_to_the_depth_of_the_ball(linear_model: nn.Sequential) -> None:
    x, y = images(linear_model, 8)
    model = DefendedModel(linear_model, ())
    model.is_random = True
    threat = Threat("linf", 0.2)
    attempt = HardLabel(queries=200)(model, x, y, threat, Draws(0, torch.arange(8)))
    plain = HardLabel(queries=200)(linear_model, x, y, threat, Draws(0, torch.arange(8)))
    assert (attempt.queries >= plain.queries).all()
    fell = linear_model(threat.project(attempt.x_adv, x)).argmax(1) != y
    assert fell.any()
    border = threat.distance(attempt.x_adv[fell], x[fell])
    assert (border >= 0.25 * 0.2 - 1e-6).all()


def test_an_attack_without_queries_is_refused() -> None:
    with pytest.raises(SpecError, match="queries must be at least 1, got 0"):
        HardLabel(queries=0)
