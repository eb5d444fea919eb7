"""The defense that stands for an adaptation."""

import torch

from advbench.defended.adaptation import Adaptation, adaptation_in, adaptation_of
from advbench.defended.model import Placement
from advbench.names.grammar import parse_spec


def test_an_adaptation_changes_no_image_and_says_how_it_is_judged() -> None:
    adaptation = adaptation_of(parse_spec("stream:batch=8,attacked=one"))
    x = torch.rand(2, 1, 4, 4)
    assert adaptation == Adaptation(protocol="stream", batch=8, attacked="one")
    assert torch.equal(adaptation(x), x)
    assert torch.equal(adaptation.unadapted(x), x)
    assert "goes on from batch to batch, 8 images" in adaptation.sentence
    assert "(inductive)" in adaptation.sentence
    assert "(transductive)" in Adaptation(protocol="episodic", batch=8).sentence


def test_it_is_found_in_a_chain() -> None:
    adaptation = Adaptation(protocol="episodic", batch=8)
    assert adaptation_in((Placement(torch.relu), Placement(adaptation))) is adaptation
    assert adaptation_in((Placement(torch.relu),)) is None
