"""What every attack must keep, whatever the model: no crash, no false success, nothing from neighbours."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from advbench import Attack, Attempt, DefendedModel, Draws, Threat
from advbench.attacks import (
    APGD,
    ATTACKS,
    FAB,
    FMN,
    PGD,
    HardLabel,
    Selective,
    Square,
    Tabu,
    autoattack,
    orthogonal,
    strongest,
)
from advbench.attacks.auto import auto
from advbench.threat.judge import fooled, predict
from advbench.threat.threat import Norm
from tests.attacks.counted import Model

SMALL: dict[str, Attack] = {
    "pgd": PGD(steps=4, restarts=2),
    "pgd-target": PGD(steps=4, target=1, loss="margin"),
    "apgd": APGD(steps=6),
    "apgd-dlr": APGD(steps=6, loss="dlr"),
    "apgd-t": APGD(steps=6, loss="dlr", targets=9),
    "fab": FAB(steps=4, restarts=2),
    "fab-stop": FAB(steps=4, early_stop=True),
    "fmn": FMN(steps=6),
    "fmn-t": FMN(steps=6, targets=9, early_stop=True),
    "square": Square(queries=12),
    "tabu": Tabu(queries=12),
    "hard-label": HardLabel(queries=60),
    "auto": auto(gives="labels", queries=60),
    "autoattack": autoattack(steps=4, queries=12),
    "autoattack-rand": autoattack(version="rand", steps=4),
    "strongest": strongest(steps=4, queries=24),
    "selective": Selective(steps=4, restarts=2),
    "orthogonal": orthogonal(steps=4),
    "fgsm": PGD(steps=1, random_start=False),
}
NORMS: list[Norm] = ["linf", "l2", "l1"]
CASES = [(name, norm) for norm in NORMS for name in SMALL]


def nan(classes: int) -> Model:
    return lambda x: x.flatten(1)[:, :1] * torch.nan * torch.ones(classes)


def sometimes_nan(classes: int) -> Model:
    def model(x: Tensor) -> Tensor:
        z = x.flatten(1)[:, :1] * torch.linspace(1, 0, classes)
        return torch.where(x.flatten(1)[:, -1:] > 0.5, z, torch.nan)

    return model


def constant(classes: int) -> Model:
    return lambda x: torch.linspace(1, 0, classes).expand(len(x), classes)


def saturated(classes: int) -> Model:
    """Logits so far apart that the probabilities are 0 and 1 in float32."""
    return lambda x: 1e4 * x.flatten(1)[:, :1] * torch.linspace(1, -1, classes)


def infinite(classes: int) -> Model:
    return lambda x: torch.linspace(1, 0, classes).expand(len(x), classes).clone().fill_(torch.inf)


def attacked(attack: Attack, model: Model, x: Tensor, y: Tensor, threat: Threat) -> Attempt:
    attempt = attack(model, x, y, threat, Draws(0, torch.arange(len(x))))
    assert attempt.x_adv.shape == x.shape
    assert attempt.x_adv.isfinite().all()
    assert ((attempt.x_adv >= 0.0) & (attempt.x_adv <= 1.0)).all()
    assert (attempt.steps <= attempt.queries).all()
    return attempt


def test_every_attack_that_can_be_named_is_tried() -> None:
    ours = {name for name in ATTACKS if not name.endswith(":NAME")}
    assert ours <= SMALL.keys()


@pytest.mark.parametrize("classes", [2, 3, 5])
@pytest.mark.parametrize("make", [nan, sometimes_nan, constant, saturated, infinite])
@pytest.mark.parametrize(("name", "norm"), CASES)
def test_odd_models_give_no_crash_and_no_false_success(
    name: str, norm: Norm, make: Callable[[int], Model], classes: int
) -> None:
    x = torch.rand(3, 1, 2, 2, generator=torch.Generator().manual_seed(0)) * 0.5 + 0.5
    y, threat, model = torch.zeros(3, dtype=torch.int64), Threat(norm, 0.05), make(classes)
    attempt = attacked(SMALL[name], model, x, y, threat)
    x_adv = threat.project(attempt.x_adv, x)
    assert not fooled(predict(model(x_adv)), y).any()


@pytest.mark.parametrize(("name", "norm"), CASES)
def test_one_image_of_one_pixel_is_attacked(name: str, norm: Norm) -> None:
    def model(x: Tensor) -> Tensor:
        z = x.flatten(1)
        return torch.cat([0.55 - z, z - 0.55], dim=1)

    x, y = torch.full((1, 1, 1, 1), 0.5), torch.tensor([0])
    attempt = attacked(SMALL[name], model, x, y, Threat(norm, 0.1))
    assert 0.55 < attempt.x_adv.item() <= 0.6 + 1e-6


@pytest.mark.parametrize(("name", "norm"), CASES)
def test_an_image_alone_gets_what_it_gets_in_a_batch(
    name: str, norm: Norm, linear_model: nn.Sequential
) -> None:
    x = torch.rand(6, 1, 4, 4, generator=torch.Generator().manual_seed(1))
    y = linear_model(x).argmax(1)
    model = DefendedModel(linear_model, (), lanes=8)
    attack, threat = SMALL[name], Threat(norm, {"linf": 0.02, "l2": 0.08, "l1": 0.3}[norm])
    whole = attack(model, x, y, threat, Draws(0, torch.arange(6)))
    for row in range(6):
        alone = attack(model, x[row : row + 1], y[row : row + 1], threat, Draws(0, torch.tensor([row])))
        for one, among in zip(alone, whole, strict=True):
            if one is not None and among is not None:
                assert torch.allclose(one[0], among[row], rtol=0.0, atol=0.0, equal_nan=True)


@pytest.mark.parametrize(("name", "norm"), CASES)
def test_the_model_is_never_asked_about_pixels_that_no_image_can_have(
    name: str, norm: Norm, linear_model: nn.Sequential
) -> None:
    def strict(x: Tensor) -> Tensor:
        assert ((x >= 0.0) & (x <= 1.0)).all()
        logits: Tensor = linear_model(x)
        return logits

    x = torch.rand(4, 1, 4, 4, generator=torch.Generator().manual_seed(2)).round()
    attacked(SMALL[name], strict, x, linear_model(x).argmax(1), Threat(norm, 0.2))
