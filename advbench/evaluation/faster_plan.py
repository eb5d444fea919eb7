"""How a plan is carried out fast: what attacks differentiate, and how many images at a time."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final, Literal

from torch import Tensor

from advbench.data.batches import read_batch
from advbench.defended.black_box import black_box_in
from advbench.defended.gradient import seconds_a_gradient
from advbench.defended.lanes import LANES
from advbench.defended.random_model import draws_inside
from advbench.evaluation.behind_defenses import fit_for_defenses
from advbench.evaluation.plan import Plan
from advbench.results.records import UNDEFENDED
from advbench.speed.attack_cost import gradient_passes
from advbench.speed.batch_size import AUTO, BatchSize, fitting_lanes, most_in_flight, only_size, probed_size
from advbench.speed.compiling import compiled
from advbench.speed.working_copy import Copies

_PAYS: Final = 300.0  # seconds of attacks, of which compiling saves between nothing and a half


def at_speed(
    plan: Plan,
    chosen: Sequence[int],
    batch_size: int | Literal["auto"],
    copies: Copies,
    note: Callable[[str], None],
) -> Plan:
    """The plan with the copies that attacks differentiate, and with a batch that suits these.

    Args:
        plan: the evaluation.
        chosen: the images of this process.
        batch_size: how many at a time, or `auto` for a probe.
        copies: what attacks may differentiate.
        note: is told in a sentence what could not be done.
    """
    box = black_box_in(plan.model)
    if box is not None:  # nothing of it can be copied, and each probe is a query
        count = box.at_once if batch_size == AUTO else batch_size
        return replace(plan, size=BatchSize(count, note, shown=plan.shown))
    # All processes of a run compare the copies on the same images, and so decide alike.
    x = read_batch(plan.dataset, plan.sample(LANES)).to(plan.device).x
    lanes = fitting_lanes(plan.model, (), x[:1])
    only = only_size(plan.model, x[:1], batch_size) if lanes == 1 else 0
    plan = replace(plan, **copies.of(plan.model, x, plan.places, note)._asdict())
    plan = fit_for_defenses(plan, x, note)
    if only:
        note(f"the model takes no other number of images at once than {only}: batches are filled up to it")
        size = BatchSize(only, note, only, most_in_flight(x[:1], only), shown=plan.shown)
    elif batch_size == AUTO:
        images = probed_size(plan.attacked(UNDEFENDED, network=plan.rough), x[:1], len(chosen))
        size = BatchSize(images, note, lanes, most_in_flight(x[:1], images), shown=plan.shown)
    else:
        size = BatchSize(batch_size, note, lanes, shown=plan.shown)
    plan = replace(plan, size=size)
    return _compiled(plan, x[:1], len(chosen), note) if copies.compiled and (lanes > 1 or only) else plan


def _compiled(plan: Plan, x: Tensor, count: int, note: Callable[[str], None]) -> Plan:
    """The plan with compiled copies, where that pays; they see batches of one size only."""
    if draws_inside(plan.model):
        note("not compiled: a random model draws anew in every pass, and a compiled one might not")
        return plan
    batch = x.expand(plan.size.images, -1, -1, -1).contiguous()
    attacks = [*plan.attacks.values(), *plan.gradient_free.values(), *plan.label_only.values()]
    passes = count * len(plan.chains) * sum(gradient_passes(attack) or math.inf for attack in attacks)
    steps = plan.model if plan.working is None else plan.working, plan.rough
    copies = [network for network in steps if network is not None]
    few = batch[:LANES]  # of which is known that they fit
    seconds = passes * min(seconds_a_gradient(copies[-1], few) for _ in range(2)) / len(few)
    if seconds < _PAYS:
        note(f"not compiled: that takes a minute, and the attacks about {seconds:.0f} s at most")
        return plan
    made = {copy: done for copy in copies if (done := compiled(copy, batch, note)) is not None}
    size = replace(plan.size, lanes=len(batch)) if made else plan.size
    return replace(plan, compiled=made, size=size)
