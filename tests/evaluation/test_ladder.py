"""The harness: it judges by itself, pairs its rungs, and leaves the model as it was found."""

import inspect
import weakref
from collections.abc import Callable

import pandas as pd
import pytest
import torch
from torch import Tensor
from torch.utils.data import TensorDataset

from advbench import Attempt, Copies, Draws, Hooks, Placement, Threat, evaluate
from advbench.attacks import PGD
from advbench.defenses import Round
from advbench.errors import DefenseError, InputError, ModelError
from advbench.evaluation.attack_batch import RungDone
from advbench.evaluation.clean_pass import fingerprint
from advbench.evaluation.observer import Checked
from advbench.results.records import SAMPLE_TYPES, join_samples
from tests.small import Network, run

Model = Callable[[Tensor], Tensor]


def test_every_rung_sees_every_image_and_wrong_ones_count_as_not_robust(
    network: Network, data: TensorDataset
) -> None:
    found = run(network, data)
    assert [row.defense for row in found.rows] == ["none", "round", "inside"]
    assert list(found.rows[0].rates) == ["clean", "shattered"]
    assert list(found.rows[1].rates) == ["clean", "shattered", "bpda"]
    assert found.rows[0].reasons == {"bpda": "no defense to substitute"}
    assert {rate.n for row in found.rows for rate in row.rates.values()} == {50}
    assert found.rows[0].rates["clean"].count == 40
    wrong = found.samples[(found.samples["index"] < 10) & (found.samples["defense"] == "none")]
    assert not wrong["robust"].any()
    assert (wrong[wrong["rung"] != "clean"]["queries"] == 0).all(), "only correct images are attacked"


def test_a_rate_is_the_sum_of_its_samples(network: Network, data: TensorDataset) -> None:
    found = run(network, data)
    counts = found.samples.groupby(["defense", "rung"])["robust"].sum()
    for row in found.rows:
        for rung, rate in row.rates.items():
            assert rate.count == counts[row.defense, rung]


def test_samples_have_the_promised_columns(network: Network, data: TensorDataset) -> None:
    samples = run(network, data).samples
    assert list(samples.columns) == list(SAMPLE_TYPES)
    assert len(samples) == 50 * (2 + 3 + 3)
    assert not samples.duplicated(["index", "rung", "defense", "attack"]).any()
    assert (samples["distance"] <= 0.05 + 1e-6).all()


@pytest.mark.parametrize("batch_size", [1, 7, 50])
def test_the_batch_size_changes_nothing(network: Network, data: TensorDataset, batch_size: int) -> None:
    exact = [name for name in SAMPLE_TYPES if name not in ("loss", "distance")]
    reference, other = (run(network, data, batch_size=size).samples for size in (16, batch_size))
    pd.testing.assert_frame_equal(other[exact], reference[exact])
    pd.testing.assert_frame_equal(other, reference, rtol=1e-4)


def test_order_and_subset_change_no_images_result(network: Network, data: TensorDataset) -> None:
    columns = ["index", "rung", "defense", "robust", "prediction", "steps"]
    whole = run(network, data).samples[columns]
    part = run(network, data, indices=[31, 4, 22]).samples[columns]
    expected = whole[whole["index"].isin([31, 4, 22])].sort_values(["defense", "rung", "index"])
    pd.testing.assert_frame_equal(
        part.sort_values(["defense", "rung", "index"]).reset_index(drop=True), expected.reset_index(drop=True)
    )


def test_the_seed_decides_the_random_start(network: Network, data: TensorDataset) -> None:
    first, again, other = (run(network, data, seed=seed).samples for seed in (0, 0, 1))
    pd.testing.assert_frame_equal(first, again)
    assert not first["distance"].equals(other["distance"])


@pytest.mark.parametrize("training", [True, False])
def test_the_model_is_left_as_it_was_found(network: Network, data: TensorDataset, training: bool) -> None:
    network.train(training)
    network.features.eval()
    network.head.bias.requires_grad_(False)
    before = {name: each.clone() for name, each in network.state_dict().items()}
    modes = [module.training for module in network.modules()]
    needed = [parameter.requires_grad for parameter in network.parameters()]
    run(network, data)
    assert all(torch.equal(each, before[name]) for name, each in network.state_dict().items())
    assert [module.training for module in network.modules()] == modes
    assert [parameter.requires_grad for parameter in network.parameters()] == needed
    assert all(parameter.grad is None for parameter in network.parameters())


def test_the_model_is_restored_after_an_error(network: Network, data: TensorDataset) -> None:
    def broken(*_: object) -> Attempt:
        raise RuntimeError("no attack today")

    with pytest.raises(RuntimeError, match="no attack today"):
        run(network, data, attacks={"broken": broken})
    assert network.training
    assert all(parameter.requires_grad for parameter in network.parameters())


@pytest.mark.parametrize(
    ("cheat", "why"),
    [
        (lambda x: torch.full_like(x, torch.nan), "an example must be finite"),
        (lambda x: x, "the clean image is classified correctly"),
    ],
)
def test_what_an_attack_claims_is_judged_afresh(
    network: Network, data: TensorDataset, cheat: Model, why: str
) -> None:
    def attack(model: Model, x: Tensor, y: Tensor, threat: Threat, draws: Draws) -> Attempt:
        return Attempt(cheat(x), torch.ones_like(y), torch.ones_like(y), y < 0)

    rates = run(network, data, attacks={"cheat": attack}).rows[0].rates
    assert rates["shattered"].count == rates["clean"].count, why


