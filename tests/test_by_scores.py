"""The comparison of attacks by scores: a line a setting, and pairs of images."""

import torch
from torch import Tensor, nn

from advbench import Threat
from benchmarks.by_scores import Setting, compare
from benchmarks.peer_points import Case


class Threshold(nn.Module):
    """Class 1 where the mean pixel exceeds 0.6."""

    def forward(self, x: Tensor) -> Tensor:
        mean = x.flatten(1).mean(1)
        return torch.stack([torch.full_like(mean, 0.6), mean], dim=1)


def test_the_table_has_a_line_a_setting() -> None:
    x = torch.full((3, 1, 4, 4), 0.5)
    case = Case(Threshold(), x, torch.zeros(3, dtype=torch.int64), torch.device("cpu"))
    settings = [Setting("own", Threat("linf", eps), 60) for eps in (0.2, 0.05)]
    header, _, *lines = compare(settings, {"own": case})
    assert header.startswith("| network | eps | queries | images | tabu | square |")
    assert lines[0].startswith("| own | 0.2 | 60 | 3 | 0 | 0 |")
    assert lines[1].startswith("| own | 0.05 | 60 | 3 | 3 | 3 |")
    assert all(line.endswith("| 0 | 0 |") for line in lines)
