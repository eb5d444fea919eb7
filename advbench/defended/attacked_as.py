"""A random model as an attack sees it that says which images it shows."""

import copy

from torch import Tensor

from advbench.defended.gradient import Model
from advbench.defended.model import DefendedModel
from advbench.draws.calls import Calls
from advbench.draws.draws import Draws
from advbench.threat.attack import Attack, tells_rows


def attacked_as(attack: Attack, model: Model, draws: Draws) -> Model:
    """The model with draws keyed by image and pass where the attack tells its rows, else by contents.

    A deterministic model is as it is, and so is one whose draws are fixed, or one that adapts to its batch.

    Args:
        attack: which one.
        model: pixels `(n, c, h, w)` to logits `(n, k)`.
        draws: the streams that the attack is given.
    """
    if not isinstance(model, DefendedModel) or not model.is_random:
        return model
    if model.sampling.fixed or model.mates is not None:
        return model
    seen = copy.copy(model)
    seen.calls = Calls.begun(draws) if tells_rows(attack) else None
    return seen


def showing(model: Model, rows: Tensor) -> Model:
    """The model for some images of the batch that an attack was given; `rows` is an index or a mask of it."""
    return model.showing(rows) if isinstance(model, DefendedModel) else model
