"""Gradients of models that have none, and what is said of it."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from torch.utils.data import TensorDataset

from advbench import Threat, evaluate
from advbench.attacks import PGD, Square
from advbench.defended.gradient import loss_and_gradient
from advbench.errors import ModelError


class _NoWayBack(torch.autograd.Function):
    @staticmethod
    def forward(_ctx: Any, x: Tensor) -> Tensor:
        return x * 2

    @staticmethod
    def backward(_ctx: Any, *_grads: Any) -> Any:
        raise NotImplementedError("nobody wrote it")


class Computing(nn.Module):
    """A linear classifier behind a function of the pixels."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function
        self.register_buffer("weight", torch.randn(16, 3, generator=torch.Generator().manual_seed(0)))

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x).flatten(1) @ self.get_buffer("weight")


def in_numpy(x: Tensor) -> Tensor:
    return torch.from_numpy(x.numpy() * 2)


def without_way_back(x: Tensor) -> Tensor:
    doubled: Tensor = _NoWayBack.apply(x)
    return doubled


def recomputed(x: Tensor) -> Tensor:
    doubled: Tensor = checkpoint(lambda pixels: pixels * 2, x, use_reentrant=True)
    return doubled


def never(x: Tensor) -> Tensor:
    raise RuntimeError(f"no images of {len(x)}")


def data(model: nn.Module) -> TensorDataset:
    x = torch.rand(8, 1, 4, 4, generator=torch.Generator().manual_seed(1))
    return TensorDataset(x, model(x).argmax(1))


@pytest.mark.filterwarnings(
    "ignore:None of the inputs have requires_grad"
)  # of checkpoints in the clean pass
@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (in_numpy, "Can't call numpy()"),
        (without_way_back, "nobody wrote it"),
        (recomputed, "use_reentrant=False"),  # torch says what to write
    ],
)
def test_a_model_that_cannot_be_differentiated_is_said_to(
    function: Callable[[Tensor], Tensor], reason: str
) -> None:
    model = Computing(function)
    with torch.no_grad():
        dataset = data(model)
    with pytest.raises(ModelError, match="fails where a gradient is taken ") as told:
        evaluate(model, dataset, threat=Threat("linf", 0.1), attacks={"pgd": PGD(steps=2)})
    assert reason in str(told.value)
    assert "--attack square" in str(told.value)


def test_a_model_that_cannot_be_differentiated_is_attacked_by_queries() -> None:
    model = Computing(in_numpy)
    attacks = {"square": Square(queries=20)}
    (row,) = evaluate(model, data(model), threat=Threat("linf", 0.3), attacks=attacks, batch_size=8).rows
    assert row.rates["clean"].count == 8
    assert row.rates["shattered"].count < 8


def test_a_model_that_always_fails_keeps_its_own_error() -> None:
    with pytest.raises(RuntimeError, match="no images of 2"):
        loss_and_gradient(Computing(never), torch.rand(2, 1, 4, 4), lambda logits, _: logits.sum(1))
