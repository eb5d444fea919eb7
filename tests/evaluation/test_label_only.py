"""The rung label-only: it sees through scores that lie, and its records are like those of other rungs."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import advbench as ab
from advbench import Threat, evaluate
from advbench.attacks import HardLabel, Square
from advbench.attacks.pgd import PGD
from advbench.errors import InputError, SpecError
from advbench.jobs.build_attacks import label_only_attack, rungs_of
from advbench.jobs.settings.run import RunSettings
from advbench.results.records import ASKABLE, LADDER
from advbench.results.verdict import KINDS

RUNGS: Any = ("gradient_free", "label_only", "worst")


class Lying(nn.Module):
    """The right class by the mean pixel, at scores that rise towards the boundary."""

    def forward(self, x: Tensor) -> Tensor:
        mean = x.flatten(1).mean(1)
        away = 1.0 - (mean - 0.5).abs()
        return torch.where(
            (mean > 0.5)[:, None], torch.stack([-away, away], 1), torch.stack([away, -away], 1)
        )


def images(count: int = 60) -> tuple[Tensor, Tensor]:
    x = torch.rand(count, 1, 6, 6, generator=torch.Generator().manual_seed(0)) * 0.2
    x += torch.linspace(0.36, 0.44, count).view(-1, 1, 1, 1)
    return x, (x.flatten(1).mean(1) > 0.5).long()


def climbed(model: nn.Module, **others: Any) -> ab.Evaluation:
    x, y = images()
    settings: dict[str, Any] = {
        "threat": Threat("linf", 0.08),
        "attacks": {"pgd": PGD(steps=10, random_start=False)},
        "rungs": RUNGS,
        "gradient_free": {"square": Square(queries=20)},
        "label_only": {"hard-label": HardLabel(queries=200)},
        "batch_size": 60,
    }
    return evaluate(model, torch.utils.data.TensorDataset(x, y), **{**settings, **others})


def test_scores_that_lead_away_hide_nothing_from_labels() -> None:
    row = climbed(Lying()).rows[0]
    assert list(row.rates) == ["clean", "shattered", "gradient_free", "label_only", "worst"]
    assert row.rates["shattered"].count > 40
    assert row.rates["label_only"].count == 0
    assert row.rates["worst"].count == 0
    assert row.verdict.startswith("masked: attacks that see labels alone fell")
    assert row.verdict.split(":")[0] in KINDS


def test_its_records_do_not_depend_on_the_batch() -> None:
    whole, halved = (climbed(Lying(), batch_size=size).samples for size in (60, 8))
    of_rung = [part[part["rung"] == "label_only"].reset_index(drop=True) for part in (whole, halved)]
    assert of_rung[0].equals(of_rung[1])
    assert (of_rung[0]["queries"] <= 200).all()
    assert (of_rung[0]["steps"] == 0).all()


def test_the_rung_and_its_attack_belong_together() -> None:
    with pytest.raises(InputError, match="the rung 'label_only' and one attack for it belong together"):
        climbed(Lying(), label_only={})
    with pytest.raises(InputError, match="belong together"):
        climbed(Lying(), rungs=("gradient_free", "worst"))


def test_it_is_run_where_it_is_asked_for() -> None:
    assert rungs_of(RunSettings(ladder=True)) == LADDER
    assert rungs_of(RunSettings(ladder=True, label_only="hard-label")) == ASKABLE
    assert rungs_of(RunSettings(rungs="label_only")) == ("shattered", "label_only")
    made = label_only_attack(RunSettings(rungs="label_only"), Threat("linf", 0.1))
    assert made.objects == {"hard-label:queries=500": HardLabel(queries=500)}
    with pytest.raises(SpecError, match="takes an attack that asks for labels alone; square asks for scores"):
        label_only_attack(RunSettings(label_only="square"), Threat("linf", 0.1))


def test_verify_judges_its_examples_and_finds_a_changed_record(tmp_path: Path) -> None:
    out = tmp_path / "run"
    ab.run(first=8, steps=3, label_only="hard-label:queries=40", save_adversarial=True, out=out)
    checks = {check.what: check for check in ab.verify(out)}
    assert checks["none · hard-label:queries=40 · label_only"].holds
    assert all(check.holds for check in checks.values())
