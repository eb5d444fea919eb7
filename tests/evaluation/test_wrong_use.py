"""An evaluation that is called wrongly says so in a sentence, before anything is computed."""

from typing import Any

import pytest
import torch
from torch.utils.data import TensorDataset

import advbench as ab
from advbench.attacks import PGD
from advbench.errors import InputError
from tests.small import Network


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"batch_size": 0}, "batch_size must be 'auto' or a whole number of at least 1, got 0."),
        ({"dataset": (torch.rand(2, 1, 4, 4), torch.zeros(2))}, "got a tuple: TensorDataset(x, y)."),
        ({"threat": 0.1}, "the threat must be a Threat('linf', 0.03), got 0.1."),
        ({"attacks": [PGD()]}, "attacks must be {name: attack}, for example {'pgd': PGD()}, got [PGD("),
        ({"attacks": {"pgd": "pgd"}}, "attacks must be {name: attack}"),
        ({"defenses": [torch.round]}, "defenses must be {name: defense}, got [<built-in"),
        ({"copies": False}, "copies must be Copies(...), got False; fast=False makes none."),
        ({"rungs": "bpdaa"}, "there is no rung 'bpdaa'"),
        ({"dataset": iter([])}, "has a length, got list_iterator."),
        (
            {"dataset": TensorDataset(torch.rand(2, 1, 4, 4), torch.tensor([0.0, 1.5]))},
            "whole numbers, got 1.5",
        ),
    ],
)
def test_an_evaluation_refuses_what_it_cannot_use(
    keywords: dict[str, Any], message: str, network: Network, data: TensorDataset
) -> None:
    usual = {
        "dataset": data,
        "threat": ab.Threat("linf", 0.1),
        "attacks": {"pgd": PGD(steps=2)},
    }
    with pytest.raises(InputError) as refused:
        ab.evaluate(network, **{**usual, **keywords})
    assert message in str(refused.value)


def test_precisions_and_radii_that_there_are_not_are_refused() -> None:
    with pytest.raises(InputError, match="there is no precision 'fp8'; known: fp32, bf16, auto"):
        ab.Copies(precision="fp8")  # type: ignore[arg-type]  # as without a type checker
    with pytest.raises(InputError, match=r"eps must be a number, got '8/255': Threat\.parse reads texts"):
        ab.Threat("linf", "8/255")  # type: ignore[arg-type]
