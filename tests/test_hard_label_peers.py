"""The comparison of hard-label attacks: what others ask is counted, and ends with the queries."""

import pytest
import torch
from torch import Tensor, nn

from advbench import Threat
from benchmarks.hard_label import Meter, Setting, _SpentError, compare
from benchmarks.peer_points import Case


class Threshold(nn.Module):
    """Class 1 where the first pixel exceeds 0.6."""

    def forward(self, x: Tensor) -> Tensor:
        first = x.flatten(1)[:, 0]
        return torch.stack([torch.full_like(first, 0.6), first], dim=1)


def meter(queries: int) -> Meter:
    x = torch.full((1, 1, 2, 2), 0.5)
    return Meter(Threshold(), x, torch.tensor([0]), Threat("linf", 0.2), queries)


def test_a_query_in_the_ball_that_fools_ends_the_attack() -> None:
    watched = meter(10)
    watched(torch.full((3, 1, 2, 2), 0.9))
    assert (watched.left, watched.fell) == (7, False), "it fools outside of the ball"
    with pytest.raises(_SpentError):
        watched(torch.full((1, 1, 2, 2), 0.65))
    assert watched.fell


def test_what_is_asked_beyond_the_queries_does_not_count() -> None:
    watched = meter(2)
    points = torch.tensor([0.5, 0.5, 0.65]).view(3, 1, 1, 1).expand(3, 1, 2, 2)
    with pytest.raises(_SpentError):
        watched(points)
    assert (watched.left, watched.fell) == (0, False)


def test_the_table_has_a_line_a_setting() -> None:
    x = torch.full((2, 1, 2, 2), 0.5)
    case = Case(Threshold(), x, torch.zeros(2, dtype=torch.int64), torch.device("cpu"))
    settings = [Setting("own", Threat("linf", eps), 30) for eps in (0.2, 0.05)]
    lines = list(compare(settings, {"own": case}))
    assert lines[2].startswith("| own | linf | 0.2 | 30 | 2 | 0 |")
    assert lines[3].startswith("| own | linf | 0.05 | 30 | 2 | 2 |")
