"""The real foolbox, torchattacks and ART, where they are installed."""

import importlib
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from advbench import Draws, Threat, evaluate
from advbench.defenses import Round
from advbench.errors import InputError
from advbench.threat.threat import Norm
from tests.attacks.fakes import named

EPS: dict[Norm, float] = {"linf": 0.1, "l2": 0.4, "l1": 1.0}
ATTACKS: list[tuple[str, Norm]] = [
    ("foolbox:LinfPGD", "linf"),
    ("foolbox:LinfDeepFoolAttack:steps=20", "linf"),
    ("foolbox:L2CarliniWagnerAttack:steps=30,binary_search_steps=3", "l2"),
    ("foolbox:L1PGD", "l1"),
    ("foolbox:InversionAttack", "l2"),
    ("torchattacks:PGD:steps=20", "linf"),
    ("torchattacks:APGD", "linf"),
    ("torchattacks:APGDT", "l2"),
    ("torchattacks:PGDL2", "l2"),
    ("torchattacks:FAB", "l2"),
    ("torchattacks:Square:n_queries=50", "linf"),
    ("art:ProjectedGradientDescent:max_iter=20", "linf"),
    ("art:ProjectedGradientDescent:max_iter=20", "l1"),
    ("art:AutoProjectedGradientDescent:max_iter=10,nb_random_init=1", "l2"),
    ("art:SquareAttack:max_iter=50", "linf"),
    ("art:DeepFool:max_iter=20", "l2"),
]


