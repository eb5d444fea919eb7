"""Static examples that are made elsewhere: on a surrogate, or on the network without its defense."""

from collections.abc import Callable, Iterator, Mapping, Sequence, Set
from dataclasses import is_dataclass, replace
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from advbench.data.batches import Batch
from advbench.defended.model import DefendedModel
from advbench.draws.draws import Draws
from advbench.evaluation.attack_batch import RungDone, Target, replayed
from advbench.evaluation.pixel_levels import levels_of, on_levels
from advbench.evaluation.plan import Plan
from advbench.results.table import Cell
from advbench.speed.batch_size import in_batches
from advbench.threat.attack import Attack, is_chunked


def all_from_elsewhere(
    plan: Plan,
    clean: Mapping[str, pd.DataFrame],
    parts: Mapping[Cell, Sequence[pd.DataFrame]],
    check: Callable[[Batch], None],
) -> Iterator[RungDone]:
    """The static rungs of every attack, whose examples are made on the plan's source.

    Args:
        plan: the evaluation, which has a source.
        clean: the records of the clean images behind each defense.
        parts: every rung that is run; the first records of each are those of an earlier start.
        check: refuses a batch that is not what was read before.
    """
    for attack in plan.attacks:
        static = [cell for cell in parts if cell.rung == "static" and cell.attack == attack]
        if static:
            done = {cell: set(parts[cell][0]["index"]) for cell in static}
            yield from shown_from_elsewhere(plan, static, clean, done, check)


def shown_from_elsewhere(
    plan: Plan,
    static: Sequence[Cell],
    clean: Mapping[str, pd.DataFrame],
    done: Mapping[Cell, Set[int]],
    check: Callable[[Batch], None],
) -> Iterator[RungDone]:
    """Make examples on the plan's source, and show them to every defense.

    Args:
        plan: the evaluation, which has a source.
        static: the static rungs of one attack.
        clean: the records of the clean images behind each defense.
        done: for each of these rungs the images that an earlier start has done.
        check: refuses a batch that is not what was read before.
    """
    right = {
        cell: set(records[records["robust"]]["index"]) for cell in static for records in [clean[cell.defense]]
    }
    todo = set().union(*(right[cell] - set(done[cell]) for cell in static))
    target = Target(static[0], (), right)

    def work(batch: Batch) -> list[RungDone]:
        check(batch)
        return list(replayed(plan, target, batch, made_on_source(plan, static[0].attack, batch)))

    images = [index for index in clean[static[0].defense]["index"] if index in todo]
    growing = is_chunked(plan.attacks[static[0].attack])
    for outcomes in in_batches(plan.dataset, images, plan.size, work, growing=growing):
        yield from (new for part in outcomes if len((new := part.without(done[part.cell])).samples))
    for cell in static:
        records = clean[cell.defense]
        rest = records[~records["index"].isin(right[cell] | set(done[cell]))]
        if len(rest):
            yield RungDone(cell, rest.assign(rung=cell.rung, attack=cell.attack), None)


def made_on_source(plan: Plan, name: str, batch: Batch) -> Tensor:
    """The examples of one attack on the source, `(n, c, h, w)`, inside ball and box."""
    source = plan.transfers_from
    assert source is not None
    indices, x, y = batch.to(plan.device)
    model = DefendedModel(source, (), lanes=plan.size.lanes, at_once=plan.size.images)
    draws = Draws(plan.seed, indices).stream("static")
    attempt = _to_the_end(plan.attacks[name])(model, x, y, plan.threat, draws)
    with torch.no_grad():
        x_adv = plan.threat.project(attempt.x_adv.detach(), x)
        return on_levels(x_adv, x, plan.threat, levels_of(plan.model))


def _to_the_end(attack: Attack) -> Attack:
    """The attack without an early stop: what has just fooled the source fools nothing else."""
    own: Any = attack
    if is_dataclass(own) and getattr(own, "early_stop", False) is True:
        stopped: Any = replace(own, early_stop=False)  # type: ignore[type-var]  # no class of it
        return stopped  # type: ignore[no-any-return]  # of the attack's own class
    return attack
