"""Declared batches, brought back from their examples (`test_declared_batches` has runs of them)."""

import torch
from torch.utils.data import TensorDataset

from advbench.defended.adaptation import Adaptation
from advbench.defended.adapting import Adapting
from advbench.defended.model import DefendedModel, Placement
from advbench.evaluation.judge_batches_again import fitting_examples, in_declared_batches
from tests.adapting import BatchNormed


def test_one_by_one_each_example_has_clean_mates() -> None:
    x = torch.rand(4, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    dataset, changed = TensorDataset(x, torch.arange(4)), 1.0 - x[1]
    adaptation = Adaptation(protocol="episodic", batch=4, attacked="one")
    model = DefendedModel(Adapting(BatchNormed()), (Placement(adaptation),))
    examples, strange = fitting_examples(
        [(torch.tensor([1, 2]), torch.stack([changed, x[2]])), (torch.tensor([3]), torch.zeros(1, 1, 2, 2))],
        dataset,
        range(4),
    )
    assert (set(examples), strange) == ({1, 2}, [3])
    groups = list(in_declared_batches(model, dataset, range(4), adaptation, examples))
    assert [again.indices for again in groups] == [[1], [2]]
    batch = x.clone()
    batch[1] = changed
    with torch.no_grad():
        assert torch.allclose(groups[0].model(changed[None]), BatchNormed()(batch)[1:2])
        assert torch.allclose(groups[1].model(x[2:3]), BatchNormed()(x)[2:3])
