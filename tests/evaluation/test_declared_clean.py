"""Clean images before a model that adapts."""

import pytest
import torch
from torch.utils.data import TensorDataset

from advbench.attacks import PGD
from advbench.defended.adaptation import Adaptation
from advbench.defended.adapting import Adapting
from advbench.defended.left_as_found import prepared
from advbench.defended.model import Placement
from advbench.errors import DefenseError, ModelError
from advbench.evaluation.declared_clean import declared_clean
from advbench.evaluation.plan import Plan
from advbench.threat.threat import Threat
from tests.adapting import BatchNormed, Counting


def plan_of(model: torch.nn.Module) -> Plan:
    x = torch.rand(7, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    return Plan(
        model=model,
        dataset=TensorDataset(x, torch.arange(7)),
        chains={"none": (), "row": (Placement(Adaptation(protocol="episodic", batch=4)),)},
        attacks={"pgd": PGD(steps=1)},
        threat=Threat("linf", 0.1),
        rungs=("shattered",),
        seed=0,
        images=range(7),
    )


def test_predictions_are_those_of_declared_batches() -> None:
    plan, notes = plan_of(Adapting(BatchNormed())), list[str]()
    with prepared(*plan.modules()):
        samples, doubts = declared_clean(plan, "row", range(7), notes.append)
    x = torch.stack([plan.dataset[index][0] for index in range(7)])
    meant = torch.cat([BatchNormed()(x[:4]), BatchNormed()(x[4:])]).argmax(1)
    assert samples["prediction"].tolist() == meant.tolist()
    assert doubts == ()
    assert notes == ["1 BatchNorm layers take their statistics from the batch, as they were given"]


def test_a_memory_that_cannot_be_put_back_is_refused() -> None:
    plan = plan_of(Adapting(Counting()))
    with (
        prepared(*plan.modules()),
        pytest.raises(ModelError, match="same batch finds it"),
    ):
        declared_clean(plan, "row", range(7), lambda _: None)


def test_a_model_that_nobody_said_to_adapt_is_refused() -> None:
    plan = plan_of(BatchNormed())
    with pytest.raises(DefenseError, match=r"no Adapting\(network\)"):
        plan.judged("row")
