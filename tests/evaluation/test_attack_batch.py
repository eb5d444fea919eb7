"""The rungs beside clean, shattered and BPDA: static, gradient-free and the worst of all."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

import advbench
from advbench import Evaluation
from advbench.attacks import PGD, Square
from advbench.defenses import Round
from advbench.errors import InputError
from advbench.evaluation.attack_batch import RungDone
from advbench.evaluation.ladder import merge
from advbench.evaluation.observer import Checked
from advbench.results.records import LADDER, SAMPLE_TYPES, join_samples
from advbench.speed.working_copy import Precision
from tests.small import Network, run

QUERIES = {"square:queries=20": Square(queries=20)}
DEFENSES = {"round": Round(step=0.5), "negative": lambda x: 1.0 - x}


def climb(network: Network, data: TensorDataset, **others: object) -> Evaluation:
    return run(network, data, **{"rungs": LADDER, "gradient_free": QUERIES, "defenses": DEFENSES, **others})


def of(found: Evaluation, defense: str, rung: str, attack: str = "pgd") -> pd.DataFrame:
    samples = found.samples
    mine = (samples["defense"] == defense) & (samples["rung"] == rung) & (samples["attack"] == attack)
    return samples[mine].set_index("index")


def test_the_ladder_has_every_rung_that_makes_sense(network: Network, data: TensorDataset) -> None:
    undefended, defended, _ = climb(network, data).rows
    assert list(defended.rates) == ["clean", "static", "shattered", "bpda", "gradient_free", "worst"]
    assert list(undefended.rates) == ["clean", "shattered", "gradient_free", "worst"]
    assert undefended.reasons == {"static": "the examples are made on it", "bpda": "no defense to substitute"}
    assert {rate.n for row in (undefended, defended) for rate in row.rates.values()} == {50}


def test_static_examples_are_those_of_the_undefended_model(network: Network, data: TensorDataset) -> None:
    parts: list[RungDone] = []
    found = climb(network, data, keep=parts.append)
    made = examples(parts, "none", "shattered")
    shown = examples(parts, "negative", "static")
    assert shown
    assert all(torch.equal(x_adv, made[index]) for index, x_adv in shown.items())
    records = of(found, "negative", "static")
    predicted = {index: int(network.eval()(1.0 - x_adv[None]).argmax()) for index, x_adv in shown.items()}
    assert records.loc[list(shown), "prediction"].tolist() == list(predicted.values())
    assert (records["queries"] == 0).all(), "nothing is asked of the defended model but its judgement"


def examples(parts: list[RungDone], defense: str, rung: str) -> dict[int, Tensor]:
    mine = [each for each in parts if (each.cell.defense, each.rung) == (defense, rung)]
    return {
        index: x_adv
        for each in mine
        if each.x_adv is not None
        for index, x_adv in zip(each.samples["index"].tolist(), each.x_adv, strict=True)
    }


def test_what_the_undefended_model_gets_wrong_is_replayed_as_it_is(
    network: Network, data: TensorDataset
) -> None:
    found = climb(network, data)
    clean = of(found, "none", "clean", attack="")
    wrong = clean.index[~clean["robust"]]
    replayed, alone = of(found, "negative", "static"), of(found, "negative", "clean", attack="")
    assert len(wrong)
    assert (replayed.loc[wrong, "distance"] == 0.0).all()
    assert replayed.loc[wrong, "robust"].equals(alone.loc[wrong, "robust"])


def test_the_worst_is_what_stands_on_every_rung(network: Network, data: TensorDataset) -> None:
    found = climb(network, data, attacks={"pgd": PGD(steps=1), "none at all": PGD(steps=1, step_size=1e-9)})
    for row in found.rows:
        mine = found.samples[found.samples["defense"] == row.defense]
        mine = mine[mine["attack"].isin(["", row.attack, *QUERIES])]
        standing = set(mine["index"]) - set(mine[~mine["robust"]]["index"])
        assert row.rates["worst"].count == len(standing)
        assert row.rates["worst"].count <= min(rate.count for rate in row.rates.values())


def test_the_gradient_free_rung_asks_for_scores_alone(network: Network, data: TensorDataset) -> None:
    records = of(climb(network, data), "round", "gradient_free", *QUERIES)
    assert (records["steps"] == 0).all()
    assert records["queries"].max() > 1
    assert not records["robust"].all()


@pytest.mark.parametrize("batch_size", [1, 7])
def test_the_batch_size_changes_nothing(network: Network, data: TensorDataset, batch_size: int) -> None:
    exact = [name for name in SAMPLE_TYPES if name not in ("loss", "distance", "smallest")]
    reference, other = (climb(network, data, batch_size=size).samples for size in (50, batch_size))
    pd.testing.assert_frame_equal(other[exact], reference[exact])
    pd.testing.assert_frame_equal(other, reference, rtol=1e-4)


def test_a_climb_that_was_interrupted_between_two_parts_goes_on(
    network: Network, data: TensorDataset
) -> None:
    parts: list[RungDone] = []
    whole = climb(network, data, keep=parts.append, batch_size=20)
    for kept in range(1, len(parts), 3):  # of each rung and batch, some

        def begin(_: Checked, kept: int = kept) -> pd.DataFrame:
            return join_samples([each.samples for each in parts[:kept]])

        again: list[RungDone] = []
        resumed = climb(network, data, begin=begin, keep=again.append, batch_size=20)
        pd.testing.assert_frame_equal(resumed.samples, whole.samples, rtol=1e-4)
        new = join_samples([each.samples for each in again])
        assert len(new) + len(begin(None)) == len(whole.samples[whole.samples["rung"] != "clean"])  # type: ignore[arg-type]


def test_two_shares_of_a_climb_make_the_whole(network: Network, data: TensorDataset) -> None:
    shares = [climb(network, data, indices=range(first, 50, 2), population=range(50)) for first in (0, 1)]
    merged, whole = merge(shares), climb(network, data)
    pd.testing.assert_frame_equal(merged.samples, whole.samples, rtol=1e-4)
    assert [row.verdict for row in merged.rows] == [row.verdict for row in whole.rows]
    told = {(each.defense, each.rung, each.name, each.whole) for each in whole.heading.indicators}
    assert {(each.defense, each.rung, each.name, each.whole) for each in merged.heading.indicators} == told


@pytest.mark.parametrize(
    ("others", "told"),
    [
        ({"rungs": ("clean",)}, "there is no rung 'clean'"),
        ({"rungs": ("stairs",)}, "there is no rung 'stairs'; known: static"),
        ({"gradient_free": {}}, "belong together"),
        ({"rungs": ("static",)}, "belong together"),
    ],
)
def test_a_rung_that_cannot_be_run_is_refused(
    network: Network, data: TensorDataset, others: dict[str, object], told: str
) -> None:
    with pytest.raises(InputError, match=told):
        climb(network, data, **others)


def test_a_static_rung_needs_no_other(network: Network, data: TensorDataset) -> None:
    found = run(network, data, rungs=("static",), defenses={"same": nn.Identity()})
    assert list(found.rows[1].rates) == ["clean", "static", "shattered"]
    standing = [
        of(found, defense, rung)["robust"] for defense, rung in (("same", "static"), ("none", "shattered"))
    ]
    assert standing[0].equals(standing[1])


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_behind_a_random_defense_the_records_of_a_fast_copy_are_those_of_the_model(
    tmp_path: Path, precision: Precision
) -> None:
    settings: dict[str, Any] = {
        "defenses": ["noise:sigma=0.15"],
        "attacks": ["pgd:steps=4", "strongest:steps=2,queries=12"],
        **{"data": "digits", "first": 16, "eps": 0.1, "eot": 2, "judge_draws": 5},
    }
    plain = advbench.run(**settings, fast=False, out=tmp_path / "plain").samples
    other = advbench.run(**settings, precision=precision, batch_size=5, out=tmp_path / "other").samples
    keys = ["defense", "attack", "rung", "index"]
    plain, other = (samples.sort_values(keys, ignore_index=True) for samples in (plain, other))
    if precision == "fp32":
        exact = [*keys, "prediction", "robust", "steps", "queries"]
        pd.testing.assert_frame_equal(plain[exact], other[exact])
    random = plain["defense"] != "none"
    assert int((plain["robust"] != other["robust"])[random].sum()) <= 1
