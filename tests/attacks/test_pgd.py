"""PGD: closed forms on linear models, what it keeps, and what it refuses."""

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from advbench import Draws, Threat
from advbench.attacks import PGD, fgsm
from advbench.errors import SpecError
from advbench.threat.losses import LossName
from advbench.threat.threat import Norm
from tests.attacks.counted import Counted, run


def two_class_model(w: Tensor) -> nn.Module:
    """Logits (0, w.x) in float64, so that the margin of class 0 is w.x."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(w.numel(), 2, bias=False)).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.stack([torch.zeros_like(w), w]))
    return model


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("loss", ["ce", "margin", "logit-difference"])
@pytest.mark.parametrize("random_start", [False, True])
def test_on_a_linear_model_it_reaches_the_analytic_optimum(
    norm: Norm, loss: LossName, random_start: bool
) -> None:
    w = torch.randn(16, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    x, threat = torch.full((1, 1, 4, 4), 0.5, dtype=torch.float64), Threat(norm, 0.1)
    dual = w.norm() if norm == "l2" else w.abs().sum()

    def model(x: Tensor) -> Tensor:
        """Right by a margin of 10 at every point of the ball, so that the attack runs to its end."""
        logits: Tensor = two_class_model(w)(x - 0.5) - torch.tensor([0.0, 10.0], dtype=torch.float64)
        return logits

    attack = PGD(steps=60, step_size=threat.eps / 4, loss=loss, random_start=random_start)
    x_adv = run(attack, model, x, torch.tensor([0]), threat).x_adv
    torch.testing.assert_close(model(x_adv)[0, 1] + 10.0, 0.1 * dual, rtol=1e-3, atol=0.0)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_fgsm_is_one_step_of_length_eps(norm: Norm) -> None:
    w = torch.linspace(-1.0, 1.0, 16, dtype=torch.float64)
    x = (0.5 - 0.01 * w).view(1, 1, 4, 4)  # just on the right side
    attempt = run(fgsm(), two_class_model(w), x, torch.tensor([0]), Threat(norm, 0.25))
    direction = w.sign() if norm == "linf" else w / w.norm()
    torch.testing.assert_close(attempt.x_adv, x + 0.25 * direction.view_as(x))
    assert attempt.steps.tolist() == [1]


def test_the_box_binds_as_well_as_the_ball() -> None:
    w = torch.ones(16, dtype=torch.float64)
    x = torch.full((1, 1, 4, 4), 0.95, dtype=torch.float64)
    x_adv = run(PGD(steps=5), two_class_model(w), x, torch.tensor([0]), Threat("linf", 0.2)).x_adv
    assert x_adv.max() <= 1.0


def test_the_best_iterate_is_kept_not_the_last() -> None:
    """The loss peaks at 0.6; a step of 0.08 from 0.5 overshoots, comes back and ends beside the peak."""
    peak = 0.6

    def model(x: Tensor) -> Tensor:
        hill = -10.0 * (x.flatten(1).mean(1) - peak).abs()
        return torch.stack([torch.zeros_like(hill) + 5.0, hill], dim=1)

    x = torch.full((1, 1, 1, 1), 0.5)
    for steps in (3, 4):
        attack = PGD(steps=steps, step_size=0.08, random_start=False)
        x_adv = run(attack, model, x, torch.tensor([0]), Threat("linf", 0.3)).x_adv
        assert x_adv.item() == pytest.approx(0.58, abs=1e-6), steps


def test_a_misclassified_iterate_beats_one_of_higher_loss_that_is_not() -> None:
    """Class 1 wins only near 0.6, but behind it forty classes rise, and with them the loss."""

    def model(x: Tensor) -> Tensor:
        z = x.flatten(1).mean(1, keepdim=True)
        window = torch.where((z > 0.55) & (z < 0.65), 1.0, -9.0)
        crowd = (-0.1 - 10.0 * (0.9 - z)).expand(-1, 40)
        return torch.cat([torch.zeros_like(z), window, crowd], dim=1)

    x = torch.full((1, 1, 1, 1), 0.5)
    for early_stop in (True, False):
        attack = PGD(steps=4, step_size=0.1, random_start=False, early_stop=early_stop)
        x_adv = run(attack, model, x, torch.tensor([0]), Threat("linf", 0.5)).x_adv
        assert 0.55 < x_adv.item() < 0.65


def test_images_that_have_fallen_leave_the_batch(linear_model: nn.Sequential) -> None:
    model = Counted(linear_model)
    x = torch.rand(64, 1, 4, 4, generator=torch.Generator().manual_seed(1))
    y = linear_model(x).argmax(1)
    attempt = run(PGD(steps=20), model, x, y, Threat("linf", 0.1))
    assert model.sizes[0] == 64
    assert model.sizes == sorted(model.sizes, reverse=True)
    assert model.sizes[-1] < 64
    assert len(set(model.sizes)) <= 12, "few sizes, so that memory does not grow with every new one"
    assert int(attempt.queries.sum()) <= sum(model.sizes) <= 4 / 3 * int(attempt.queries.sum()) + 64
    assert int(attempt.steps.max()) <= 20


def test_leaving_the_batch_changes_no_verdict(linear_model: nn.Sequential) -> None:
    x = torch.rand(64, 1, 4, 4, generator=torch.Generator().manual_seed(1))
    y = linear_model(x).argmax(1)
    fallen = [
        linear_model(
            run(PGD(steps=20, early_stop=stop), linear_model, x, y, Threat("linf", 0.1)).x_adv
        ).argmax(1)
        != y
        for stop in (True, False)
    ]
    assert fallen[0].any()
    assert not fallen[0].all()
    assert torch.equal(fallen[0], fallen[1])


def test_restarts_never_lose_an_image_and_cost_only_those_that_stand(linear_model: nn.Sequential) -> None:
    x = torch.rand(64, 1, 4, 4, generator=torch.Generator().manual_seed(1))
    y = linear_model(x).argmax(1)
    once, thrice = (
        run(PGD(steps=2, restarts=count, step_size=0.01), linear_model, x, y, Threat("linf", 0.05))
        for count in (1, 3)
    )
    fell_once, fell_thrice = (linear_model(each.x_adv).argmax(1) != y for each in (once, thrice))
    assert (fell_thrice | ~fell_once).all()
    assert torch.equal(thrice.steps[fell_once], once.steps[fell_once])
    assert (thrice.steps[~fell_thrice] == 3 * 2).all()


def test_the_random_start_belongs_to_the_image(linear_model: nn.Sequential) -> None:
    x = torch.rand(6, 1, 4, 4, generator=torch.Generator().manual_seed(1))
    y = linear_model(x).argmax(1)
    attack, threat = PGD(steps=2, step_size=0.001, early_stop=False), Threat("linf", 0.05)
    whole = attack(linear_model, x, y, threat, Draws(0, torch.arange(6))).x_adv
    alone = attack(linear_model, x[4:5], y[4:5], threat, Draws(0, torch.tensor([4]))).x_adv
    torch.testing.assert_close(alone, whole[4:5])
    other = attack(linear_model, x, y, threat, Draws(1, torch.arange(6))).x_adv
    assert not torch.equal(other, whole)


@pytest.mark.parametrize("loss", ["ce", "margin", "logit-difference"])
@pytest.mark.parametrize("target", [2, np.int64(2), "runner-up", "least-likely"])
def test_a_targeted_attack_ends_at_its_target(
    linear_model: nn.Sequential, loss: LossName, target: int | str
) -> None:
    x = torch.rand(32, 1, 4, 4, generator=torch.Generator().manual_seed(1))
    logits = linear_model(x)
    y, order = logits.argmax(1), logits.argsort(1, descending=True)
    wanted = {"runner-up": order[:, 1], "least-likely": order[:, 2]}.get(
        str(target), torch.where(y == 2, order[:, 1], 2)
    )
    attack = PGD(steps=50, loss=loss, target=target)  # type: ignore[arg-type]  # a Literal from a table
    x_adv = run(attack, linear_model, x, y, Threat("linf", 1.0)).x_adv
    assert (linear_model(x_adv).argmax(1) == wanted).float().mean() > 0.9


def test_a_model_that_returns_nan_or_no_gradient_gives_no_false_success() -> None:
    x, y = torch.rand(4, 1, 2, 2), torch.zeros(4, dtype=torch.int64)
    threat = Threat("linf", 0.1)

    def nan(x: Tensor) -> Tensor:
        return x.flatten(1)[:, :2] * torch.nan

    def constant(x: Tensor) -> Tensor:
        return torch.tensor([1.0, 0.0]).expand(len(x), 2)

    for model in (nan, constant):
        attempt = run(PGD(steps=3), model, x, y, threat)
        assert attempt.x_adv.isfinite().all()
        assert attempt.steps.tolist() == [3] * 4


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"steps": 0}, "steps must be at least 1"),
        ({"restarts": 0}, "restarts must be at least 1"),
        ({"step_size": 0.0}, "step_size must be positive"),
        ({"step_size": float("nan")}, "step_size must be positive"),
        ({"target": -1}, "target must be a class"),
        ({"target": "least_likely"}, "no target 'least_likely'. Did you mean 'least-likely'"),
        ({"loss": "cw"}, "no loss 'cw'"),
        ({"restarts": 3, "random_start": False}, "would all be the same"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, float], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        PGD(**settings)  # type: ignore[arg-type]  # wrong on purpose


def test_a_target_that_the_model_does_not_have_is_refused(linear_model: nn.Sequential) -> None:
    with pytest.raises(SpecError, match="target must be a class below 3, got 7"):
        run(PGD(target=7), linear_model, torch.rand(1, 1, 4, 4), torch.tensor([0]), Threat("linf", 0.1))
