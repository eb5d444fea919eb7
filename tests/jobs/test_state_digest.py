"""A digest tells objects apart by what they are made of, and by nothing else."""

import enum
import inspect
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from advbench.attacks import PGD
from advbench.defenses import Round
from advbench.jobs.state_digest import is_told_by_settings, state_digest
from tests.notebook_cells import defined
from tests.small import Network


def coarse(x: Tensor) -> Tensor:
    """Three levels a pixel."""
    return (x * 2).round() / 2


def test_a_digest_tells_what_differs_and_nothing_else(network: Network) -> None:
    def times(factor: float) -> Callable[[Tensor], Tensor]:
        return lambda x: x * factor

    same = [
        (times(2.0), times(2.0)),
        (partial(coarse), partial(coarse)),
        ({"a": {1, 2}}, {"a": {2, 1}}),
        (nn.ReLU(), nn.ReLU().eval()),
        (PGD(steps=3), PGD(steps=3)),
    ]
    for one, other in same:
        assert state_digest(one) == state_digest(other)
    other_net = Network()
    other_net.load_state_dict(network.state_dict())
    assert state_digest(other_net) == state_digest(network)
    other_net.dropout.p = 0.1
    different: list[Any] = [
        network,
        other_net,
        times(2.0),
        times(3.0),
        coarse,
        PGD(steps=3),
        PGD(),
        {"a": 1},
        {"a": 2},
    ]
    digests = [
        state_digest(thing) for thing in [*different, torch.zeros(3), torch.zeros(3, dtype=torch.int32)]
    ]
    assert len(set(digests)) == len(digests)
    for value in (torch.float32, torch.float64, "shut", enum):
        setattr(other_net, "_own", value)  # noqa: B010  # of any type
        digests.append(state_digest(other_net))
    other_net.register_forward_hook(lambda *_: None)
    digests.append(state_digest(other_net))
    assert len(set(digests)) == len(digests)
    deep: Any = ()
    for _ in range(60):
        deep = [deep, deep]  # a tree of 2^60 leaves, were none shared
    assert state_digest(deep) == state_digest(deep)
    loop: list[Any] = []
    loop.append(loop)
    assert state_digest(loop) == state_digest(loop)


@dataclass
class Settings:
    """Plain fields, and one that may hold anything."""

    steps: int = 3
    values: Any = ()


@pytest.mark.parametrize(
    ("thing", "told"),
    [
        (PGD(steps=3), True),
        (Round(), True),
        (Settings(values=(1, [2.0, ("a", None)])), True),
        (Settings(values=torch.ones(1)), False),
        (Settings(values=[1, coarse]), False),
        (coarse, False),
        (nn.ReLU(), False),
    ],
)
def test_settings_tell_all_where_they_are_plain(thing: object, told: bool) -> None:
    assert is_told_by_settings(thing) == told


class Scaled(nn.Module):
    """A network whose factor is in its code once it is traced."""

    def __init__(self, factor: Any) -> None:
        super().__init__()
        self.linear = nn.Linear(2, 2)
        nn.init.ones_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.linear(x) * self.factor
        return y


def traced(thing: Callable[[Tensor], Tensor]) -> Any:
    with warnings.catch_warnings(action="ignore"):  # that tracing is deprecated
        return torch.jit.trace(thing, torch.ones(1, 2))  # type: ignore[no-untyped-call]  # untyped in torch


def scaling(factor: Any) -> Callable[[Tensor], Tensor]:
    return lambda x: x * factor


@pytest.mark.parametrize("make", [Scaled, scaling])
@pytest.mark.parametrize("factors", [(2.0, 3.0), (torch.tensor([2.0, 3.0]), torch.tensor([2.0, 4.0]))])
def test_programs_of_the_same_weights_are_told_apart_by_their_code(
    make: Callable[[Any], Callable[[Tensor], Tensor]], factors: tuple[Any, Any]
) -> None:
    one, again, other = (state_digest(traced(make(factor))) for factor in (factors[0], *factors))
    assert one == again != other


def test_what_is_bound_to_a_function_of_torch_tells_it_apart() -> None:
    ones, zeros = torch.ones(2), torch.zeros(2)
    assert state_digest(ones.mul) == state_digest(torch.ones(2).mul)
    assert len({state_digest(each) for each in (ones.mul, zeros.mul, ones.add, torch.mul)}) == 4


def test_tensors_and_arrays_of_every_kind_have_a_digest_of_their_contents() -> None:
    def kinds(value: float) -> list[Any]:
        row = torch.tensor([0.0, value, 0.0])
        return [
            row,
            row.bfloat16(),
            row.double(),
            row.to_sparse(),
            row.numpy(),
            np.array(["a", [value]], dtype=object),
        ]

    digests = [state_digest(each) for each in (*kinds(1.0), *kinds(2.0))]
    assert len(set(digests)) == len(digests)
    assert [state_digest(each) for each in kinds(1.0)] == digests[:6]


def test_a_variable_that_has_no_value_yet_is_none() -> None:
    def later() -> Callable[[Tensor], Tensor]:
        def function(x: Tensor) -> Tensor:
            return x * factor

        before.append(state_digest(function))
        factor = 2.0
        return function

    before: list[str] = []
    assert state_digest(later()) != before[0]


CELL = """
LEVELS = {levels}
class Settings: depth = {depth}
def helper(x): return (x * LEVELS).{rounding}() / Settings.depth
def defense(x): return helper(x)
class Net(nn.Module):
    scale = {scale}
    def forward(self, x): return x.flatten(1) * self.scale{forward}
class Hooked:
    def __call__(self, x): return x{forward}
""".format
FIRST = {"levels": 4, "depth": 2, "rounding": "round", "scale": 1.0, "forward": ""}


@pytest.mark.parametrize(
    ("name", "changed"),
    [
        ("defense", {"levels": 5}),
        ("defense", {"depth": 3}),
        ("defense", {"rounding": "floor"}),
        ("Net", {"scale": 2.0}),
        ("Net", {"forward": " + 1"}),
        ("Hooked", {"forward": " + 1"}),
    ],
)
def test_a_digest_tells_code_that_was_written_anew_under_the_same_name(
    name: str, changed: dict[str, Any]
) -> None:
    def digest(**values: Any) -> str:
        thing = defined(CELL(**{**FIRST, **values}))[name]
        return state_digest(thing() if inspect.isclass(thing) else thing)

    assert digest() == digest()
    assert digest() != digest(**changed)


def test_a_digest_leaves_out_what_running_the_code_changes() -> None:
    code = (
        "count = 0\n"
        "def f(x):\n"
        "    global count\n"
        "    count += 1\n"
        "    calls.append(1)\n"
        "    records['last'] = x\n"
        "    return x"
    )
    names = defined(code)
    before = state_digest(names["f"])
    names["f"](torch.ones(2))
    assert names["count"] == 1
    assert state_digest(names["f"]) == before
    compiled = torch.compile(nn.Sequential(nn.Flatten(), nn.Linear(16, 3)), backend="eager")
    before = state_digest(compiled)
    with torch.no_grad():
        compiled(torch.rand(2, 1, 4, 4))
    assert state_digest(compiled) == before
