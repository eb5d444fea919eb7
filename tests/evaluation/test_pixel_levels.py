"""Examples that an 8-bit function can see."""

import pytest
import torch

from advbench.evaluation.pixel_levels import on_levels, reachable
from advbench.threat.norms import l2_norm
from advbench.threat.threat import Threat


def test_a_radius_is_cut_to_whole_steps() -> None:
    assert reachable(Threat("linf", 0.03), 255).eps == 7 / 255
    assert reachable(Threat("linf", 8 / 255), 255).eps == 8 / 255
    assert reachable(Threat("linf", 0.001), 255).eps == 0.001
    assert reachable(Threat("l2", 0.03), 255).eps == 0.03
    assert reachable(Threat("linf", 0.03), None).eps == 0.03


@pytest.mark.parametrize("threat", [Threat("linf", 0.03), Threat("l2", 0.5), Threat("l1", 3.0)])
def test_examples_are_levels_within_the_ball(threat: Threat) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(0, 256, (6, 3, 8, 8), generator=generator) / 255
    x_adv = threat.project(x + 0.3 * torch.randn(x.shape, generator=generator), x)
    seen = on_levels(x_adv, x, threat, 255)
    assert torch.equal((seen * 255).round() / 255, seen)
    assert threat.contains(seen, x).all()
    assert (l2_norm(seen - x) > 0).all()
    assert on_levels(x_adv, x, threat, None) is x_adv
