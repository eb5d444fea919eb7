"""What the attacks of torchattacks are made with: radius, norm, step, classes and seed of the run."""

import sys
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from advbench import Draws, Threat
from advbench.threat.threat import Norm
from tests.attacks.fakes import FakeAttack, classified, count, fake_torchattacks, named


def test_torchattacks_gets_radius_step_classes_and_seed(
    linear_model: nn.Sequential, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Any] = []

    def note(attack: Any, x: Tensor, _y: Tensor) -> Tensor:
        seen.append(attack)
        return x

    fake_torchattacks(monkeypatch, note)
    for text in ("Fake", "Fake:steps=5", "Fake:alpha=0.5,n_classes=7,seed=3"):
        count(linear_model, classified(linear_model), f"torchattacks:{text}")
    assert [each.eps for each in seen] == [0.1] * 3
    assert [each.alpha for each in seen] == pytest.approx([0.025, 0.05, 0.5])
    assert [each.n_classes for each in seen] == [3, 3, 7]
    assert seen[2].seed == 3


@pytest.mark.parametrize(("norm", "spoken"), [("linf", "Linf"), ("l2", "L2")])
def test_a_norm_is_given_in_the_librarys_words_and_noise_without_steps_a_step_of_its_own_share(
    norm: Norm, spoken: str, linear_model: nn.Sequential, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[SimpleNamespace] = []

    class APGD(FakeAttack):
        def __init__(
            self, model: nn.Module, norm: str = "Linf", eps: float = 0.4, alpha: float = 0.1
        ) -> None:
            super().__init__(model)
            seen.append(SimpleNamespace(norm=norm, eps=eps, alpha=alpha))

        def __call__(self, x: Tensor, _y: Tensor) -> Tensor:
            return x

    fake_torchattacks(monkeypatch)
    monkeypatch.setattr(sys.modules["torchattacks"], "APGD", APGD, raising=False)
    x, y, draws = torch.rand(2, 1, 4, 4), torch.tensor([0, 1]), Draws(0, torch.arange(2))
    attempt = named("torchattacks:APGD")(linear_model, x, y, Threat(norm, 0.2), draws)
    assert seen == [SimpleNamespace(norm=spoken, eps=0.2, alpha=pytest.approx(0.05))]
    assert attempt.queries.tolist() == [0, 0], "nobody asked for a number of classes"
