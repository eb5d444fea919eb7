"""Attacks of other libraries in the harness, with libraries made up for the purpose."""

import logging
import random
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from advbench import Draws, Threat, cli, evaluate
from advbench.errors import DefenseError, InputError, RunError, SpecError
from tests.attacks.fakes import (
    FAR,
    THREAT,
    Behaviour,
    ascend,
    classified,
    count,
    fake_libraries,
    fake_torchattacks,
    named,
)
from tests.small import Network


@pytest.fixture
def data(linear_model: nn.Sequential) -> TensorDataset:
    return classified(linear_model)


def test_examples_outside_the_ball_are_projected_before_they_are_judged(
    linear_model: nn.Sequential, data: TensorDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_torchattacks(monkeypatch)
    samples = evaluate(linear_model, data, threat=THREAT, attacks={"fake": named(FAR)}).samples
    attacked = samples[samples["rung"] == "shattered"]
    assert 0 < attacked["robust"].sum() < 20
    assert (attacked["distance"] <= 0.1 + 1e-6).all()
    assert (attacked["steps"] == 1).all()
    assert (attacked["queries"] == 2).all(), "one for the number of classes"


def edit_in_place(_attack: Any, x: Tensor, _y: Tensor) -> Tensor:
    return x.fill_(0.9)


GARBAGE: dict[str, Behaviour] = {
    "NaN": lambda _, x, y: torch.full_like(x, torch.nan),
    "infinite": lambda _, x, y: torch.full_like(x, torch.inf),
    "clean images": lambda _, x, y: x,
    "relabelled": lambda _, x, y: (y.zero_(), x)[1],
}


@pytest.mark.parametrize("threat", [THREAT, Threat("linf", 1e-9)])
@pytest.mark.parametrize("behaviour", GARBAGE.values(), ids=GARBAGE)
def test_garbage_is_no_success(
    behaviour: Behaviour,
    threat: Threat,
    linear_model: nn.Sequential,
    data: TensorDataset,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fake_torchattacks(monkeypatch, behaviour)
    standing = count(linear_model, data, threat=threat)
    # Infinite pixels are brought back into ball and box, where a corner may fool in earnest.
    assert standing == 20 or (behaviour is GARBAGE["infinite"] and threat == THREAT)


def test_images_that_the_library_edits_in_place_stay_clean_for_the_harness(
    linear_model: nn.Sequential, data: TensorDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = data.tensors[0].clone()
    fake_torchattacks(monkeypatch, edit_in_place)
    assert count(linear_model, data, threat=Threat("linf", 1e-6)) == 20
    assert torch.equal(data.tensors[0], before)


def test_arrays_and_other_precisions_are_taken(
    linear_model: nn.Sequential, data: TensorDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_torchattacks(monkeypatch)
    expected = count(linear_model, data)
    fake_torchattacks(monkeypatch, lambda attack, x, y: ascend(attack, x, y).double().numpy())
    assert count(linear_model, data) == expected


def fail(error: Exception) -> Behaviour:
    def raising(_attack: Any, _x: Tensor, _y: Tensor) -> Tensor:
        raise error

    return raising


@pytest.mark.parametrize(
    ("behaviour", "message"),
    [
        (fail(ValueError("bad\nlater")), r"^torchattacks:Fake failed in its library: ValueError: bad$"),
        (fail(AssertionError()), r"failed in its library: AssertionError"),
        (lambda _, x, y: x[:, :, 1:], r"torchattacks:Fake returned \(20, 1, 3, 4\), not images"),
        (lambda _, x, y: None, r"failed in its library"),
    ],
)
def test_what_a_library_raises_is_one_line(
    behaviour: Behaviour,
    message: str,
    linear_model: nn.Sequential,
    data: TensorDataset,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fake_torchattacks(monkeypatch, behaviour)
    with pytest.raises(RunError, match=message):
        count(linear_model, data)


@pytest.mark.parametrize("error", [MemoryError("out"), DefenseError("ours"), RuntimeError("out of memory")])
def test_memory_that_ran_out_and_errors_of_our_own_pass_through(
    error: Exception, linear_model: nn.Sequential, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_torchattacks(monkeypatch, fail(error))
    x, y = torch.rand(2, 1, 4, 4), torch.tensor([0, 1])
    with pytest.raises(type(error)) as raised:
        named("torchattacks:Fake")(linear_model, x, y, THREAT, Draws(0, torch.arange(2)))
    assert raised.value is error


def test_what_a_library_prints_logs_and_warns_does_not_reach_our_output(
    linear_model: nn.Sequential,
    data: TensorDataset,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def talk(_attack: Any, x: Tensor, _y: Tensor) -> Tensor:
        print("progress")
        logging.getLogger("loud").warning("logged")
        warnings.warn("deprecated", DeprecationWarning, stacklevel=1)
        return x

    fake_torchattacks(monkeypatch, talk)
    count(linear_model, data)
    assert capsys.readouterr().out == ""


def test_the_model_is_left_as_it_was(data: TensorDataset, monkeypatch: pytest.MonkeyPatch) -> None:
    def meddle(attack: Any, x: Tensor, y: Tensor) -> Tensor:
        attack.model.train().requires_grad_(True)
        attack.model(x.requires_grad_()).sum().backward()
        return x.detach()

    fake_torchattacks(monkeypatch, meddle)
    network = Network().train()
    before = {name: each.clone() for name, each in network.state_dict().items()}
    draws = Draws(0, torch.arange(20))
    x, y = data.tensors
    named("torchattacks:Fake")(network, x, y, THREAT, draws)
    assert all(each.training for each in network.modules())
    assert all(each.requires_grad and each.grad is None for each in network.parameters())
    assert all(torch.equal(each, before[name]) for name, each in network.state_dict().items())


def test_draws_follow_seed_and_batch_and_leave_the_global_generators_alone(
    linear_model: nn.Sequential, monkeypatch: pytest.MonkeyPatch
) -> None:
    def draw(attack: Any, x: Tensor, _y: Tensor) -> Tensor:
        value = random.random() + np.random.rand() + torch.rand(()).item()  # noqa: NPY002
        return torch.full_like(x, (value + attack.seed / 2**32) / 4)

    fake_torchattacks(monkeypatch, draw)
    x, y, state = torch.rand(2, 1, 4, 4), torch.tensor([0, 1]), torch.get_rng_state()

    def found(seed: int, *indices: int) -> Tensor:
        attack = named("torchattacks:Fake")
        return attack(linear_model, x, y, THREAT, Draws(seed, torch.tensor(indices))).x_adv

    assert torch.equal(found(0, 1, 2), found(0, 1, 2))
    assert not torch.equal(found(0, 1, 2), found(1, 1, 2))
    assert not torch.equal(found(0, 1, 2), found(0, 1, 3))
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("torchattacks:Fak", "torchattacks has no attack called 'Fak'. Did you mean 'Fake'"),
        ("torchattacks:MultiAttack", "torchattacks:MultiAttack is no attack that finds images in a ball"),
        ("torchattacks:Fake:step=3", "has no parameter 'step'. Did you mean 'steps'"),
        ("torchattacks:Fake:alpha=big", "alpha must be a number"),
        ("torchattacks:Fake:steps=few", "steps must be a whole number or a number, got 'few'"),
        ("torchattacks:Fake:eps=0.3", "takes no eps: it is the threat's; give --eps"),
        ("torchattacks:Fake:extra=1", "extra cannot be given in words"),
        ("foolbox:Attack", "foolbox:Attack is no attack that finds images in a ball by itself"),
        ("foolbox:LinfMinimul", "Did you mean 'LinfMinimal'"),
        ("foolbox:AnyMinimal:distance=linf", "takes no distance: it is the threat's; give --norm"),
        ("foolbox:HopSkipJumpAttack:constraint=l2", "takes no constraint: it is the threat's"),
        ("art:AdversarialPatch", "art:AdversarialPatch is no attack that finds images in a ball"),
        ("art:SquareAttack:max_iter=1.5", "max_iter must be a whole number"),
        ("foolbx:LinfMinimal", "no attack called 'foolbx:LinfMinimal'. Did you mean 'foolbox:NAME'"),
        ("foolbox", "no attack called 'foolbox'. Did you mean 'foolbox:NAME'"),
    ],
)
def test_a_name_or_a_parameter_that_is_wrong_is_refused_with_a_hint(
    text: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_libraries(monkeypatch)
    with pytest.raises(SpecError, match=message):
        named(text)


@pytest.mark.parametrize(
    ("text", "norm", "message"),
    [
        ("torchattacks:CW", "linf", "torchattacks:CW is an attack in l2, and this run is in linf"),
        ("torchattacks:Fake", "l1", "torchattacks:Fake is an attack in linf, and this run is in l1"),
        ("foolbox:L2Minimal", "linf", "foolbox:L2Minimal is an attack in l2, and this run is in linf"),
        ("foolbox:HopSkipJumpAttack", "l1", "is an attack in linf or l2, and this run is in l1"),
        ("art:SquareAttack", "l1", "art:SquareAttack is an attack in linf or l2, and this run is in l1"),
    ],
)
def test_an_attack_in_another_norm_is_refused(
    text: str,
    norm: Any,
    message: str,
    linear_model: nn.Sequential,
    data: TensorDataset,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fake_libraries(monkeypatch)
    with pytest.raises(SpecError, match=message):
        count(linear_model, data, text, Threat(norm, 0.1))


@pytest.mark.parametrize("library", ["foolbox", "torchattacks", "art"])
def test_a_library_that_is_not_installed_is_named_with_its_extra(
    library: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for module in [each for each in sys.modules if each.partition(".")[0] == library]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setattr(sys, "meta_path", [Without(library), *sys.meta_path])
    assert cli.main(["attack", "--attack", f"{library}:Any"]) == 2
    message = f"{library} is not installed: pip install 'advbench[{library}]'"
    assert message in " ".join(capsys.readouterr().err.split())


class Without:
    """An import system in which one library cannot be found."""

    def __init__(self, library: str) -> None:
        self.library = library

    def find_spec(self, name: str, *_: object) -> None:
        if name.partition(".")[0] == self.library:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def test_a_library_that_breaks_when_it_is_imported_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torchattacks", None)  # as Python marks what must not be imported
    with pytest.raises(InputError, match="torchattacks"):
        named("torchattacks:PGD")


def test_no_library_is_imported_unless_it_is_named(tmp_path: Path) -> None:
    code = (
        "import sys; from advbench import cli; cli.main(['list', 'attacks']);"
        "cli.main(['attack', '--attack', 'fgsm', '--first', '8', '--json', '--quiet', '--out', sys.argv[1]]);"
        "assert not {'foolbox', 'torchattacks', 'art', 'eagerpy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "run")], check=True, capture_output=True)
