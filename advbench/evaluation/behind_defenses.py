"""Copies of a model behind the user's own defenses, which may know more of the model than they are given."""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

import torch
from torch import Tensor, nn

from advbench.defended.model import Placement
from advbench.defended.own_functions import Plugin
from advbench.defended.substitutes import unwrapped
from advbench.errors import first_line, printable, ran_out_of_memory
from advbench.evaluation.plan import Plan
from advbench.speed.agreement import CLOSELY, ROUGHLY, answers, differs, disagreement, fresh_images

_LOOK: Final = 4  # at a copy; earlier ones are at copies without a defense


def fit_for_defenses(plan: Plan, x: Tensor, note: Callable[[str], None]) -> Plan:
    """The plan, without copies that differ from the model behind a defense.

    A defense of the user's own may read what a hook keeps of the model, or call its modules. Nobody can see
    that without running it, so it is run behind the copies on a few fresh images.

    Args:
        plan: the evaluation, with copies of its model.
        x: images to make fresh ones of.
        note: is told in a sentence which copies are not used.
    """
    for defense, chain in plan.chains.items():
        if not any(map(_is_own, chain)):
            continue
        copies = [network for network in (plan.working, plan.rough) if network is not None]
        differences = (_difference(plan, defense, network, x) for network in copies)
        why = next(filter(None, differences), "")
        if why:
            reason = f"behind {defense}, a copy of the model {why}, and is not used"
            note(f"attacks may take longer, and find the same: {reason}")
            return replace(plan, working=None, rough=None)
    return plan


def _is_own(link: Placement) -> bool:
    """Whether a defense is none of ours, or runs code of the user's: the others know nothing of the model."""
    defense = unwrapped(link.defense) if link.detector is None else link.detector.score
    if isinstance(defense, Plugin) or getattr(defense, "runs_own_code", False):
        return True
    return not type(defense).__module__.startswith("advbench.")


def _difference(plan: Plan, defense: str, network: nn.Module, x: Tensor) -> str:
    """In what a copy differs behind a defense; empty where it does not, or where that cannot be told."""
    once = replace(plan, eot=1)
    original, made = (once.attacked(defense, network=model).with_scores() for model in (plan.model, network))
    few = fresh_images(x, 1, 2 * _LOOK + 2)
    try:
        with torch.no_grad():  # the first call of a defense finds out what it takes, and looks at no gradient
            original(few)
        if differs([(answers(original, few), answers(original, few))], CLOSELY):
            return ""  # it draws numbers of its own; the run says so
    except Exception:  # what is wrong with a defense the clean pass says better
        return ""
    try:
        return disagreement(original, made, x, ROUGHLY, _LOOK)
    except Exception as error:  # a user's defense may do anything
        if ran_out_of_memory(error):
            return ""
        return f"fails ({type(error).__name__}: {printable(first_line(error))})"
