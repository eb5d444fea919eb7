"""Randomized smoothing: noise of each image's own, votes that may abstain, and what abstentions count for."""

import math

import pandas as pd
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from advbench import DefendedModel, Evaluation, Hooks, Judge, Placement, Threat, evaluate, smoothed
from advbench.attacks import PGD
from advbench.defended.contract import checked_logits
from advbench.defended.smoothed import read_smoothing
from advbench.defenses import EnsembleVote
from advbench.draws.sampling import Sampling
from advbench.errors import ModelError, SpecError
from advbench.evaluation.attack_batch import RungDone
from advbench.evaluation.judge_again import Evidence, recheck
from advbench.evaluation.plan import defense_chains
from advbench.results.records import UNDECIDED
from advbench.runs.examples import Examples
from advbench.threat.judge import predict, vote


class Edge(nn.Module):
    """Class 1 where the mean of the pixels lies above one half."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(20.0))

    def forward(self, x: Tensor) -> Tensor:
        z = self.scale * (x.flatten(1).mean(1, keepdim=True) - 0.5)
        return torch.cat([-z, z], dim=1)


def levels(*values: float) -> Tensor:
    return torch.tensor(values).view(-1, 1, 1, 1).expand(-1, 1, 2, 2).contiguous()


def behind(alpha: float, count: int = 1, draws: int = 30) -> DefendedModel:
    chain = [Placement(EnsembleVote(alpha=alpha), "members")]
    model = smoothed(Edge(), sigma=0.4, draws=draws)
    return DefendedModel(model, chain, sampling=Sampling(0, "judge", count)).eval().requires_grad_(False)


def test_votes_come_as_often_as_the_noise_says() -> None:
    """The mean of four pixels under noise of deviation 0.4 has one of 0.2."""
    x = levels(0.5, 0.6, 0.7)
    votes = behind(1.0, draws=4000)(x)[:, 1] / 4000
    wanted = torch.tensor([0.5 * (1 + math.erf((level - 0.5) / 0.2 / 2**0.5)) for level in (0.5, 0.6, 0.7)])
    torch.testing.assert_close(votes, wanted, atol=0.03, rtol=0)


@pytest.mark.parametrize(
    ("first", "second", "alpha", "abstains"),
    [
        (10, 0, 0.001, True),
        (11, 0, 0.001, False),
        (15, 15, 0.9, True),
        (21, 9, 0.05, False),
        (20, 10, 0.05, True),
    ],
)
def test_the_vote_abstains_where_the_binomial_test_does_not_reject(
    first: int, second: int, alpha: float, abstains: bool
) -> None:
    side = [[1.0, 0.0, 0.0]] * first + [[0.0, 0.0, 1.0]] * second
    found = EnsembleVote(alpha=alpha)(torch.tensor([side]))
    smaller = range(min(first, second) + 1)
    p = min(1.0, 2 * sum(math.comb(first + second, k) for k in smaller) / 2 ** (first + second))
    assert (p > alpha) == abstains
    assert bool(found.isnan().all()) == abstains
    assert found.isnan().any() == abstains


@pytest.mark.parametrize("alpha", [0.0, -0.1, 1.5, float("nan")])
def test_another_level_is_refused(alpha: float) -> None:
    with pytest.raises(SpecError, match=r"ensemble-vote: alpha must lie in \(0, 1\], got"):
        EnsembleVote(alpha=alpha)


def test_an_abstention_is_nan_for_the_judge_and_never_for_an_attack() -> None:
    x = levels(0.5, 0.95, 0.02)
    model = behind(0.001)
    logits = checked_logits(model, x, torch.tensor([0, 1, 0]))
    assert predict(logits).tolist() == [UNDECIDED, 1, 0]
    (link,) = [Placement(EnsembleVote(alpha=0.001), "members").as_attacked]
    assert link.defense == EnsembleVote()
    assert link.at == "members"
    plain = Placement(EnsembleVote(), "members")
    assert plain.as_attacked is plain
    with pytest.raises(ModelError, match="NaN or infinite logits for 1 of 3 clean images"):
        checked_logits(DefendedModel(Edge(), [Placement(_nan_first, "logits")]), x, torch.tensor([0, 1, 0]))


def _nan_first(z: Tensor) -> Tensor:
    return torch.cat([torch.full_like(z[:1], torch.nan), z[1:]])


@pytest.mark.parametrize(
    ("draws", "clean", "prediction", "fell"),
    [
        ([-1, -1, 0], True, -1, True),
        ([-1, -1, 0], False, -1, False),
        ([-1, 0, 0], True, 0, False),
        ([-1, 1, 0], True, -1, True),
        ([-1, 1, 0], False, -1, False),
    ],
)
def test_an_abstention_is_wrong_of_clean_images_and_no_success_of_an_attack(
    draws: list[int], clean: bool, prediction: int, fell: bool
) -> None:
    found = vote(torch.tensor(draws).view(-1, 1), torch.tensor([0]), clean=clean)
    assert (int(found.prediction), bool(found.fooled)) == (prediction, fell)


def climbed(kept: list[Examples] | None = None, **changes: object) -> Evaluation:
    x = levels(*torch.linspace(0.05, 0.95, 24).tolist())
    data = TensorDataset(x, (x.flatten(1).mean(1) > 0.5).long())

    def keep(done: RungDone) -> None:
        if kept is not None and done.x_adv is not None:
            kept.append(Examples(done.cell, torch.tensor(done.samples["index"].to_numpy()), done.x_adv))

    settings: dict[str, object] = {
        "threat": Threat("linf", 0.6),
        "attacks": {"pgd": PGD(steps=3)},
        "defenses": {"vote": EnsembleVote(alpha=0.01)},
        "substitute": "mean-softmax",
        "eot": 2,
        "judge_draws": Judge("mean", 5),
        "batch_size": 16,
        "observer": Hooks(keep=keep),
    }
    model = smoothed(Edge(), sigma=0.4, draws=12)
    return evaluate(model, data, **{**settings, **changes})  # type: ignore[arg-type]  # a table of settings


def test_abstentions_count_as_the_records_say_in_any_batch_and_when_judged_again() -> None:
    kept: list[Examples] = []
    found = climbed(kept)
    pd.testing.assert_frame_equal(found.samples, climbed(batch_size=7).samples)
    clean = found.samples.query("rung == 'clean' and defense == 'vote'")
    assert (clean["prediction"] == UNDECIDED).any(), "near the edge the vote abstains"
    assert (clean["robust"] == (clean["prediction"] == clean["label"])).all()
    attacked = found.samples.query("rung == 'bpda' and queries > 0")
    undecided = attacked["prediction"] == UNDECIDED
    assert undecided.any()
    assert attacked["robust"][undecided].all()
    assert (~attacked["robust"]).any(), "BPDA turns votes that were sure"
    assert not any("two passes" in told for row in found.rows for told in row.warnings)
    x = levels(*torch.linspace(0.05, 0.95, 24).tolist())
    evidence = Evidence(
        model=smoothed(Edge(), sigma=0.4, draws=12),
        dataset=TensorDataset(x, (x.flatten(1).mean(1) > 0.5).long()),
        chains=defense_chains({"vote": EnsembleVote(alpha=0.01)}),
        threat=Threat("linf", 0.6),
        heading=found.heading,
        samples=found.samples,
        kept="all",
        batch_size=16,
        seed=0,
        judge_draws=Judge("mean", 5),
    )
    assert not any(finding.faults for finding in recheck(evidence, kept))


@pytest.mark.parametrize(
    ("text", "wanted"),
    [("sigma=0.25,draws=30", (0.25, 30)), ("0.5", (0.5, 100)), ("draws=2,sigma=1/4", (0.25, 2))],
)
def test_smoothing_is_read_from_words(text: str, wanted: tuple[float, int]) -> None:
    assert read_smoothing(text) == wanted


@pytest.mark.parametrize(
    "text", ["draws=5", "sigma=0.1,draws=1", "sigma=0.1,draws=x", "sigma=0.1,n=5", "", "-1"]
)
def test_words_that_are_no_smoothing_are_refused(text: str) -> None:
    with pytest.raises(SpecError, match="--smooth"):
        read_smoothing(text)


@pytest.mark.parametrize(("sigma", "draws"), [(0.0, 5), (float("inf"), 5), (0.1, 1)])
def test_noise_that_is_none_is_refused(sigma: float, draws: int) -> None:
    with pytest.raises(ModelError, match="smoothing needs"):
        smoothed(Edge(), sigma=sigma, draws=draws)
