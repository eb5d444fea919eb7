"""Each indicator is tripped by a model or an attack that is built to, and not by one that is sound."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from advbench import Attempt, Draws, Evaluation, Placement, Threat, evaluate
from advbench.attacks import PGD, Square
from advbench.defended.backward import Map
from advbench.evaluation.measure_indicators import _gradients_counted, _harder, _whole_range
from advbench.results.indicators import MEANINGS, Indicator, incomplete
from advbench.results.records import LADDER
from advbench.threat.threat import Norm

Made = Mapping[str, Any]


class Linear(nn.Module):
    """A linear classifier of 4x4 images with a map before it and one behind it."""

    def __init__(self, before: Map = torch.clone, behind: Map = torch.clone, classes: int = 5) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.weight = nn.Parameter(torch.randn(classes, 16, generator=generator))
        self.before, self.behind = before, behind

    def forward(self, x: Tensor) -> Tensor:
        return self.behind(F.linear(self.before(x).flatten(1), self.weight))


class Differentiating(Linear):
    """Computes a gradient in its forward pass."""

    def forward(self, x: Tensor) -> Tensor:
        with torch.enable_grad():
            point = x.detach().requires_grad_()
            torch.autograd.grad(super().forward(point).sum(), point)
        return super().forward(x)


def measured(model: nn.Module, **changes: Any) -> Evaluation:
    x = torch.rand(40, 1, 4, 4, generator=torch.Generator().manual_seed(1))
    y = Linear()(x).argmax(1) if isinstance(model, Linear) and len(model.weight) == 5 else model(x).argmax(1)
    settings: dict[str, Any] = {
        "threat": Threat("linf", 0.05),
        "attacks": {"pgd": PGD(steps=20)},
        "gradient_free": {"square": Square(queries=20)},
        "rungs": LADDER,
        "batch_size": 16,
    }
    return evaluate(model, TensorDataset(x, y), **{**settings, **changes})


def found(evaluation: Evaluation, name: str) -> Indicator:
    if name == "incomplete":
        return incomplete(evaluation.samples, "none", "pgd", "shattered")
    mine = [each for each in evaluation.heading.indicators if each.name == name]
    return mine[-1]


def nothing(model: Map, x: Tensor, y: Tensor, threat: Threat, draws: Draws) -> Attempt:
    return Attempt(x, torch.ones_like(y), torch.ones_like(y), y < 0)


def only_near(model: Map, x: Tensor, y: Tensor, threat: Threat, draws: Draws) -> Attempt:
    """Works up to the radius of the run, and not beyond."""
    return (PGD(steps=20) if threat.eps <= 0.05 else nothing)(model, x, y, threat, draws)


def lucky(model: Map, x: Tensor, y: Tensor, threat: Threat, draws: Draws) -> Attempt:
    """Goes somewhere in the ball, without looking."""
    return nothing(model, threat.random_point(x, draws), y, threat, draws)


def negative_gradient(x: Tensor) -> Tensor:
    return 2.0 * x.detach() - x


def one_hot(logits: Tensor) -> Tensor:
    return F.one_hot(logits.argmax(1), logits.shape[1]).float()


def clip_by_where(x: Tensor) -> Tensor:
    return torch.where(x >= 1.0, 1.0, torch.where(x <= 0.0, 0.0, x))


TRIPPED: Mapping[str, Callable[[], Evaluation]] = {
    "zero_gradient:ce": lambda: measured(Linear(before=Tensor.detach)),
    "zero_gradient:margin": lambda: measured(Linear(before=Tensor.round)),
    "zero_gradient:dlr": lambda: measured(Linear(behind=one_hot)),
    "zero_coordinates": lambda: measured(Linear(before=Tensor.round)),
    "border_gradient": lambda: measured(Linear(before=clip_by_where)),
    "agreement": lambda: measured(
        Linear(), defenses={"same": Placement(torch.clone, substitute=negative_gradient)}
    ),
    "unstable": lambda: measured(Linear(before=lambda x: torch.sin(3000.0 * x))),
    "unbounded": lambda: measured(Linear(before=Tensor.detach)),
    "wider": lambda: measured(Linear(), attacks={"pgd": only_near}),
    "one_step": lambda: measured(Linear(), attacks={"pgd": nothing}),
    "noise": lambda: measured(Linear(), attacks={"pgd": nothing}, threat=Threat("linf", 0.3)),
    "plateau": lambda: measured(Linear(), attacks={"pgd": lucky}, threat=Threat("linf", 0.3)),
    "incomplete": lambda: measured(Linear(), attacks={"pgd": PGD(steps=20, step_size=1e-4)}),
    "softmax_output": lambda: measured(Linear(behind=lambda z: z.softmax(1))),
    "few_classes": lambda: measured(Linear(classes=3)),
    "autograd_in_forward": lambda: measured(Differentiating()),
}


def test_each_indicator_has_its_test() -> None:
    elsewhere = {"binarization", "binarization_random"}  # tests/evaluation/test_binarization.py
    assert {*TRIPPED, *elsewhere} == set(MEANINGS)


@pytest.mark.parametrize("name", TRIPPED)
def test_it_is_tripped_by_what_it_is_for(name: str) -> None:
    indicator = found(TRIPPED[name](), name)
    assert indicator.tripped
    assert indicator.sentence.startswith(MEANINGS[name].words)


@pytest.fixture(scope="module")
def sound() -> Evaluation:
    return measured(Linear(), attacks={"pgd": PGD(steps=60)})


@pytest.mark.parametrize("name", TRIPPED)
def test_it_is_not_tripped_by_a_sound_attack_on_a_sound_model(name: str, sound: Evaluation) -> None:
    indicator = found(sound, name)
    assert not indicator.tripped
    assert indicator.whole > 0


def test_pixels_at_the_border_of_a_model_that_clamps_keep_their_gradient() -> None:
    indicator = found(measured(Linear(before=lambda x: x.clamp(0.0, 1.0))), "border_gradient")
    assert indicator.value == 0.0
    assert indicator.whole > 0  # images with pixels near 0 or 1


def test_a_model_without_any_gradient_does_not_lose_it_at_the_border() -> None:
    assert found(measured(Linear(before=Tensor.round)), "border_gradient").whole == 0


def test_a_gradient_that_is_exact_agrees_with_the_finite_differences(sound: Evaluation) -> None:
    assert found(sound, "agreement").value == pytest.approx(1.0, abs=0.05)


def test_a_gradient_that_is_infinite_agrees_with_nothing_and_that_is_a_number() -> None:
    model = Linear(before=lambda x: (x - x.detach()).sqrt() + x.detach())
    assert found(measured(model, threat=Threat("linf", 0.3)), "agreement").value == pytest.approx(
        0.0, abs=0.2
    )


@pytest.mark.parametrize(
    ("attack", "expected"),
    [
        (PGD(steps=7, restarts=2), PGD(steps=14, restarts=2)),
        (Square(queries=50), Square(queries=100)),
        (nothing, nothing),
    ],
)
def test_a_harder_attack_has_twice_the_steps_or_queries_where_it_has_any(attack: Any, expected: Any) -> None:
    assert _harder(attack) == expected


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
def test_in_the_whole_range_every_pixel_may_become_anything(norm: Norm) -> None:
    black, white = torch.zeros(1, 3, 5, 5), torch.ones(1, 3, 5, 5)
    threat = Threat(norm, _whole_range(Threat(norm, 0.1), black))
    assert threat.contains(white, black).all()
    assert not Threat(norm, 0.99 * threat.eps).contains(white, black).any()


@pytest.mark.parametrize("fails", [False, True])
def test_gradients_are_counted_only_meanwhile(fails: bool) -> None:
    before = torch.autograd.grad, torch.autograd.backward
    x = torch.ones(2, requires_grad=True)
    try:
        with _gradients_counted() as count:
            torch.autograd.grad(x.sum(), x)
            torch.autograd.backward(x.sum())
            if fails:
                raise KeyError
    except KeyError:
        pass
    assert count == [2]
    assert (torch.autograd.grad, torch.autograd.backward) == before
