"""What is said once of a model that was said to be random: what it costs, or that it draws nothing."""

from collections.abc import Callable
from typing import Final

import torch

from advbench.data.batches import read_batch
from advbench.defended.model import DefendedModel
from advbench.defended.random_model import draws_inside, goes_alone
from advbench.draws.sampling import Sampling
from advbench.evaluation.plan import Plan

_LOOKED_AT: Final = 4  # images; a layer of dropout that changes no logit of any of them changes none

ALONE: Final = (
    "the model draws from generators of the process, so it is shown one image at a time; with a parameter "
    "`draws` in its forward pass it would take batches"
)
STILL: Final = (
    "the model was said to be random, and answers alike in all draws: in evaluation mode nothing in it draws "
    "(dropout is off there; F.dropout(x, training=True) stays on)"
)


@torch.no_grad()
def note_what_is_random(plan: Plan, note: Callable[[str], None]) -> None:
    """Say of a random model what it costs, or that it is none."""
    if not draws_inside(plan.model):
        return
    if _answers_alike(plan):
        note(STILL)
    elif goes_alone(plan.model):
        note(ALONE)


def _answers_alike(plan: Plan) -> bool:
    x = read_batch(plan.dataset, plan.sample(_LOOKED_AT)).to(plan.device).x
    sampling = Sampling(plan.seed, "alike", 2)
    model = DefendedModel(plan.model, (), sampling=sampling, lanes=plan.size.lanes)
    try:
        first, second = model.sampled(x)
    except Exception:  # what is wrong with the model, the clean pass will say
        return False
    return torch.equal(first, second)
