"""A trained model is measured by everything that was asked for, each row a count that can be made again."""

from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from advbench import Threat
from advbench.attacks import PGD
from advbench.draws.draws import Draws
from advbench.errors import ModelError
from advbench.results.trained import Measured
from advbench.training.accuracy import correct
from advbench.training.corruptions import SEVERITIES, corrupted
from advbench.training.measure import Ladder, climb, measurements
from advbench.training.noisy_statistics import noisy_statistics
from tests.small import Network

CPU = torch.device("cpu")


@pytest.fixture
def ladder(data: TensorDataset) -> Ladder:
    return Ladder(
        images=data,
        indices=range(5, 25),
        threat=Threat("linf", 0.1),
        attacks={"pgd": PGD(steps=2)},
        noise=(0.1, 0.3),
        draws=3,
        corruptions=("contrast",),
        seed=4,
    )


def test_every_measurement_is_told_as_it_is_made_and_counts_what_can_be_counted_again(
    network: Network, ladder: Ladder
) -> None:
    told: list[Measured] = []
    climbed = climb(network, "apart", ladder, CPU, told.append)
    assert climbed.rows == tuple(told)
    assert len(told) == measurements(ladder) == 1 + 2 + SEVERITIES + 1
    assert {(each.model, each.n) for each in told} == {("apart", 20)}
    clean, small, large, *spoilt, attacked = told
    right = correct(network, ladder.images, ladder.indices, CPU)
    assert torch.equal(climbed.right, right)
    assert (clean.measure, clean.setting, clean.passes, clean.count) == ("clean", "", 1, 15)
    assert [(each.setting, each.passes) for each in (small, large)] == [("0.1", 3), ("0.3", 3)]
    generator, count = torch.Generator().manual_seed(4), 0
    for _ in range(3):
        with noisy_statistics(network, 0.3, generator):
            count += int(correct(network, ladder.images, ladder.indices, CPU).sum())
    assert large.count == count
    for severity, each in enumerate(spoilt, start=1):
        seen = correct(
            network,
            ladder.images,
            ladder.indices,
            CPU,
            lambda batch, severity=severity: corrupted(
                batch.x, "contrast", severity, Draws(4, batch.indices)
            ),  # type: ignore[misc]
        )
        assert (each.setting, each.count) == (f"contrast/{severity}", int(seen.sum()))
    assert (attacked.measure, attacked.setting) == ("attack", "pgd linf 0.1")
    assert attacked.count <= clean.count


def test_what_is_not_asked_for_is_not_measured(network: Network, ladder: Ladder) -> None:
    bare = replace(ladder, attacks={}, noise=(), corruptions=())
    assert [each.measure for each in climb(network, "plain", bare, CPU).rows] == ["clean"]
    assert measurements(bare) == 1


def test_the_same_seed_gives_the_same_rows_and_the_model_stays_as_it_was(
    network: Network, ladder: Ladder
) -> None:
    before = {name: value.clone() for name, value in network.state_dict().items()}
    assert climb(network, "a", ladder, CPU).rows == climb(network, "a", ladder, CPU).rows
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_noise_needs_running_statistics(ladder: Ladder) -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 3))
    with pytest.raises(ModelError, match="no BatchNorm with running statistics"):
        climb(model, "plain", ladder, CPU)
