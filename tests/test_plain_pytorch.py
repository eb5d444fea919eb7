"""Every network gives the number that it gives in plain PyTorch: PGD in twenty lines, and a forward pass."""

from collections.abc import Callable
from typing import Final, NamedTuple

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from advbench import Copies, Draws, Placement, Threat, evaluate, identity
from advbench.attacks import PGD
from advbench.data import digits
from advbench.defenses import JPEG, BitDepth, Round
from advbench.threat.threat import Norm
from tests.plain import library_networks as library
from tests.plain import own_networks as own

pytestmark = pytest.mark.slow

COUNT: Final = 64
STEPS: Final = 10
SEED: Final = 0


class Case(NamedTuple):
    """A network, the radius in pixel units at which about half of the images fall, and how it is trained."""

    build: own.Build
    eps: float
    batches: int = 60
    learning_rate: float = 3e-3


CASES: Final = {
    "weight norm": Case(own.weight_norm, 0.045),
    "spectral norm": Case(own.spectral_norm, 0.043),
    "circular padding": Case(own.ring, 0.035),
    "transposed convolution": Case(own.transposed, 0.045),
    "shared convolution": Case(own.shared_convolution, 0.073),
    "borrowed weights": Case(own.borrowed_weights, 0.062),
    "rows as channels": Case(own.rows_as_channels, 0.053),
    "transformer": Case(own.transformer, 0.027, 150),
    "lstm": Case(own.rows_in_time, 0.035, 150),
    "capsules": Case(own.capsules, 0.067),
    "bilinear pooling": Case(own.bilinear_pooling, 0.01, 150, 0.01),
    "spectrum": Case(own.spectrum, 0.053),
    "sorted responses": Case(own.sorted_responses, 0.03, 150, 0.01),
    "unpooled": Case(own.unpooled, 0.048),
    "binary activations": Case(own.binary_activations, 0.053),
    "experts": Case(own.experts, 0.048),
    "prototypes": Case(own.prototypes, 0.057),
    "descended": Case(own.descended, 0.057),
    "double inside": Case(own.double_inside, 0.08),
    "three crops": Case(own.three_crops, 0.038),
    "recomputed": Case(own.recomputed, 0.067),
    "kept weights": Case(own.KeptWeights, 0.067),
    "torchvision convnext": Case(library.convnext, 0.017),
    "torchvision densenet": Case(library.densenet, 0.02),
    "torchvision shufflenet": Case(library.shufflenet, 0.008),
    "timm efficientnet": Case(library.of_timm("test_efficientnet", 32), 0.045),
    "timm mambaout": Case(library.of_timm("test_mambaout", 32), 0.053),
    "timm nfnet": Case(library.of_timm("test_nfnet", 32), 0.02),
}


class Data(NamedTuple):
    """Digits, `(n, 1, 16, 16)` and `(n,)`: to train on, and to attack."""

    train_x: Tensor
    train_y: Tensor
    x: Tensor
    y: Tensor


@pytest.fixture(scope="module")
def data() -> Data:
    every = digits.load()
    pixels = torch.from_numpy(every.images).float()[:, None] / 16
    x = F.interpolate(pixels, size=own.SIDE, mode="bilinear").clamp(0.0, 1.0)
    y, test = torch.from_numpy(every.labels), torch.from_numpy(every.is_test)
    return Data(x[~test], y[~test], x[test][:COUNT], y[test][:COUNT])