@pytest.fixture
def model() -> nn.Sequential:
    """Linear, five classes: APGDT needs four, and ART's Square images that are larger than its squares."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 5))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return model.eval()


@pytest.fixture
def data(model: nn.Sequential) -> TensorDataset:
    """Images so far from the box that it binds for none of the attacks but those in L1."""
    x = 0.4 + 0.2 * torch.rand(24, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    return TensorDataset(x, model(x).argmax(1))


def installed(text: str) -> Any:
    """Skip where the library is not there."""
    library = text.partition(":")[0]
    return pytest.importorskip(
        library, reason=f"{library} is not installed: pip install 'advbench[{library}]'"
    )


def could_fall(model: nn.Sequential, data: TensorDataset, norm: Norm) -> int:
    """How many images of a linear model are nearer to another class than the radius, without the box."""
    x, y = data.tensors
    weight, logits = model.get_parameter("1.weight"), model(x)
    rows = weight[None] - weight[y][:, None]
    dual = {"linf": rows.abs().sum(2), "l2": rows.norm(dim=2), "l1": rows.abs().amax(2)}[norm]
    gap = logits - logits.gather(1, y[:, None]) + EPS[norm] * dual
    return int((gap.scatter(1, y[:, None], -1.0) > 0).any(1).sum())


@pytest.mark.parametrize(("text", "norm"), ATTACKS)
def test_it_fells_images_and_none_that_cannot_fall(
    text: str, norm: Norm, model: nn.Sequential, data: TensorDataset
) -> None:
    installed(text)
    found = evaluate(model, data, threat=Threat(norm, EPS[norm]), attacks={text: named(text)})
    attacked = found.samples[found.samples["rung"] == "shattered"]
    fallen = int((~attacked["robust"]).sum())
    most = could_fall(model, data, norm)
    assert fallen <= most
    assert fallen >= (1 if "Inversion" in text or "Square" in text else most / 2)
    assert (attacked["queries"] > 0).all()
    assert ((attacked["steps"] > 0).all()) != ("Inversion" in text or "Square" in text)


@pytest.mark.parametrize(
    "text", ["foolbox:LinfPGD", "torchattacks:APGD", "art:ProjectedGradientDescent:max_iter=5"]
)
def test_a_defense_that_hides_the_gradient_is_seen_through_with_bpda_alone(
    text: str, model: nn.Sequential, data: TensorDataset
) -> None:
    installed(text)
    x, _ = data.tensors
    y = model(Round()(x)).argmax(1)
    found = evaluate(
        model,
        TensorDataset(x, y),
        threat=Threat("linf", 0.3),
        attacks={text: named(text)},
        defenses={"round": Round()},
    )
    rates = found.rows[1].rates
    assert rates["bpda"].count < rates["shattered"].count
    shattered = found.samples[(found.samples["defense"] == "round") & (found.samples["rung"] == "shattered")]
    assert shattered["flat_gradient"].equals(shattered["steps"] > 0)


@pytest.mark.parametrize(
    "text", ["foolbox:LinfPGD", "torchattacks:Square:n_queries=20", "art:SquareAttack:max_iter=20"]
)
def test_the_same_batch_gives_the_same_examples_and_the_model_is_left_alone(
    text: str, model: nn.Sequential, data: TensorDataset
) -> None:
    installed(text)
    x, y = data.tensors
    model.train()
    attack, threat = named(text), Threat("linf", 0.1)

    def found(seed: int) -> Tensor:
        return attack(model, x, y, threat, Draws(seed, torch.arange(len(x)))).x_adv

    first = found(0)
    assert torch.equal(first, found(0))
    assert not torch.equal(first, found(1))
    assert model.training
    assert all(each.requires_grad and each.grad is None for each in model.parameters())


def test_autoattack_of_torchattacks_needs_no_clock_for_a_seed(
    model: nn.Sequential, data: TensorDataset, capsys: pytest.CaptureFixture[str]
) -> None:
    installed("torchattacks:AutoAttack")
    x, y = data.tensors
    attack, draws = named("torchattacks:AutoAttack"), Draws(0, torch.arange(2))
    found = [attack(model, x[:2], y[:2], Threat("linf", 0.02), draws).x_adv for _ in range(2)]
    assert torch.equal(*found)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("library", ["foolbox.attacks", "torchattacks", "art.attacks.evasion"])
def test_every_name_of_a_library_is_an_attack_or_refused_in_a_line(library: str) -> None:
    name = library.partition(".")[0]
    installed(name)
    refused = []
    names = dir(importlib.import_module(library))
    for each in names:
        try:
            named(f"{name}:{each}")
        except InputError as error:
            refused.append(str(error))
    assert not any("\n" in each for each in refused)
    assert len(names) - len(refused) >= 15


def test_carlini_wagner_of_torchattacks_moves_black_and_white_pixels(model: nn.Sequential) -> None:
    """Left to itself it stays where it is: the pixels are infinite in the variable that it climbs in."""
    installed("torchattacks")
    x = (torch.rand(24, 1, 8, 8, generator=torch.Generator().manual_seed(1)) > 0.5).float()
    assert felled("torchattacks:CW:c=10,steps=200,lr=0.05", model, x) > 0.9


@pytest.mark.parametrize(
    "text",
    ["torchattacks:CW:c=10,steps=100,lr=0.05", "torchattacks:EADEN:max_iterations=30", "torchattacks:PGDL2"],
)
def test_log_probabilities_fall_as_logits_do(text: str, model: nn.Sequential) -> None:
    """Left to themselves, attacks that mask logits take the mask for the largest where all are negative."""
    installed("torchattacks")
    x = 0.4 + 0.2 * torch.rand(24, 1, 8, 8, generator=torch.Generator().manual_seed(1))
    falling = felled(text, model, x)
    assert falling > 0.5
    assert felled(text, nn.Sequential(model, nn.LogSoftmax(1)).eval(), x) > falling - 0.1


def felled(text: str, model: nn.Module, x: Tensor) -> float:
    """The share of the images that an attack fells within a wide L2 ball."""
    data = TensorDataset(x, model(x).argmax(1))
    found = evaluate(model, data, threat=Threat("l2", 4.0), attacks={text: named(text)}, rungs=())
    return 1.0 - found.rows[0].rates["shattered"].accuracy
