"""Examples are judged again: an honest run has no faults, and each thing that is forged has a name."""

from collections.abc import Callable
from typing import Any

import pandas as pd
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from advbench import Evaluation, Hooks, Placement, Threat, evaluate
from advbench.attacks import PGD
from advbench.evaluation.attack_batch import RungDone
from advbench.evaluation.judge_again import Evidence, Finding, _ties, recheck
from advbench.evaluation.plan import defense_chains
from advbench.jobs.compare_records import check_records
from advbench.results.table import Cell
from advbench.runs.examples import Examples
from tests.draws.test_sampling import Noise
from tests.draws.test_sampling import run as draw_and_judge
from tests.evaluation.models import Sum, levels

DATA = levels(0.1, 0.4, 0.6, 0.9)
SHATTERED = Cell("none", "pgd", "shattered")


def test_kept_examples_are_judged_again_under_the_same_draws(network: nn.Module, data: TensorDataset) -> None:
    kept: list[Examples] = []

    def keep(done: RungDone) -> None:
        if done.x_adv is not None:
            indices = torch.tensor(done.samples["index"].to_numpy())
            kept.append(Examples(done.cell, indices, done.x_adv))

    found = draw_and_judge(network, data, observer=Hooks(keep=keep))
    evidence = Evidence(
        model=network,
        dataset=data,
        chains=defense_chains({"noise": Placement(Noise(0.3))}),
        threat=Threat("linf", 0.1),
        heading=found.heading,
        samples=found.samples,
        kept="all",
        batch_size=5,
        seed=0,
        judge_draws=9,
    )
    findings = recheck(evidence, kept)
    assert not any(each.faults for each in findings)
    assert sum(each.by_rounding for each in findings) == 0
    forged = evidence._replace(judge_draws=91)
    assert any(each.faults for each in recheck(forged, kept))


Run = tuple[Evaluation, list[Examples]]


@pytest.fixture(scope="module")
def run() -> Run:
    """Two images fall, two stand; every example is kept."""
    kept: list[Examples] = []

    def keep(done: RungDone) -> None:
        if done.x_adv is not None:
            kept.append(Examples(done.cell, torch.tensor(done.samples["index"].to_numpy()), done.x_adv))

    found = evaluate(
        Sum(),
        DATA,
        threat=Threat("linf", 0.2),
        attacks={"pgd": PGD(steps=5)},
        batch_size=2,
        observer=Hooks(keep=keep),
    )
    assert found.rows[0].rates["shattered"].count == 2
    return found, [each for each in kept if each.cell == SHATTERED]


def evidence_of(run: Run, **changes: Any) -> Evidence:
    settings: dict[str, Any] = {
        "model": Sum(),
        "dataset": DATA,
        "chains": defense_chains({}),
        "threat": Threat("linf", 0.2),
        "heading": run[0].heading,
        "samples": run[0].samples,
        "kept": "all",
        "batch_size": 3,
        "seed": 0,
        "judge_draws": 9,
    }
    return Evidence(**{**settings, **changes})


def faults(findings: list[Finding]) -> dict[str, dict[str, list[int]]]:
    return {each.cell.rung: each.faults for each in findings if each.faults}


def test_an_honest_run_has_no_faults_and_its_examples_are_counted(run: Run) -> None:
    clean, attacked = recheck(evidence_of(run), run[1], as_8bit=True)
    assert faults([clean, attacked]) == {}
    assert (clean.images, clean.examples, clean.as_8bit) == (4, 4, None)
    assert (attacked.images, attacked.examples, attacked.fooling, attacked.as_8bit) == (4, 4, 2, 2)


RECORDS: dict[str, tuple[str, str, int, Any, str]] = {
    "label": ("clean", "label", 0, 1, "another label than the data set's"),
    "clean prediction": ("clean", "prediction", 3, 0, "another prediction than recorded"),
    "clean count": ("clean", "robust", 0, False, "counted other than predicted"),
    "prediction": ("shattered", "prediction", 1, 0, "another prediction than recorded"),
    "count": ("shattered", "robust", 1, True, "counted other than judged"),
    "distance": ("shattered", "distance", 1, 0.01, "another distance than recorded"),
    "smallest": ("shattered", "smallest", 1, 0.01, "another smallest perturbation than it can have"),
    "negative": ("shattered", "smallest", 0, -1.0, "another smallest perturbation than it can have"),
}


