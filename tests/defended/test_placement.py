"""A defense at its place."""

import torch

from advbench.defended.backward import BPDA, TrueGradient
from advbench.defended.placement import Placement, usual_place


def test_a_stage_has_the_gradient_that_is_asked_for() -> None:
    placement = Placement(torch.round)
    assert isinstance(placement.stage(bpda=True), BPDA)
    assert isinstance(placement.stage(bpda=False), TrueGradient)
    assert (placement.is_random, placement.abstains, placement.modules) == (False, False, [])
    assert usual_place(torch.round) == "input"
