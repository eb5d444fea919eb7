"""What the attacks of foolbox are made with and called with: the radius, and the norm that they are told."""

from typing import Any

import pytest
import torch
from torch import nn

from advbench import Draws, Threat
from advbench.errors import SpecError
from advbench.threat.threat import Norm
from tests.attacks.fakes import classified, count, fake_foolbox, named


def test_foolbox_gets_the_radius_where_it_is_fixed_and_none_where_the_least_is_sought(
    linear_model: nn.Sequential, monkeypatch: pytest.MonkeyPatch
) -> None:
    radii = fake_foolbox(monkeypatch)
    for name in ("LinfFixed", "LinfMinimal", "AnyMinimal", "HopSkipJumpAttack"):
        count(linear_model, classified(linear_model), f"foolbox:{name}")
    assert radii == [0.1, None, None, None]


@pytest.mark.parametrize(
    ("text", "norm", "refused"),
    [
        ("AnyMinimal", "l1", ""),
        ("AnyMinimal", "l2", ""),
        ("HopSkipJumpAttack", "l2", ""),
        ("LinfMinimal", "l2", "foolbox:LinfMinimal is an attack in linf, and this run is in l2"),
    ],
)
def test_an_attack_that_asks_for_a_norm_gets_the_runs_and_another_keeps_its_own(
    text: str, norm: Norm, refused: str, linear_model: nn.Sequential, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_foolbox(monkeypatch)
    x, y, draws = torch.zeros(2, 1, 4, 4), torch.tensor([0, 1]), Draws(0, torch.arange(2))
    attack: Any = named(f"foolbox:{text}")
    if refused:
        with pytest.raises(SpecError, match=refused):
            attack(linear_model, x, y, Threat(norm, 0.1), draws)
    else:
        found = attack(linear_model, x, y, Threat(norm, 0.1), draws)
        assert (found.x_adv == 9.0).all(), "what is outside of the ball comes back as it is"
