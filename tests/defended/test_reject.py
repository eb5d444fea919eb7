"""Networks that refuse by their own outputs."""

import pytest
import torch
from torch import Tensor, nn

from advbench import DefendedModel, Placement
from advbench.defended.detector import Detector
from advbench.defended.model import find_module, may_be_nan
from advbench.defended.reject import OUTPUTS, RejectClass, RejectNaN, WithoutRefusal
from advbench.errors import DefenseError, ModelError


class Told(nn.Module):
    """Outputs that are the pixels of the first row."""

    def forward(self, x: Tensor) -> Tensor:
        return x[:, 0, 0]


OUT = torch.tensor([[0.1, 0.9, 0.2], [0.8, 0.1, 0.2], [0.1, 0.3, 0.5]])


@pytest.mark.parametrize("reject", [0, 1, 2])
def test_the_class_that_refuses_is_no_class_of_the_classifier(reject: int) -> None:
    x = OUT[:, None, None].expand(3, 1, 2, 3)
    model = DefendedModel(
        WithoutRefusal(Told(), reject), [Placement(Detector(RejectClass(reject)), at=OUTPUTS)]
    )
    others = [place for place in range(3) if place != reject]
    assert torch.equal(model(x), OUT[:, others])
    said = model.answers(x)
    assert said.refused is not None
    assert said.refused[0].tolist() == (OUT.argmax(1) == reject).tolist()


def test_logits_that_are_nan_refuse() -> None:
    out = OUT.clone()
    out[1, 2] = torch.nan
    network = WithoutRefusal(Told(), None)
    model = DefendedModel(network, [Placement(Detector(RejectNaN()), at=OUTPUTS)])
    said = model.answers(out[:, None, None].expand(3, 1, 2, 3))
    assert said.refused is not None
    assert said.refused[0].tolist() == [False, True, False]
    assert may_be_nan(model)
    assert not may_be_nan(WithoutRefusal(Told(), 1))


def test_a_class_or_a_network_that_cannot_refuse_is_told() -> None:
    with pytest.raises(ModelError, match="have no class 3 that could refuse"):
        WithoutRefusal(Told(), 3)(OUT[:, None, None])
    with pytest.raises(DefenseError, match="no class for what it refuses"):
        find_module(Told(), OUTPUTS)
