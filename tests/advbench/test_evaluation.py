"""The harness: it judges by itself, pairs its rungs, and leaves the model as it was found."""

import weakref
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from advbench import Attempt, Draws, Evaluation, Placement, Threat, bpda, evaluate, identity
from advbench.attacks import PGD
from advbench.backward import Map
from advbench.defenses import Round
from advbench.errors import DefenseError, InputError, ModelError
from advbench.evaluation import Checked, RungDone
from advbench.records import SAMPLE_TYPES, join_samples

Model = Callable[[Tensor], Tensor]


class Network(nn.Module):
    """A small network with everything that an evaluation could disturb: BatchNorm, dropout, a counter."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU())
        self.dropout = nn.Dropout(0.5)
        self.head = nn.Linear(64, 3)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x: Tensor) -> Tensor:
        self.get_buffer("calls").add_(1)
        logits: Tensor = self.head(self.dropout(self.features(x).flatten(1)))
        return logits


@pytest.fixture
def network() -> Network:
    torch.manual_seed(0)
    network = Network()
    network(torch.rand(8, 1, 4, 4))  # running statistics that are not the initial ones
    return network


@pytest.fixture
def data(network: Network) -> TensorDataset:
    x = torch.rand(50, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    y = network.eval()(x).argmax(1)
    y[:10] = (y[:10] + 1) % 3  # a fifth is wrong before any attack
    network.train()
    return TensorDataset(x, y)


def run(network: nn.Module, data: TensorDataset, **changes: object) -> Evaluation:
    settings: dict[str, object] = {
        "threat": Threat("linf", 0.05),
        "attacks": {"pgd": PGD(steps=5)},
        "defenses": {"round": Round(), "inside": Placement(Round(), "features")},
    }
    return evaluate(network, data, **{**settings, **changes})  # type: ignore[arg-type]  # a table of settings


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
    found = run(network, data, bpda=False)
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
    found = run(network, data, begin=begun.append, notify=done.append, batch_size=16)
    (checked,) = begun
    assert checked.fingerprint == found.fingerprint
    assert sum(len(each.samples) for each in done) == checked.work == 50 * 5


@pytest.mark.parametrize("finished", [0, 1, 7, 13, 99])
def test_an_evaluation_goes_on_from_the_records_of_an_earlier_start(
    network: Network, data: TensorDataset, finished: int
) -> None:
    whole: list[RungDone] = []
    found = run(network, data, notify=whole.append, batch_size=16)
    known = join_samples([each.samples for each in whole[:finished]])
    again: list[RungDone] = []
    resumed = run(network, data, begin=lambda _: known, notify=again.append, batch_size=16)
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


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"indices": [0, 0, 1]}, "distinct"),
        ({"indices": [-1, 2]}, r"0\.\.49"),
        ({"indices": [50]}, r"0\.\.49"),
        ({"defenses": {"none": Round()}}, "'none' is the undefended model"),
        ({"defenses": {"text": "round"}}, "a function, a Placement, or a list"),
        ({"defenses": {"empty": []}}, "a function, a Placement, or a list"),
        ({"attacks": {}}, "no attacks"),
    ],
)
def test_what_python_callers_get_wrong_is_said(
    network: Network, data: TensorDataset, changes: dict[str, object], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        run(network, data, **changes)


def test_models_that_do_not_compute_in_float32_are_refused(network: Network, data: TensorDataset) -> None:
    with pytest.raises(InputError, match=r"model\.float"):
        run(network.double(), data)


def numpy_rounding_in_place(x: Tensor) -> Tensor:
    array = x.numpy()
    array[...] = np.round(array * 2) / 2
    return torch.from_numpy(array)


def torch_rounding_in_place(x: Tensor) -> Tensor:
    return x.mul_(2).round_().div_(2)


@pytest.mark.parametrize("defense", [numpy_rounding_in_place, torch_rounding_in_place])
def test_a_defense_that_works_in_place_spoils_neither_images_nor_verdicts(
    network: Network, data: TensorDataset, defense: Map
) -> None:
    def copying(x: Tensor) -> Tensor:
        return (x * 2).round() / 2

    images = data.tensors[0].clone()
    found = run(network, data, defenses={"in place": defense, "copying": copying, "after": identity})
    rates = {row.defense: dict(row.rates) for row in found.rows}
    assert rates["in place"] == rates["copying"]
    assert rates["after"]["clean"] == rates["none"]["clean"]
    assert torch.equal(data.tensors[0], images)
    assert found.samples["distance"].max() <= 0.05 + 1e-6


def test_a_network_may_go_on_in_place_behind_a_defense(data: TensorDataset) -> None:
    torch.manual_seed(0)
    inplace = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(16, 3)
    )
    defenses = {
        f"{g}@{at}": Placement(g, at) for g in (Round(), identity, detached_rounding) for at in ("1", "0")
    }
    found = run(inplace, data, defenses={str(number): each for number, each in enumerate(defenses.values())})
    assert all("bpda" in row.rates for row in found.rows[1:])


def detached_rounding(x: Tensor) -> Tensor:
    return x.detach().round()


def test_a_defense_that_is_wrapped_already_still_shows_its_own_gradient(
    network: Network, data: TensorDataset
) -> None:
    plain, wrapped = run(
        network, data, defenses={"plain": Round(step=0.5), "wrapped": bpda(Round(step=0.5))}
    ).rows[1:]
    assert plain.rates == wrapped.rates


def test_a_defense_that_is_a_module_is_evaluated_and_left_as_it_was(
    network: Network, data: TensorDataset
) -> None:
    class Learned(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.BatchNorm2d(1)
            self.drop = nn.Dropout(0.5)

        def forward(self, x: Tensor) -> Tensor:
            return self.drop(self.norm(x)).round(decimals=1)  # type: ignore[no-any-return]  # modules are untyped

    learned = Learned()
    before = {name: each.clone() for name, each in learned.state_dict().items()}
    by_size = [run(network, data, defenses={"learned": learned}, batch_size=size).rows[1] for size in (50, 7)]
    assert by_size[0].rates == by_size[1].rates
    assert by_size[0].warnings == ()
    assert learned.drop.training
    assert all(torch.equal(each, before[name]) for name, each in learned.state_dict().items())


def test_data_that_change_between_readings_are_refused(network: Network, data: TensorDataset) -> None:
    class Augmented:
        reads = 0

        def __len__(self) -> int:
            return len(data)

        def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
            Augmented.reads += 1
            x, y = data[index]
            return (x + Augmented.reads * 1e-6).clamp(0, 1), y

    with pytest.raises(InputError, match="random transforms"):
        run(network, Augmented())  # type: ignore[arg-type]  # any map-style data set will do


def on_the_grid(x: Tensor) -> Tensor:
    return (x == x.round(decimals=2)).flatten(1).all(1, keepdim=True)


class Wrapped(nn.Module):
    """A network with something odd round its logits."""

    def __init__(self, network: nn.Module, odd: Callable[[Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.network = network
        self.odd = odd

    def forward(self, x: Tensor) -> Tensor:
        return self.odd(self.network(x), x)


@pytest.mark.parametrize(
    ("odd", "said"),
    [
        (lambda z, x: z.detach(), "gradient was zero or undefined"),
        (lambda z, x: z * 1e4, "try pgd:loss=margin"),
        (lambda z, x: z + torch.rand_like(z), "is random"),
        (lambda z, x: z - 5 * z.mean(0), "depend on its batch"),
        (
            lambda z, x: torch.where(
                (x != x.round(decimals=2)).flatten(1).any(1, keepdim=True), torch.nan, z
            ),
            "zero or undefined",
        ),
    ],
    ids=[
        "a cut graph",
        "a saturated loss",
        "a random model",
        "a model that mixes its batch",
        "NaN off the grid",
    ],
)
def test_false_safety_is_named(
    network: Network, data: TensorDataset, odd: Callable[[Tensor, Tensor], Tensor], said: str
) -> None:
    x = (data.tensors[0] * 100).round() / 100
    model = Wrapped(network, odd)
    with torch.no_grad():
        y = network.eval()(x).argmax(1)
    row = run(model, TensorDataset(x, y), defenses={}).rows[0]
    assert any(said in each for each in row.warnings), row.warnings


def test_an_ordinary_model_and_its_defenses_are_not_doubted(network: Network, data: TensorDataset) -> None:
    assert all(row.warnings == () for row in run(network, data).rows)
    fails = run(network, data, defenses={"hopeless": Placement(Round(), substitute=detached_rounding)}).rows[
        1
    ]
    assert any(each.startswith("bpda: the gradient was zero") for each in fails.warnings)
    assert not any(each.startswith("shattered") for each in fails.warnings)


def test_a_substitute_that_does_not_fit_is_found_before_any_attack(
    network: Network, data: TensorDataset
) -> None:
    def never(*_: object) -> Attempt:
        raise AssertionError("attacked all the same")

    misfit = Placement(Round(), substitute=nn.AvgPool2d(2))
    with pytest.raises(DefenseError, match="AvgPool2d gives shape"):
        run(network, data, attacks={"never": never}, defenses={"misfit": misfit})