def trained(case: Case, data: Data) -> nn.Module:
    """A network that has seen a few batches, the same in every run."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        model = case.build().train()
        optimizer = torch.optim.Adam(model.parameters(), lr=case.learning_rate)
        for _ in range(case.batches):
            rows = torch.randint(len(data.train_x), (64,))
            loss = F.cross_entropy(model(data.train_x[rows]), data.train_y[rows])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]  # untyped in torch
            optimizer.step()
    return model.eval()


Step = Callable[[Tensor], Tensor]
Project = Callable[[Tensor, Tensor], Tensor]


def plain_pgd(
    model: nn.Module, data: Data, start: Tensor, step: Step, project: Project, judge: nn.Module | None = None
) -> Tensor:
    """Which images no iterate fools, `(n,)` bool: projected gradient descent as one would write it down."""
    x_adv, standing = start, torch.ones(len(start), dtype=torch.bool)
    for _ in range(STEPS + 1):
        x_adv = x_adv.detach().requires_grad_()
        logits = model(x_adv)
        seen = logits if judge is None else judge(x_adv)
        standing &= seen.argmax(1) == data.y
        (grad,) = torch.autograd.grad(F.cross_entropy(logits, data.y, reduction="sum"), x_adv)
        x_adv = project(x_adv.detach() + step(grad), data.x)
    return standing


def linf(eps: float) -> tuple[Step, Project]:
    step_size = 2.5 * eps / STEPS
    return (
        lambda grad: step_size * grad.sign(),
        lambda x_adv, x: (x + (x_adv - x).clamp(-eps, eps)).clamp(0, 1),
    )


def l2(eps: float) -> tuple[Step, Project]:
    step_size = 2.5 * eps / STEPS

    def length(delta: Tensor) -> Tensor:
        return delta.square().sum((1, 2, 3), keepdim=True).sqrt()

    def project(x_adv: Tensor, x: Tensor) -> Tensor:
        delta = x_adv - x
        return (x + delta * (eps / length(delta).clamp(min=1e-12)).clamp(max=1)).clamp(0, 1)

    return lambda grad: step_size * grad / length(grad).clamp(min=1e-12), project


def l1(eps: float) -> tuple[Step, Project]:
    """Sparse steps, and the projection on ball and box by bisection."""
    step_size = 2.5 * eps / STEPS

    def step(grad: Tensor) -> Tensor:
        size = grad.abs().flatten(1)
        largest = size >= size.topk(max(1, round(size.shape[1] / 100)), dim=1).values[:, -1:]
        signs = grad.sign() * largest.view_as(grad)
        return step_size * signs / signs.abs().sum((1, 2, 3), keepdim=True).clamp(min=1)

    def project(x_adv: Tensor, x: Tensor) -> Tensor:
        delta = (x_adv - x).double()
        low, high = torch.zeros_like(delta[:, :1, :1, :1]), delta.abs().amax((1, 2, 3), keepdim=True)

        def shrunk(by: Tensor) -> Tensor:
            return (x + delta.sign() * (delta.abs() - by).clamp(min=0)).clamp(0, 1) - x

        high = torch.where(shrunk(low).abs().sum((1, 2, 3), keepdim=True) <= eps, low, high)
        for _ in range(50):
            middle = (low + high) / 2
            inside = shrunk(middle).abs().sum((1, 2, 3), keepdim=True) <= eps
            low, high = torch.where(inside, low, middle), torch.where(inside, middle, high)
        return (x + shrunk(high)).float()

    return step, project


def measured(
    model: nn.Module, data: Data, threat: Threat, *, random_start: bool = False, **changes: object
) -> dict[str, Tensor]:
    """Which images stand under each rung, `(n,)` bool, as the package has it."""
    settings = {"rungs": (), "batch_size": 24, "seed": SEED, **changes}
    attacks = {"pgd": PGD(steps=STEPS, random_start=random_start)}
    dataset = TensorDataset(data.x, data.y)
    samples = evaluate(model, dataset, threat=threat, attacks=attacks, **settings).samples  # type: ignore[arg-type]  # a table of settings
    standing = samples["robust"] & (samples["clean_prediction"] == samples["label"])
    return {
        f"{defense}/{rung}": torch.from_numpy(rows.to_numpy(copy=True))
        for (defense, rung), rows in standing.groupby([samples["defense"], samples["rung"]], observed=True)
    }


def assert_agree(found: Tensor, expected: Tensor) -> None:
    """At most 2 images in 100 differ, and the number could have been another."""
    assert 0.1 * COUNT < int(expected.sum()) < 0.9 * COUNT
    assert int((found != expected).sum()) <= 0.02 * COUNT


@pytest.mark.parametrize("name", CASES)
def test_a_network_stands_as_long_as_in_plain_pytorch(name: str, data: Data) -> None:
    case = CASES[name]
    model = trained(case, data)
    expected = plain_pgd(model, data, data.x, *linf(case.eps))
    found = measured(model, data, Threat("linf", case.eps))
    assert_agree(found["none/shattered"], expected)
    assert_agree(
        measured(model, data, Threat("linf", case.eps), copies=Copies(fast=False))["none/shattered"], expected
    )


@pytest.mark.parametrize("name", ["weight norm", "lstm", "prototypes", "torchvision shufflenet"])
@pytest.mark.parametrize(("norm", "factor", "rules"), [("linf", 1, linf), ("l2", 8, l2), ("l1", 60, l1)])
def test_every_norm_from_a_random_start_as_in_plain_pytorch(
    name: str, norm: Norm, factor: float, rules: Callable[[float], tuple[Step, Project]], data: Data
) -> None:
    case = CASES[name]
    model, threat = trained(case, data), Threat(norm, factor * case.eps)
    draws = Draws(SEED, torch.arange(COUNT)).stream("shattered").stream(0)
    right = plain_pgd(model, data, data.x, *linf(1e-9))
    expected = right & plain_pgd(model, data, threat.random_point(data.x, draws), *rules(threat.eps))
    found = measured(model, data, threat, random_start=True)
    assert_agree(found["none/shattered"], expected)


class Before(nn.Module):
    """A defense before a network, with the identity's gradient."""

    def __init__(self, model: nn.Module, defense: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.model, self.defense = model, defense

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.model(x + (self.defense(x.detach()) - x).detach())
        return logits


@pytest.mark.parametrize("name", ["spectral norm", "experts", "torchvision convnext"])
@pytest.mark.parametrize("defense", [BitDepth(bits=3), JPEG(quality=60), Round(step=0.2)])
def test_bpda_at_the_input_as_in_plain_pytorch(
    name: str, defense: Callable[[Tensor], Tensor], data: Data
) -> None:
    case = CASES[name]
    model = trained(case, data)
    defended = Before(model, defense)
    expected = plain_pgd(defended, data, data.x, *linf(case.eps))
    found = measured(
        model,
        data,
        Threat("linf", case.eps),
        rungs=("bpda",),
        defenses={"defense": Placement(defense, substitute=identity)},
    )
    assert_agree(found["defense/bpda"], expected)


@pytest.mark.parametrize(("name", "place"), [("transposed convolution", "2"), ("unpooled", "first")])
def test_bpda_inside_the_network_as_in_plain_pytorch(name: str, place: str, data: Data) -> None:
    case = CASES[name]
    model = trained(case, data)

    def rounded(_module: nn.Module, _inputs: object, output: Tensor) -> Tensor:
        return output + (output.mul(4).round().div(4) - output).detach()

    handle = model.get_submodule(place).register_forward_hook(rounded)
    expected = plain_pgd(model, data, data.x, *linf(case.eps))
    handle.remove()
    found = measured(
        model,
        data,
        Threat("linf", case.eps),
        rungs=("bpda",),
        defenses={"inside": Placement(Round(step=0.25), place, identity)},
    )
    assert_agree(found["inside/bpda"], expected)
