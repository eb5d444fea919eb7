"""Attacks on models that adapt, in declared batches."""

import copy
from dataclasses import replace
from typing import Any

import pandas as pd
import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from advbench.attacks import ATTACKS, PGD, Square
from advbench.defended.adaptation import Adaptation
from advbench.defended.adapting import Adapting
from advbench.defended.left_as_found import prepared
from advbench.defended.model import Placement
from advbench.errors import DefenseError
from advbench.evaluation.attack_batch import RungDone, Target
from advbench.evaluation.declared_batches import declared_rung
from advbench.evaluation.declared_clean import ONE_CLASS, STILL, declared_clean
from advbench.evaluation.judge_batches_again import fitting_examples, in_declared_batches
from advbench.evaluation.plan import Plan
from advbench.names.registry import find
from advbench.results.records import join_samples
from advbench.results.table import Cell
from advbench.threat.threat import Threat
from tests.adapting import BatchNormed, Entropy, Plain

ROW = "adapted"


def plan_of(network: nn.Module, adaptation: Adaptation, attack: Any = None) -> Plan:
    x = torch.rand(12, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    y = copy.deepcopy(network)(x).argmax(1)
    return Plan(
        model=Adapting(network),
        dataset=TensorDataset(x, y),
        chains={"none": (), ROW: (Placement(adaptation),)},
        attacks={"pgd": attack or PGD(steps=3)},
        threat=Threat("linf", 0.1),
        rungs=("static", "shattered", "bpda"),
        seed=0,
        images=range(12),
    )


def clean_of(plan: Plan) -> pd.DataFrame:
    with prepared(*plan.modules()):
        return declared_clean(plan, ROW, plan.images, lambda _: None).samples


def rung_of(plan: Plan, rung: Any, known: set[int] | None = None) -> list[RungDone]:
    target, own = Target(Cell(ROW, "pgd", rung), (plan.chains[ROW],)), clean_of(plan)
    with prepared(*plan.modules()):
        return list(declared_rung(plan, target, own, known or set(), lambda _: None))


def records_of(done: list[RungDone]) -> pd.DataFrame:
    return join_samples([one.samples for one in done]).sort_values("index").reset_index(drop=True)


@pytest.mark.parametrize("protocol", ["episodic", "stream"])
@pytest.mark.parametrize("rung", ["static", "shattered", "bpda"])
def test_what_is_known_is_not_told_again_and_the_rest_is_the_same(protocol: Any, rung: Any) -> None:
    plan = plan_of(Entropy(), Adaptation(protocol=protocol, batch=5))
    whole = records_of(rung_of(plan, rung))
    assert whole["index"].tolist() == list(range(12))
    rest = records_of(rung_of(plan, rung, set(range(5))))
    pd.testing.assert_frame_equal(rest, whole[5:].reset_index(drop=True))
    assert rung_of(plan, rung, set(range(12))) == []


def test_records_are_those_of_a_batch_judged_as_it_is() -> None:
    plan = plan_of(BatchNormed(), Adaptation(protocol="episodic", batch=6))
    for done in rung_of(plan, "bpda"):
        if done.x_adv is None:
            continue
        indices = done.samples["index"].tolist()
        first = 6 * (indices[0] // 6)
        batch = torch.stack([plan.dataset[index][0] for index in range(first, first + 6)])
        batch[[index - first for index in indices]] = done.x_adv
        network = BatchNormed()
        prediction = network(batch).argmax(1)[[index - first for index in indices]]
        assert prediction.tolist() == done.samples["prediction"].tolist()
        assert bool((done.x_adv - batch[[index - first for index in indices]]).abs().max() == 0.0)


def test_a_stronger_gradient_fells_more() -> None:
    plan = plan_of(Entropy(), Adaptation(protocol="episodic", batch=6), PGD(steps=10))
    own, bpda = (int(records_of(rung_of(plan, rung))["robust"].sum()) for rung in ("shattered", "bpda"))
    assert own > bpda, "the optimiser's step cuts the graph, and the network behind it has a gradient"


def test_attacks_that_search_keep_their_images_together() -> None:
    plan = plan_of(BatchNormed(), Adaptation(protocol="stream", batch=6), Square(queries=5))
    assert len(records_of(rung_of(plan, "shattered"))) == 12
    strongest = find(ATTACKS, "strongest", "attack").load()(steps=2, queries=10)
    plan = replace(plan, attacks={"pgd": strongest})
    assert len(records_of(rung_of(plan, "shattered"))) == 12


def test_an_attack_that_parts_them_is_refused() -> None:
    def parting(model: Any, x: Any, y: Any, threat: Any, draws: Any) -> Any:
        return model(x[:1])

    plan = plan_of(BatchNormed(), Adaptation(protocol="episodic", batch=6), parting)
    with pytest.raises(DefenseError, match="take one that keeps its images together"):
        rung_of(plan, "shattered")


def test_a_user_is_told_of_what_may_not_be_meant() -> None:
    notes: list[str] = []
    plan = plan_of(Plain(), Adaptation(protocol="episodic", batch=6))
    plan = replace(
        plan, dataset=TensorDataset(plan.dataset[0][0].repeat(12, 1, 1, 1), torch.zeros(12).long())
    )
    with prepared(*plan.modules()):
        declared_clean(plan, ROW, plan.images, notes.append)
    assert notes == [STILL, f"warning: {ONE_CLASS}"]


def test_examples_come_back_into_their_batches() -> None:
    plan = plan_of(Entropy(), Adaptation(protocol="stream", batch=5))
    done = [one for one in rung_of(plan, "bpda") if one.x_adv is not None]
    kept = [(torch.tensor(one.samples["index"].tolist()), one.x_adv) for one in done]
    strange = (torch.tensor([99]), torch.zeros(1, 1, 8, 8))
    examples, other = fitting_examples([*kept, strange], plan.dataset, range(12))  # type: ignore[list-item]
    assert other == [99]
    adaptation = plan.adaptation(ROW)
    assert adaptation is not None
    told: dict[int, int] = {}
    with torch.no_grad(), prepared(*plan.modules()):
        for again in in_declared_batches(plan.judged(ROW), plan.dataset, range(12), adaptation, examples):
            logits = again.model(torch.stack([examples[index] for index in again.indices]))
            told.update(zip(again.indices, logits.argmax(1).tolist(), strict=True))
    records = join_samples([one.samples for one in done])
    assert told == dict(zip(records["index"].tolist(), records["prediction"].tolist(), strict=True))
