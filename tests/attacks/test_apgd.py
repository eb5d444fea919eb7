"""Auto-PGD: closed forms on linear models in three norms, its checkpoints, and what it survives."""

import pytest
import torch
from torch import Tensor, nn

from advbench import Threat
from advbench.attacks import APGD
from advbench.attacks.apgd import APGDLoss, _looks
from advbench.errors import SpecError
from advbench.threat.losses import dlr, margin, targeted_dlr
from advbench.threat.threat import Norm
from tests.attacks.counted import Counted, Model, run

NORMS: tuple[Norm, ...] = ("linf", "l2", "l1")


def standing_linear_model(w: Tensor) -> Model:
    """Three classes, right by a margin of 10 everywhere in the ball, so that the attack runs to its end."""

    def model(x: Tensor) -> Tensor:
        score = (x - 0.5).flatten(1) @ w
        return torch.stack([torch.full_like(score, 10.0), score, -score], dim=1)

    return model


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("targets", [0, 1])
@pytest.mark.parametrize("loss", ["ce", "margin", "dlr"])
def test_on_a_linear_model_it_reaches_the_analytic_optimum(norm: Norm, targets: int, loss: APGDLoss) -> None:
    w = torch.randn(16, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    x, threat = torch.full((1, 1, 4, 4), 0.5, dtype=torch.float64), Threat(norm, 0.1)
    dual = {"linf": w.abs().sum(), "l2": w.norm(), "l1": w.abs().max()}[norm]
    model = standing_linear_model(w)
    x_adv = run(APGD(loss=loss, targets=targets), model, x, torch.tensor([0]), threat).x_adv
    reached = model(x_adv)[0, 1:].max()
    torch.testing.assert_close(reached, 0.1 * dual, rtol=1e-3, atol=0.0)


@pytest.mark.parametrize("norm", NORMS)
def test_it_fells_what_plain_steps_would_fell(norm: Norm, linear_model: nn.Sequential) -> None:
    x = torch.rand(64, 1, 4, 4, generator=torch.Generator().manual_seed(1))
    y = linear_model(x).argmax(1)
    threat = Threat(norm, {"linf": 0.1, "l2": 0.4, "l1": 1.0}[norm])
    attempt = run(APGD(steps=30), linear_model, x, y, threat)
    fallen = linear_model(attempt.x_adv).argmax(1) != y
    assert 0.2 < fallen.float().mean() < 1.0
    if norm == "linf":  # the optimum between two classes of a linear model, where the box does not bind
        weight, bias = linear_model.get_parameter("1.weight"), linear_model.get_parameter("1.bias")
        rows = weight[None] - weight[y][:, None]
        inside = torch.where(rows > 0, (1 - x.flatten(1))[:, None], x.flatten(1)[:, None]).clamp_max(0.1)
        most = (x.flatten(1)[:, None] * rows).sum(2) + bias - bias[y][:, None] + (rows.abs() * inside).sum(2)
        most[torch.arange(64), y] = -1.0
        assert torch.equal(fallen, (most > 0).any(1))


def test_checkpoints_are_those_of_the_paper() -> None:
    # Croce, Hein 2020, section 3.2: p = 0, 0.22, 0.41, 0.57, 0.70, 0.80, 0.87, 0.93, 0.99
    assert list(_looks(Threat("linf", 0.1), 100)) == [22, 41, 57, 70, 80, 87, 93, 99]
    assert list(_looks(Threat("l1", 0.1), 100)) == list(range(4, 100, 4))


def test_the_step_is_halved_where_the_ascent_overshoots() -> None:
    """The loss peaks at one point; a step of twice the radius only finds it by growing smaller."""

    def model(x: Tensor) -> Tensor:
        hill = -10.0 * (x.flatten(1) - 0.543).abs().sum(1)
        return torch.stack([torch.full_like(hill, 5.0), hill], dim=1)

    x = torch.full((1, 1, 2, 2), 0.5)
    x_adv = run(APGD(loss="margin"), model, x, torch.tensor([0]), Threat("linf", 0.3)).x_adv
    torch.testing.assert_close(x_adv, torch.full_like(x, 0.543), atol=5e-3, rtol=0.0)


def test_costs_are_counted_and_images_that_have_fallen_leave(linear_model: nn.Sequential) -> None:
    model = Counted(linear_model)
    x = torch.rand(64, 1, 4, 4, generator=torch.Generator().manual_seed(1))
    y = linear_model(x).argmax(1)
    attempt = run(APGD(steps=20), model, x, y, Threat("linf", 0.1))
    fallen = linear_model(attempt.x_adv).argmax(1) != y
    assert model.sizes[-1] < 64
    assert attempt.steps[~fallen].tolist() == [20] * int((~fallen).sum())
    assert attempt.queries[~fallen].tolist() == [21] * int((~fallen).sum())
    assert int(attempt.steps[fallen].max()) <= 20


def test_dlr_does_not_change_when_logits_are_scaled_or_shifted() -> None:
    logits = torch.randn(50, 6, generator=torch.Generator().manual_seed(0))
    y, t = logits.argmax(1), logits.argmin(1)
    torch.testing.assert_close(dlr(7 * logits + 3, y), dlr(logits, y), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(
        targeted_dlr(7 * logits + 3, y, t), targeted_dlr(logits, y, t), rtol=1e-4, atol=1e-5
    )
    assert ((dlr(logits, y) <= 0) & (dlr(logits, y) >= -1)).all(), "of a right prediction it lies in [-1, 0]"


def test_dlr_is_the_papers_formula() -> None:
    logits, y = torch.tensor([[4.0, 1.0, 3.0, -2.0]]), torch.tensor([0])
    assert dlr(logits, y).item() == pytest.approx(-(4 - 3) / (4 - 1))
    assert targeted_dlr(logits, y, torch.tensor([3])).item() == pytest.approx(-(4 + 2) / (4 - (1 - 2) / 2))
    assert torch.equal(dlr(logits[:, :2], y), margin(logits[:, :2], y)), "two classes have no third"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"steps": 0}, "steps must be at least 1"),
        ({"targets": -1}, "targets must be at least 0"),
        ({"restarts": 0}, "restarts must be at least 1"),
        ({"rho": 1.0}, r"rho must lie in \(0, 1\)"),
        ({"loss": "drl"}, "Did you mean 'dlr'"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, float], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        APGD(**settings)  # type: ignore[arg-type]  # wrong on purpose