def test_an_example_outside_the_ball_is_brought_back_before_it_is_judged(
    network: Network, data: TensorDataset
) -> None:
    def attack(model: Model, x: Tensor, y: Tensor, threat: Threat, draws: Draws) -> Attempt:
        return Attempt(1.0 - x.round() + 5.0, torch.ones_like(y), torch.ones_like(y), y < 0)

    samples = run(network, data, attacks={"far": attack}).samples
    assert samples["distance"].max() == pytest.approx(0.05, abs=1e-6)


def test_bpda_can_be_left_out(network: Network, data: TensorDataset) -> None:
    found = run(network, data, rungs=())
    assert all("bpda" not in row.rates and row.masking_gap is None for row in found.rows)
    assert all(row.substitute == "" for row in found.rows)


def test_several_attacks_share_the_clean_rung(network: Network, data: TensorDataset) -> None:
    found = run(network, data, attacks={"one": PGD(steps=1), "five": PGD(steps=5)}, defenses={})
    assert [row.attack for row in found.rows] == ["one", "five"]
    assert found.rows[0].rates["clean"] == found.rows[1].rates["clean"]
    assert len(found.samples) == 50 * 3


def test_every_image_and_rung_is_told_of_as_it_is_done(network: Network, data: TensorDataset) -> None:
    begun: list[Checked] = []
    done: list[RungDone] = []
    found = run(network, data, begin=begun.append, keep=done.append, batch_size=16)
    (checked,) = begun
    assert fingerprint(checked.digests) == found.fingerprint
    assert sum(len(each.samples) for each in done) == checked.work == 50 * 5


@pytest.mark.parametrize("finished", [0, 1, 7, 13, 99])
def test_an_evaluation_goes_on_from_the_records_of_an_earlier_start(
    network: Network, data: TensorDataset, finished: int
) -> None:
    whole: list[RungDone] = []
    found = run(network, data, keep=whole.append, batch_size=16)
    known = join_samples([each.samples for each in whole[:finished]])
    again: list[RungDone] = []
    resumed = run(network, data, begin=lambda _: known, keep=again.append, batch_size=16)
    pd.testing.assert_frame_equal(resumed.samples, found.samples, rtol=1e-4)
    assert resumed.rows == found.rows
    assert sum(len(each.samples) for each in again) == 50 * 5 - len(known), "nothing is done twice"


def test_the_fingerprint_depends_on_images_and_labels_alone(network: Network, data: TensorDataset) -> None:
    x, y = data.tensors
    reference = run(network, data, defenses={}).fingerprint
    assert run(network, data, defenses={}, batch_size=3).fingerprint == reference
    assert run(network, TensorDataset(x, (y + 1) % 3), defenses={}).fingerprint != reference
    assert run(network, TensorDataset(x.flip(0), y), defenses={}).fingerprint != reference


def test_memory_holds_one_batch_not_the_data_set(network: Network) -> None:
    alive: weakref.WeakSet[Tensor] = weakref.WeakSet()
    most = 0

    class OnDemand:
        """Images made when they are asked for, counted as long as anything holds them."""

        def __len__(self) -> int:
            return 64

        def __getitem__(self, index: int) -> tuple[Tensor, int]:
            nonlocal most
            image = torch.rand(1, 4, 4, generator=torch.Generator().manual_seed(index))
            alive.add(image)
            most = max(most, len(alive))
            return image, 0

    evaluate(network, OnDemand(), threat=Threat("linf", 0.1), attacks={"pgd": PGD(steps=1)}, batch_size=8)
    assert 8 <= most <= 16


def test_broken_input_is_refused_before_any_attack(network: Network, data: TensorDataset) -> None:
    x, y = data.tensors

    def never(*_: object) -> Attempt:
        raise AssertionError("attacked all the same")

    late = x.clone()
    with torch.no_grad():
        network.head.weight[0, 0] = torch.nan
    with pytest.raises(ModelError, match=r"NaN or infinite logits.*'head'"):
        run(network, TensorDataset(late, y), attacks={"never": never}, defenses={})


def test_no_images_and_unknown_places_are_refused(network: Network, data: TensorDataset) -> None:
    with pytest.raises(InputError, match="no images"):
        run(network, data, indices=[])
    with pytest.raises(DefenseError, match="Did you mean 'features'"):
        run(network, data, defenses={"typo": Placement(Round(), "feature")})


def test_an_evaluation_takes_few_parameters_and_no_copies_can_be_said_in_two_ways(
    network: Network, data: TensorDataset
) -> None:
    assert len(inspect.signature(evaluate).parameters) <= 19
    own = {"threat": Threat("linf", 0.05), "attacks": {"pgd": PGD(steps=3)}, "rungs": ()}
    said: list[list[str]] = [[], []]
    short = evaluate(network, data, **own, fast=False, observer=Hooks(note=said[0].append))  # type: ignore[arg-type]  # a table of settings
    copies, hooks = Copies(fast=False), Hooks(note=said[1].append)
    full = evaluate(network, data, **own, copies=copies, observer=hooks)  # type: ignore[arg-type]
    assert short.samples.equals(full.samples)
    assert said[0] == said[1]
