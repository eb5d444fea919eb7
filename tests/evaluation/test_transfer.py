"""Static examples that are made on another network, and what becomes of them when a run goes on."""

from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from advbench import Hooks, StandIns, evaluate
from advbench.attacks import PGD
from advbench.data.batches import read_batch
from advbench.defended.surrogate import Surrogate
from advbench.defenses import Round
from advbench.evaluation.attack_batch import RungDone
from advbench.evaluation.transfer import made_on_source
from tests.evaluation.models import Sum, plan_of
from tests.evaluation.test_surrogates import LEVELS, SETTINGS


class Inside(nn.Module):
    """`Sum` whose gradient a layer inside it turns round."""

    def __init__(self) -> None:
        super().__init__()
        self.sum = Sum()

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.sum(2.0 * x.detach() - x)
        return logits


def test_examples_of_the_network_without_its_layer_fell_what_its_own_gradient_leaves() -> None:
    alone = evaluate(Inside(), LEVELS, **SETTINGS).rows[0]
    shown = evaluate(Inside(), LEVELS, stand_ins=StandIns(source=Sum()), **SETTINGS).rows[0]
    assert "static" not in alone.rates
    assert alone.rates["shattered"].count == shown.rates["shattered"].count > 8
    assert shown.rates["static"].count == shown.rates["worst"].count == 8
    assert any("static examples are made on Sum" in note for note in shown.notes)


def test_every_defense_is_shown_them_and_a_run_goes_on_where_it_stopped() -> None:
    parts: list[RungDone] = []
    settings: dict[str, Any] = {
        **SETTINGS,
        "defenses": {"round": Round()},
        "stand_ins": StandIns(source=Sum()),
    }
    whole = evaluate(Inside(), LEVELS, **settings, observer=Hooks(keep=parts.append))
    static = whole.samples[whole.samples["rung"] == "static"]
    assert sorted(static["defense"].unique()) == ["none", "round"]
    known = pd.concat([part.samples for part in parts if part.rung == "static"])
    known = known[known["index"] < 9]
    again = evaluate(Inside(), LEVELS, **settings, observer=Hooks(begin=lambda _: known))
    pd.testing.assert_frame_equal(again.samples, whole.samples)


def test_an_attack_on_the_source_goes_on_when_it_has_fooled_it() -> None:
    plan = plan_of(source=Surrogate("Sum", Sum()), attacks={"pgd": PGD(steps=5)})
    batch = read_batch(plan.dataset, [1, 2])
    x_adv = made_on_source(plan, "pgd", batch)
    assert torch.allclose((x_adv - batch.x).abs(), torch.full_like(x_adv, plan.threat.eps), atol=1e-6)


def test_left_out_on_purpose_no_verdict_asks_for_it() -> None:
    settings = {**SETTINGS, "rungs": ("bpda", "gradient_free", "worst"), "defenses": {"round": Round()}}
    asked = evaluate(Sum(edge=-9.0), LEVELS, **settings).rows[1]
    left = evaluate(Sum(edge=-9.0), LEVELS, stand_ins=StandIns(without_static=True), **settings).rows[1]
    assert "static" not in left.rates
    assert "not run: static" not in left.verdict
    assert asked.rates.keys() == left.rates.keys()
