"""Networks that return more than logits: these are taken and that is said, or a message says what to do."""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

from advbench import cli
from advbench.defended.contract import checked_logits
from advbench.defended.logits import LogitsOf, logits_alone
from advbench.defended.model import network_of
from advbench.defended.normalized import Normalized
from advbench.errors import ModelError

X = torch.rand(3, 1, 2, 2, generator=torch.Generator().manual_seed(0))
Y = torch.zeros(3, dtype=torch.int64)


class Pair(NamedTuple):
    """An output with names."""

    logits: Tensor
    features: Tensor


@dataclass
class Output:
    """An output as transformers has it."""

    loss: Tensor | None
    logits: Tensor


class Returns(nn.Module):
    """A linear network that returns its logits inside something."""

    def __init__(self, inside: Callable[[Tensor], Any]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.linear = nn.Linear(4, 5)
        self.inside = inside

    def forward(self, x: Tensor) -> Any:
        return self.inside(self.linear(x.flatten(1)))


INSIDE: dict[str, tuple[Callable[[Tensor], Any], str]] = {
    "a tuple": (lambda z: (z, z.mean()), "tuple; its first element"),
    "a list": (lambda z: [z], "list; its first element"),
    "a dictionary": (lambda z: {"features": z * 2, "logits": z}, "dict; its ['logits']"),
    "a dictionary of one": (lambda z: OrderedDict(out=z), "OrderedDict; its one entry"),
    "a named tuple": (lambda z: Pair(z, z * 2), "Pair; its .logits"),
    "an output object": (lambda z: Output(None, z), "Output; its .logits"),
}
NOWHERE: dict[str, Callable[[Tensor], Any]] = {
    "a dictionary of two": lambda z: {"a": z, "b": z},
    "nothing": lambda _: None,
    "a tuple of texts": lambda z: ("logits", z),
    "an empty tuple": lambda _: (),
}


@pytest.mark.parametrize(("inside", "expected"), INSIDE.values(), ids=INSIDE.keys())
def test_logits_inside_are_taken_and_that_is_said(inside: Callable[[Tensor], Any], expected: str) -> None:
    network = Returns(inside)
    model, (word,) = logits_alone(network, X)
    assert expected in word
    assert torch.equal(model(X), Returns(lambda z: z)(X))
    assert network_of(Normalized(model, [0.5], [0.25])) is network
    assert model.training


@pytest.mark.parametrize("inside", [*NOWHERE.values(), lambda z: z], ids=[*NOWHERE, "a tensor"])
def test_other_networks_are_left_as_they_are(inside: Callable[[Tensor], Any]) -> None:
    network = Returns(inside)
    assert logits_alone(network, X) == (network, ())


def test_a_network_that_fails_is_left_to_whoever_checks_it() -> None:
    network = nn.Linear(7, 2)
    assert logits_alone(network, X) == (network, ())


def test_looking_draws_nothing_from_the_global_generator() -> None:
    network = Returns(lambda z: (z + torch.rand_like(z),))
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    model, _ = logits_alone(network, X)
    assert torch.equal(torch.rand(2), expected)
    assert isinstance(model, LogitsOf)


MESSAGES: dict[str, tuple[Callable[[Tensor], Any], str]] = {
    "a tuple": (
        lambda z: (z,),
        "got tuple. Wrap it in a module whose forward returns first element of that.",
    ),
    "an output object": (
        lambda z: Output(None, z),
        "got Output. Wrap it in a module whose forward returns .logits",
    ),
    "a dictionary of two": (NOWHERE["a dictionary of two"], "got dict. Return its logits alone."),
    "one logit": (lambda z: z[:, :1], "returns one logit an image, (3, 1); a binary classifier is attacked"),
    "a logit without a dimension": (
        lambda z: z[:, 0],
        "got (3,). A binary classifier is attacked through two",
    ),
}


@pytest.mark.parametrize(("inside", "expected"), MESSAGES.values(), ids=MESSAGES.keys())
def test_in_python_the_message_says_what_to_wrap(inside: Callable[[Tensor], Any], expected: str) -> None:
    with pytest.raises(ModelError) as caught:
        checked_logits(Returns(inside), X, Y)
    assert expected in str(caught.value)


def test_the_advice_for_one_logit_gives_what_it_says() -> None:
    z = torch.tensor([[0.3], [-0.2]])
    two = torch.cat([torch.zeros_like(z), z], 1)
    torch.testing.assert_close(two.softmax(1)[:, 1:], z.sigmoid())


NET = """
from torch import nn

class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(64, 10)

    def forward(self, x):
        return {"logits": self.linear(x.flatten(1)), "hidden": x}
"""


def test_an_attack_on_such_a_network_says_so_and_takes_defenses_inside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.py").write_text(NET)
    words = "attack --model net.py:Net --dataset digits --limit 10 --steps 2 --defense round@linear --out run"
    assert cli.main(words.split()) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "the model returns dict; its ['logits'] is taken for the logits" in said
    assert "its ['logits'] is taken" in (tmp_path / "run/run.json").read_text()
