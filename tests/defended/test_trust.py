"""Wrong calls, defenses that misbehave, and models whose safety is false: each is said or survived."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from advbench import Attempt, Placement, bpda, identity
from advbench.defended.backward import Map
from advbench.defenses import Round
from advbench.errors import DefenseError, InputError, ModelError
from tests.small import Network, run

Model = Callable[[Tensor], Tensor]


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


def test_a_model_in_float64_has_the_table_of_the_same_one_in_float32(
    network: Network, data: TensorDataset
) -> None:
    expected = [row.rates for row in run(network, data).rows]
    assert [row.rates for row in run(network.double(), data).rows] == expected
    assert next(network.parameters()).dtype == torch.float64, "it is left as it was"


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


class Centred(nn.Module):
    """Writes over its input: by autograd's way, or past it."""

    def __init__(self, *, hidden: bool) -> None:
        super().__init__()
        self.hidden, self.linear = hidden, nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        centred = x.data.sub_(0.5) if self.hidden else x.sub_(0.5)
        logits: Tensor = self.linear(centred.flatten(1))
        return logits


@pytest.mark.parametrize("hidden", [False, True])
@pytest.mark.parametrize("count", [5, 12, 16])
@pytest.mark.parametrize("fast", [False, True])
def test_a_network_that_writes_over_its_input_gets_one_message(
    hidden: bool, count: int, fast: bool, data: TensorDataset
) -> None:
    said: list[str] = []
    settings: dict[str, Any] = {"indices": range(count), "fast": fast, "defenses": {}, "note": said.append}
    with pytest.raises(ModelError, match="the model changes its input in place; let it work on a copy"):
        run(Centred(hidden=hidden), data, **settings)
    assert said == []


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
