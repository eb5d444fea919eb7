"""How soft the steps of a model are to be: as soft as fells most images, of a few widths."""

from collections.abc import Callable
from dataclasses import replace
from typing import Final

import torch

from advbench.data.batches import read_batch
from advbench.defended.black_box import black_box_in
from advbench.defended.counting import CountedModel, count_also
from advbench.defended.lanes import LANES
from advbench.defended.random_model import draws_inside
from advbench.defended.softened import WIDTHS, Softened, soft_name, steps_inside
from advbench.defended.surrogate import DISTILLED, Surrogate
from advbench.errors import ModelError
from advbench.evaluation.choose_substitutes import pack_candidates, read_candidates, search_file
from advbench.evaluation.plan import Plan
from advbench.evaluation.search_substitutes import Choice, Search, Store, order_of
from advbench.results.records import UNDEFENDED, Candidate
from advbench.results.surrogates import SOFT_STEPS

SOFT_NAMES: Final = tuple(map(soft_name, WIDTHS))
"""The soft steps that are graded, by name."""

TAKES_STEPS: Final = (
    f"the model takes steps inside (sign, round or a comparison): --surrogate {SOFT_STEPS} attacks it along "
    "soft ones"
)


def softest(plan: Plan, store: Store) -> tuple[Surrogate, Choice]:
    """The model itself, with its steps as soft as fells most of the run's sample.

    Args:
        plan: the evaluation.
        store: what is kept for another start, and for the other processes.

    Raises:
        ModelError: the model takes no step that can be softened.
    """
    if not _takes_steps(plan):
        raise ModelError(
            "the model takes no step that could be softened: torch.sign, round, floor, a comparison, or a "
            f"torch.autograd.Function of these. Give a soft version of it, or {DISTILLED!r}."
        )
    name = search_file(UNDEFENDED)
    candidates = read_candidates(store.load(name), UNDEFENDED)
    if candidates is None or tuple(candidate.substitute for candidate in candidates) != SOFT_NAMES:
        candidates = _by_width(plan)
        store.save(name, pack_candidates(candidates, store.origin))
    best = next(candidate for candidate in candidates if candidate.rank == 1)
    width = WIDTHS[SOFT_NAMES.index(best.substitute)]
    return _soft(plan, width), Choice(((),), best.substitute, candidates)


def note_steps(plan: Plan, note: Callable[[str], None]) -> None:
    """Say of a model that takes steps how it is to be attacked, where nobody has said that."""
    known = plan.surrogate is not None or "bpda" not in plan.rungs or black_box_in(plan.model) is not None
    if known or draws_inside(plan.model) or plan.adaptation(UNDEFENDED) is not None:
        return
    try:
        if _takes_steps(plan):
            note(TAKES_STEPS)
    except Exception:  # what is wrong with the model or the images, the clean pass will say
        return


def _takes_steps(plan: Plan) -> bool:
    model = plan.model.model if isinstance(plan.model, CountedModel) else plan.model
    x = read_batch(plan.dataset, plan.sample(LANES)).to(plan.device).x
    x = torch.cat([x, x[-1:].expand(LANES - len(x), *x.shape[1:])])  # as many as copies of it may count on
    count_also(plan.model, x)
    return steps_inside(model, x) > 0


def _soft(plan: Plan, width: float) -> Surrogate:
    return Surrogate(SOFT_STEPS, Softened(plan.model, width))


def _by_width(plan: Plan) -> tuple[Candidate, ...]:
    """Each width graded, and the best one ranked."""
    graded = []
    for width, name in zip(WIDTHS, SOFT_NAMES, strict=True):
        grade = Search(replace(plan, surrogate=_soft(plan, width)), UNDEFENDED, lambda _: None).grade(())
        graded.append(replace(grade.candidate, substitute=name))
    best = min(graded, key=order_of)
    return tuple(replace(candidate, rank=int(candidate is best)) for candidate in graded)
