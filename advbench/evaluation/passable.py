"""Where autograd can pass through a defense, its own derivative is the first thing to try in its place."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from advbench.data.batches import read_batch
from advbench.defended.model import DefendedModel
from advbench.draws.sampling import Sampling
from advbench.evaluation.plan import Plan

_SHOWN = 2
"""Images that tell; more would change nothing."""


def passable(plan: Plan, defense: str) -> tuple[bool, ...]:
    """Which elements of a defense have a derivative that is defined and not zero everywhere.

    A model or an image that cannot be used makes none of them so here: the clean pass says what is wrong.

    Args:
        plan: the evaluation.
        defense: which one.
    """
    chain = plan.chains[defense]
    sampling = Sampling(plan.seed, "passable")
    model = DefendedModel(plan.model, chain, sampling=sampling, lanes=plan.size.lanes).with_scores()
    try:
        x = read_batch(plan.dataset, plan.sample(_SHOWN)).to(plan.device).x
        return _have_derivatives(model, x)
    except Exception:  # a user's model, defense or data set may raise anything
        return (False,) * len(chain)


@torch.enable_grad()
def _have_derivatives(model: DefendedModel, x: Tensor) -> tuple[bool, ...]:
    seen: dict[int, tuple[Tensor, Tensor]] = {}

    def watch(number: int, _stage: nn.Module, inputs: Sequence[Any], output: Tensor) -> None:
        seen[number] = inputs[0], output

    handles = [
        stage.register_forward_hook(partial(watch, number)) for number, stage in enumerate(model.stages)
    ]
    # A stage's input must be in the graph even where an earlier stage has cut it.
    enter = [stage.register_forward_pre_hook(_in_graph) for stage in model.stages]
    try:
        model(x.requires_grad_())
    finally:
        for handle in (*handles, *enter):
            handle.remove()
    return tuple(number in seen and _moves(*seen[number]) for number in range(len(model.stages)))


def _in_graph(_stage: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    first, *others = inputs
    return (first if first.requires_grad else first.detach().requires_grad_(), *others)


def _moves(before: Tensor, behind: Tensor) -> bool:
    weights = torch.linspace(0.5, 1.5, behind.numel(), dtype=behind.dtype, device=behind.device)
    total = (behind * weights.view_as(behind)).sum()
    grads: tuple[Tensor | None, ...] = torch.autograd.grad(
        total, before, retain_graph=True, allow_unused=True
    )
    grad = grads[0]
    return grad is not None and bool((grad != 0.0).any()) and bool(grad.isfinite().all())
