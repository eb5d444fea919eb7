"""Places with a star: every module whose name fits, in the network's order."""

import pytest
from torch import nn

from advbench.defended.every_place import at_every_place
from advbench.defended.model import Placement
from advbench.defended.normalized import Normalized
from advbench.errors import DefenseError


def network() -> nn.Module:
    def block() -> nn.Module:
        return nn.ModuleDict({"conv": nn.Conv2d(1, 1, 1), "bn": nn.BatchNorm2d(1)})

    return nn.ModuleDict({"stem": block(), "body": nn.ModuleList([block(), block()])})


def places(pattern: str, model: nn.Module) -> list[str]:
    return [link.at for link in at_every_place([Placement(nn.ReLU(), pattern)], model)]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*bn", ["stem.bn", "body.0.bn", "body.1.bn"]),
        ("body.*.bn", ["body.0.bn", "body.1.bn"]),
        ("body.*", ["body.0", "body.0.conv", "body.0.bn", "body.1", "body.1.conv", "body.1.bn"]),
        ("stem.bn", ["stem.bn"]),
        ("nowhere", ["nowhere"]),
        ("input", ["input"]),
    ],
)
def test_a_star_stands_for_any_part_of_a_name(pattern: str, expected: list[str]) -> None:
    assert places(pattern, network()) == expected


def test_the_networks_own_names_count_and_the_rest_of_a_link_stays() -> None:
    model = Normalized(network(), (0.5,), (0.5,))
    first, second = nn.ReLU(), nn.Sigmoid()
    chain = at_every_place([Placement(first, "body.*.bn", second), Placement(second)], model)
    assert [(link.at, link.defense, link.substitute) for link in chain] == [
        ("body.0.bn", first, second),
        ("body.1.bn", first, second),
        ("input", second, None),
    ]


def test_a_star_that_fits_nothing_is_told() -> None:
    with pytest.raises(DefenseError, match=r"no module that fits '\*\.bm'\. "):
        places("*.bm", network())