@pytest.mark.parametrize("name", RECORDS)
def test_a_record_that_was_changed_is_found_at_its_image(name: str, run: Run) -> None:
    rung, column, index, value, fault = RECORDS[name]
    samples = run[0].samples.copy()
    samples.loc[samples["rung"].eq(rung) & samples["index"].eq(index), column] = value
    found = faults(recheck(evidence_of(run, samples=samples), run[1]))
    assert found[rung][fault] == [index]


def first(examples: list[Examples], **changes: Any) -> list[Examples]:
    """The examples with something else in the place of the first batch's."""
    return [examples[0]._replace(**changes), *examples[1:]]


def for_first(value: float, other: float) -> Tensor:
    """A number for the first image of a batch, and one for the second."""
    return torch.tensor([value, other]).view(2, 1, 1, 1)


EXAMPLES: dict[str, tuple[Callable[[list[Examples]], list[Examples]], str, list[int]]] = {
    "outside the box": (
        lambda kept: first(kept, x_adv=kept[0].x_adv - for_first(0.5, 0.0)),
        "outside [0, 1]",
        [0],
    ),
    "outside the ball": (
        lambda kept: first(kept, x_adv=kept[0].x_adv + for_first(0.5, 0.0)),
        "outside the ball",
        [0],
    ),
    "not a number": (
        lambda kept: first(kept, x_adv=kept[0].x_adv * for_first(torch.nan, 1.0)),
        "outside [0, 1]",
        [0],
    ),
    "another shape": (
        lambda kept: first(kept, x_adv=kept[0].x_adv[..., :1]),
        "another shape than the image's",
        [0, 1],
    ),
    "none kept": (lambda kept: kept[1:], "no example of it was kept", [0, 1]),
    "twice": (lambda kept: [*kept, kept[0]], "more than one example", [0, 1]),
    "of nobody": (
        lambda kept: [*kept, kept[0]._replace(indices=torch.tensor([7, 8]))],
        "no record of the example",
        [7, 8],
    ),
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_that_was_changed_lost_or_added_is_found(name: str, run: Run) -> None:
    forge, fault, indices = EXAMPLES[name]
    found = faults(recheck(evidence_of(run), forge(run[1])))
    assert found["shattered"][fault] == indices


def test_where_successes_alone_are_kept_an_image_that_stands_needs_none(run: Run) -> None:
    single = [
        each._replace(indices=each.indices[[row]], x_adv=each.x_adv[[row]])
        for each in run[1]
        for row in (0, 1)
    ]
    fallen = [each for each in single if int(each.indices) in (1, 2)]
    assert faults(recheck(evidence_of(run, kept="successful"), fallen)) == {}
    lost = faults(recheck(evidence_of(run, kept="successful"), fallen[1:]))
    assert lost == {"shattered": {"no example of it was kept": [1]}}


@pytest.mark.parametrize(
    ("logits", "recorded", "ties"),
    [
        ([1.0, 1.0 - 5e-5], 1, True),
        ([1.0, 1.0 - 5e-4], 1, False),
        ([1000.0, 999.95], 1, True),
        ([0.0, 0.0], 1, True),
        ([1.0, 2.0], 2, False),
        ([1.0, 2.0], -1, False),
        ([1.0, torch.nan], 0, False),
        ([1.0, torch.inf], 1, False),
    ],
)
def test_rounding_excuses_a_class_whose_logit_is_all_but_the_largest(
    logits: list[float], recorded: int, ties: bool
) -> None:
    assert _ties(torch.tensor(logits), recorded) is ties


def test_records_are_one_an_image_and_rung(run: Run) -> None:
    found, heading, indices = run[0].samples, run[0].heading, [0, 1, 2, 3]
    assert check_records(found, heading, indices) is None
    assert check_records(found.sample(frac=1.0, random_state=0), heading, indices) is None
    assert check_records(found[1:], heading, indices) == (
        "none · clean has 3 records, not one for each of its 4 images"
    )
    double = pd.concat([found, found[-1:]])
    assert "none · pgd · shattered has 5 records" in str(check_records(double, heading, indices))
    other = pd.concat([found, found[-1:].assign(attack="more")])
    assert "there are records of a rung that was not run" in str(check_records(other, heading, indices))
    assert "not one for each" in str(check_records(found.assign(index=7), heading, indices))
