"""A surrogate in the backward pass: whose decision, whose logits, whose gradient."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from advbench.defended.model import DefendedModel, network_of
from advbench.defended.surrogate import (
    AlongItself,
    AlongSurrogate,
    StandIns,
    Stepwise,
    Surrogate,
    along_surrogate,
    decider_of,
    moves_in_steps,
    surrogate_named,
)
from advbench.errors import ModelError
from advbench.threat.judge import predict
from tests.evaluation.models import Sum


class Label(nn.Module):
    """The class of `Sum`, one-hot and cut off from autograd."""

    def __init__(self, edge: float = 2.0) -> None:
        super().__init__()
        self.sum = Sum(edge)

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            return F.one_hot(self.sum(x).argmax(1), 2).float()


X = torch.tensor([0.1, 0.4, 0.6, 0.9]).view(-1, 1, 1, 1).expand(-1, 1, 2, 2).contiguous()


def test_graded_logits_are_the_models_and_the_gradient_is_the_surrogates() -> None:
    model, surrogate = Sum(), Sum(edge=0.0)
    along = along_surrogate(model, surrogate, stepwise=False)
    assert isinstance(along, AlongSurrogate)
    x = X.clone().requires_grad_()
    logits = along(x)
    assert torch.equal(logits, model(X))
    (grad,) = torch.autograd.grad(logits[:, 1].sum(), x)
    assert torch.equal(grad, torch.ones_like(X))


def test_of_a_stepwise_model_the_decision_is_kept_and_the_logits_are_the_surrogates() -> None:
    surrogate = Sum(edge=3.0)  # which is wrong of the third image
    along = Stepwise(Label(), surrogate)
    x = X.clone().requires_grad_()
    logits = along(x)
    assert torch.equal(predict(logits), predict(Label()(X)))
    agrees = predict(surrogate(X)) == predict(Label()(X))
    assert agrees.tolist() == [True, True, False, True]
    assert torch.equal(logits[agrees], surrogate(X)[agrees])
    (grad,) = torch.autograd.grad(logits[:, 1].sum(), x)
    assert torch.equal(grad, torch.ones_like(X))


def test_where_the_model_decides_nothing_neither_does_it_along_a_surrogate() -> None:
    def undecided(x: Tensor) -> Tensor:
        logits: Tensor = Sum()(x)
        return logits.where(x.flatten(1).sum(1, keepdim=True) < 3.0, torch.nan)

    class Undecided(nn.Module):
        forward = staticmethod(undecided)

    logits = Stepwise(Undecided(), Sum())(X)
    assert logits.isnan().all(1).tolist() == [False, False, False, True]


def test_a_model_that_leaves_autograd_has_zeros_along_itself() -> None:
    class Numpy(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            logits: Tensor = Sum()(torch.from_numpy(x.numpy()))
            return logits

    x = X.clone().requires_grad_()
    logits = AlongItself(Numpy())(x)
    (grad,) = torch.autograd.grad(logits[:, 1].sum(), x)
    assert torch.equal(logits, Sum()(X))
    assert not grad.any()


@pytest.mark.parametrize("stepwise", [False, True])
def test_modules_are_found_under_what_differentiates_a_model(stepwise: bool) -> None:
    model = Label()
    along = along_surrogate(model, Sum(), stepwise=stepwise)
    assert decider_of(along) is model
    assert network_of(DefendedModel(along, ())) is model
    assert decider_of(model) is model


def test_only_outputs_that_stay_the_same_next_door_move_in_steps() -> None:
    assert moves_in_steps(Label(), X, X + 1e-4)
    assert not moves_in_steps(Sum(), X, X + 1e-4)


def test_a_surrogate_is_called_by_its_own_name() -> None:
    module = Sum()
    assert surrogate_named(module) == Surrogate("Sum", module)
    named = Surrogate("soft", module)
    assert surrogate_named(named) is named
    assert surrogate_named("distill").network is None
    function = surrogate_named(module.forward)
    assert function.name == "forward"
    assert function.network is not None
    assert torch.equal(function.network(X), module(X))
    assert StandIns(surrogate="distill", source=module).named == (
        surrogate_named("distill"),
        Surrogate("Sum", module),
    )


@pytest.mark.parametrize("given", ["distil", 3])
def test_what_is_no_surrogate_is_refused(given: object) -> None:
    with pytest.raises(
        ModelError, match="a surrogate must be a module, a function, 'distill' or 'soft-steps'"
    ):
        surrogate_named(given)  # type: ignore[arg-type]  # what a caller may give
