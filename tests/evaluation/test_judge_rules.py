"""A random defense judged by each rule: the same attack, other counts, and nothing that the batch decides."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from advbench import Draws, Evaluation, Hooks, Judge, Placement, merge
from advbench.attacks import PGD
from advbench.draws.sampling import Sampling, under_draws
from advbench.evaluation.attack_batch import RungDone
from advbench.evaluation.judge_again import Evidence, recheck
from advbench.evaluation.plan import defense_chains
from advbench.results.records import LADDER, Rung
from advbench.runs.examples import Examples
from advbench.threat.threat import Threat
from tests.draws.test_sampling import Noise
from tests.draws.test_sampling import run as draw_and_judge


def judged_by(network: nn.Module, data: TensorDataset, rule: str, **changes: Any) -> Evaluation:
    return draw_and_judge(network, data, judge_draws=Judge(rule, 9), **changes)


def of(found: Evaluation, rung: Rung) -> pd.DataFrame:
    return found.samples.query(f"defense == 'noise' and rung == '{rung}'").reset_index(drop=True)


def test_the_majority_is_what_a_number_of_draws_means(network: nn.Module, data: TensorDataset) -> None:
    found, plain = judged_by(network, data, "majority"), draw_and_judge(network, data)
    pd.testing.assert_frame_equal(found.samples, plain.samples)
    assert found.heading == plain.heading
    assert found.rows == plain.rows
    assert "judging" not in found.heading.as_record()
    assert found.rows[1].rates["shattered"].over_draws is None


def test_by_the_mean_the_records_stay_and_the_row_tells_average_and_worst(
    network: nn.Module, data: TensorDataset
) -> None:
    found, plain = judged_by(network, data, "mean"), draw_and_judge(network, data)
    pd.testing.assert_frame_equal(found.samples, plain.samples)
    undefended, noisy = found.rows
    assert (undefended.judge, noisy.judge) == ("", "mean")
    assert undefended.rates == plain.rows[0].rates
    told = noisy.rates["shattered"].over_draws
    assert told is not None
    shattered, right = of(found, "shattered"), of(found, "clean")["robust"]
    assert told.mean == pytest.approx(float(((1 - shattered["fooled_share"]) * right).mean()))
    assert told.unbroken == int((right & (shattered["fooled_share"] == 0)).sum())
    clean = noisy.rates["clean"].over_draws
    assert clean is not None
    assert clean.mean == pytest.approx(1 - float(of(found, "clean")["fooled_share"].mean()))
    assert clean.unbroken is None


@pytest.mark.parametrize("submissions", [1, 4, 9, 30])
def test_who_submits_again_fells_more_and_the_judges_share_stays(
    network: nn.Module, data: TensorDataset, submissions: int
) -> None:
    found, plain = judged_by(network, data, f"any:{submissions}"), draw_and_judge(network, data)
    pd.testing.assert_frame_equal(of(found, "clean"), of(plain, "clean"))
    mine, theirs = of(found, "shattered"), of(plain, "shattered")
    same = ["index", "fooled_share", "loss", "distance", "steps", "queries"]
    pd.testing.assert_frame_equal(mine[same], theirs[same])
    attacked = mine["queries"] > 0
    if submissions == 9:
        assert (mine["robust"] == ((mine["fooled_share"] == 0) & attacked)).all()
    fell = attacked & ~mine["robust"]
    assert (mine["prediction"][fell] != mine["label"][fell]).all()
    assert (mine["prediction"][mine["robust"]] == mine["label"][mine["robust"]]).all()
    rate = found.rows[1].rates["shattered"]
    assert rate.over_draws is not None
    assert rate.count == rate.over_draws.unbroken == int(mine["robust"].sum())
    if submissions >= 4:
        assert rate.count < plain.rows[1].rates["shattered"].count


def test_submissions_fall_as_often_as_independent_draws_would() -> None:
    """A coin that shows the wrong side in a fifth of its draws stands `0.8^N` of N submissions."""

    class Coin(nn.Module):
        random = True

        def forward(self, x: Tensor, draws: Draws) -> Tensor:
            return torch.where(draws.uniform((1, 1, 1)) < 0.2, 1.0, 0.0).expand_as(x)

    class First(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            score = x.flatten(1)[:, :1]
            return torch.cat([0.5 - score, score - 0.5], dim=1)

    generator = torch.Generator().manual_seed(1)
    data = TensorDataset(torch.rand(400, 1, 2, 2, generator=generator), torch.zeros(400, dtype=torch.int64))
    found = draw_and_judge(
        First(), data, defenses={"coin": Coin()}, eot=2, judge_draws=Judge("any:5", 31), batch_size=64
    )
    rates = found.rows[1].rates
    assert rates["clean"].count == 400
    spread = 4 * (0.8**5 * (1 - 0.8**5) / 400) ** 0.5
    assert rates["shattered"].accuracy == pytest.approx(0.8**5, abs=spread)


@pytest.mark.parametrize("rule", ["mean", "any:12", "fixed-seed"])
def test_the_table_depends_neither_on_the_batch_nor_on_who_shares_the_images(
    network: nn.Module, data: TensorDataset, rule: str
) -> None:
    whole = judged_by(network, data, rule)
    pd.testing.assert_frame_equal(whole.samples, judged_by(network, data, rule, batch_size=7).samples)
    parts = [
        judged_by(network, data, rule, indices=list(part))
        for part in np.array_split(np.arange(len(data)), 3)  # as processes share a run
    ]
    merged = merge(parts)
    pd.testing.assert_frame_equal(whole.samples, merged.samples)
    assert merged.rows == whole.rows


class Remembers(nn.Module):
    """Noise that keeps what it drew, by the name of the stream."""

    random = True

    def __init__(self) -> None:
        super().__init__()
        self.seen: dict[str, set[float]] = {}

    def forward(self, x: Tensor, draws: Draws) -> Tensor:
        noise = draws.normal((1, 1, 1))
        self.seen.setdefault(draws.name, set()).update(noise.flatten().tolist())
        return x + 0.3 * noise


@pytest.mark.parametrize("rule", ["majority", "any:12"])
def test_attack_and_judge_never_draw_the_same(network: nn.Module, data: TensorDataset, rule: str) -> None:
    noise = Remembers()
    judged_by(network, data, rule, defenses={"noise": Placement(noise)})
    judge = set().union(*(seen for name, seen in noise.seen.items() if "/judge/" in name))
    attack = set().union(*(seen for name, seen in noise.seen.items() if "/attack/" in name))
    assert len(judge) > 50
    assert len(attack) > 50
    assert not judge & attack


def test_under_one_fixed_seed_attack_and_judge_see_one_draw_of_all_images(
    network: nn.Module, data: TensorDataset
) -> None:
    noise = Remembers()
    judged_by(network, data, "fixed-seed", defenses={"noise": Placement(noise)})
    assert len(set().union(*noise.seen.values())) == 1
    assert set(noise.seen) == {"/random/fixed/0/0"}


def test_one_fixed_seed_holds_for_several_copies_of_an_image_too() -> None:
    noise = Remembers()
    draws = Sampling(0, "fixed", fixed=True).draws(torch.rand(3, 1, 2, 2), 0)
    under_draws(noise, draws)(torch.rand(12, 1, 2, 2))
    under_draws(noise, draws)(torch.rand(3, 1, 2, 2))
    assert len(noise.seen["/random/fixed/0"]) == 1


def climbed(network: nn.Module, data: TensorDataset, rule: str) -> Evaluation:
    return judged_by(
        network,
        data,
        rule,
        threat=Threat("linf", 0.002),
        defenses={"noise": Noise(0.02), "own": (lambda x: x)},
        rungs=LADDER,
        gradient_free={"pgd": PGD(steps=2)},
        substitute="identity",
        eot=2,
    )


def test_what_was_judged_with_the_attacks_own_draws_is_never_called_robust(
    network: nn.Module, data: TensorDataset
) -> None:
    rows: Mapping[str, Any] = {row.defense: row for row in climbed(network, data, "fixed-seed").rows}
    assert rows["noise"].verdict.startswith("not enough evidence: it was judged with the very draws")
    assert rows["noise"].advice[0] == "fresh draws: --judge majority, or --judge any:10"
    assert any("one fixed seed" in note for note in rows["noise"].notes)
    assert "very draws" not in rows["own"].verdict, "which draws nothing"
    fresh = {row.defense: row for row in climbed(network, data, "mean").rows}
    assert "very draws" not in fresh["noise"].verdict
    assert fresh["noise"].rates["worst"].over_draws is not None


def kept_by(
    network: nn.Module, data: TensorDataset, rule: str, eps: float = 0.1
) -> tuple[Evidence, list[Examples]]:
    kept: list[Examples] = []

    def keep(done: RungDone) -> None:
        if done.x_adv is not None:
            kept.append(Examples(done.cell, torch.tensor(done.samples["index"].to_numpy()), done.x_adv))

    threat = Threat("linf", eps)
    found = judged_by(network, data, rule, observer=Hooks(keep=keep), threat=threat)
    evidence = Evidence(
        model=network,
        dataset=data,
        chains=defense_chains({"noise": Placement(Noise(0.3))}),
        threat=threat,
        heading=found.heading,
        samples=found.samples,
        kept="all",
        batch_size=5,
        seed=0,
        judge_draws=Judge(rule, 9),
    )
    return evidence, kept


@pytest.mark.parametrize("rule", ["mean", "any:12", "fixed-seed"])
def test_kept_examples_come_to_the_same_when_they_are_judged_again(
    network: nn.Module, data: TensorDataset, rule: str
) -> None:
    evidence, kept = kept_by(network, data, rule)
    findings = recheck(evidence, kept)
    assert not any(finding.faults for finding in findings)
    assert sum(finding.by_rounding for finding in findings) == 0
    other = "majority" if rule != "mean" else "any:12"
    forged = recheck(evidence._replace(judge_draws=Judge(other, 9)), kept)
    assert any(finding.faults for finding in forged)


@pytest.mark.parametrize("rule", ["majority", "any:12"])
def test_records_that_call_the_fallen_standing_are_found_out(
    network: nn.Module, data: TensorDataset, rule: str
) -> None:
    evidence, kept = kept_by(network, data, rule, eps=0.5)
    samples = evidence.samples.copy()
    surely = samples["defense"].eq("noise") & samples["rung"].eq("shattered") & (samples["queries"] > 0)
    surely &= samples["fooled_share"] > 0.85
    assert surely.any()
    samples.loc[surely, "prediction"] = samples.loc[surely, "label"]
    samples.loc[surely, "robust"] = True
    samples.loc[surely, "smallest"] = np.nan
    (found,) = [
        finding
        for finding in recheck(evidence._replace(samples=samples), kept)
        if finding.cell.defense == "noise" and finding.cell.rung == "shattered"
    ]
    assert len(found.faults["another prediction than recorded"]) == int(surely.sum())
