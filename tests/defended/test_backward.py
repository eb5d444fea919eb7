"""BPDA: the forward pass is the defense's, bit for bit; the backward pass is the substitute's."""

import io
from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torch import Tensor, nn

from advbench import BPDA, bpda, identity
from advbench.defended.backward import Map, TrueGradient
from advbench.defended.model import DefendedModel, Placement
from advbench.defenses import BitDepth, Round
from advbench.errors import DefenseError


def numpy_round(x: Tensor) -> Tensor:
    return torch.from_numpy(np.round(x.numpy().astype(np.float64), 1))


def pil_jpeg(x: Tensor) -> Tensor:
    images = []
    for image in x:
        file = io.BytesIO()
        Image.fromarray((image[0].numpy() * 255).astype(np.uint8)).save(file, "JPEG", quality=50)
        images.append(torch.from_numpy(np.asarray(Image.open(file)) / np.float32(255))[None])
    return torch.stack(images)


def detached(x: Tensor) -> Tensor:
    return (x.detach() * 3).round() / 3


def floor_divided(x: Tensor) -> Tensor:
    """A quantiser as people write it; torch raises where `//` is differentiated."""
    return x // 0.25 * 0.25


def stepped(x: Tensor) -> Tensor:
    """Its derivative is not implemented either."""
    return torch.heaviside(x - 0.5, torch.ones(()))


DEFENSES: list[Map] = [
    Round(step=0.1),
    BitDepth(bits=3),
    numpy_round,
    pil_jpeg,
    detached,
    torch.round,
    floor_divided,
    stepped,
]


def gradient(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    x = x.clone().requires_grad_()
    (grad,) = torch.autograd.grad(function(x).square().sum(), x)
    return grad


class SeedNetwork(nn.Module):
    """The network of the seed: a linear layer, times 10, a place for the defense, times 0.01, sigmoid."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(2, 1)
        self.defended = nn.Identity()
        with torch.no_grad():
            self.linear.weight.copy_(torch.tensor([[-0.3917, 0.2402]]))
            self.linear.bias.copy_(torch.tensor([-0.3856]))

    def forward(self, x: Tensor) -> Tensor:
        return torch.sigmoid(self.defended(self.linear(x) * 10) * 0.01)


@pytest.mark.parametrize(
    ("chain", "with_bpda", "loss", "grad"),
    [
        ((), False, 0.8104, (0.0218, -0.0133)),
        ((Placement(Round(step=1.0), "defended"),), False, 0.8092, (0.0, 0.0)),
        ((Placement(Round(step=1.0), "defended"),), True, 0.8092, (0.0217, -0.0133)),
    ],
    ids=["undefended", "shattered", "bpda"],
)
def test_the_three_scenarios_of_the_seed(
    chain: tuple[Placement, ...], with_bpda: bool, loss: float, grad: tuple[float, float]
) -> None:
    x = torch.tensor([[4.0, -1.12]], requires_grad=True)
    measured = F.binary_cross_entropy(
        DefendedModel(SeedNetwork(), chain, bpda=with_bpda)(x), torch.ones(1, 1)
    )
    measured.backward()  # type: ignore[no-untyped-call]  # untyped in torch
    assert x.grad is not None
    assert round(measured.item(), 4) == loss
    assert [round(each, 4) for each in x.grad.squeeze().tolist()] == list(grad)
    if grad == (0.0, 0.0):
        assert not x.grad.any(), "shattered means exactly zero"


@pytest.mark.parametrize("defense", DEFENSES)
@pytest.mark.parametrize("wrap", [BPDA, TrueGradient])
def test_the_forward_pass_is_the_defenses_bit_for_bit(defense: Map, wrap: Callable[[Map], nn.Module]) -> None:
    x = torch.rand(2, 1, 8, 8)
    expected = defense(x.clone()).float()
    assert torch.equal(wrap(defense)(x), expected)
    assert torch.equal(wrap(defense)(x.clone().requires_grad_()), expected)


@pytest.mark.parametrize("defense", DEFENSES)
def test_without_bpda_the_gradient_is_zero_and_never_an_error(defense: Map) -> None:
    assert not gradient(TrueGradient(defense), torch.rand(2, 1, 8, 8)).any()


@pytest.mark.parametrize("defense", DEFENSES)
def test_the_identity_substitute_passes_the_gradient_through(defense: Map) -> None:
    x = torch.rand(2, 1, 8, 8)
    torch.testing.assert_close(gradient(bpda(defense), x), 2 * defense(x).float())


@given(st.integers(0, 1000))
def test_a_substitute_gives_its_own_vector_jacobian_product(seed: int) -> None:
    x = torch.rand(2, 1, 6, 6, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    smooth = nn.AvgPool2d(3, stride=1, padding=1)
    defense = Round(step=0.25)
    weights = 2 * defense(x)
    x_s = x.clone().requires_grad_()
    (expected,) = torch.autograd.grad((smooth(x_s) * weights).sum(), x_s)
    torch.testing.assert_close(gradient(bpda(defense, smooth), x), expected)


def test_a_differentiable_defense_as_its_own_substitute_passes_gradcheck() -> None:
    def sigmoid(x: Tensor) -> Tensor:
        return torch.sigmoid(5 * x)

    x = torch.rand(2, 1, 3, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(bpda(sigmoid, sigmoid), x)


def test_on_an_identity_defense_bpda_changes_nothing() -> None:
    x = torch.rand(2, 1, 4, 4)
    assert torch.equal(gradient(bpda(identity), x), gradient(identity, x))
    assert torch.equal(bpda(identity)(x), x)


def test_the_true_gradient_of_a_differentiable_defense_is_its_own() -> None:
    def smooth(x: Tensor) -> Tensor:
        return torch.sin(3 * x)

    x = torch.rand(2, 1, 4, 4)
    assert torch.equal(gradient(TrueGradient(smooth), x), gradient(smooth, x))


def test_the_substitute_runs_in_the_backward_pass_alone() -> None:
    calls = []

    def counting(x: Tensor) -> Tensor:
        calls.append(len(x))
        return x * 1.0

    module = bpda(Round(), counting)
    with torch.no_grad():
        module(torch.rand(2, 1, 4, 4))
    assert calls == []
    gradient(module, torch.rand(2, 1, 4, 4))
    assert calls == [2]


def test_a_substitute_may_differ_in_shape_from_the_input_but_not_from_the_defense() -> None:
    def thermometer(x: Tensor) -> Tensor:
        return torch.cat([(x > level).float() for level in (0.25, 0.5, 0.75)], dim=1)

    def soft(x: Tensor) -> Tensor:
        return torch.cat([torch.sigmoid(10 * (x - level)) for level in (0.25, 0.5, 0.75)], dim=1)

    assert gradient(bpda(thermometer, soft), torch.rand(2, 1, 4, 4)).any()
    with pytest.raises(DefenseError, match=r"identity gives shape \(2, 1, 4, 4\).*defense alone"):
        gradient(bpda(thermometer), torch.rand(2, 1, 4, 4))
    with pytest.raises(DefenseError, match=r"\(2, 1, 2, 2\)"):
        gradient(bpda(Round(), nn.AvgPool2d(2)), torch.rand(2, 1, 4, 4))


def test_a_substitute_without_a_gradient_gives_zeros() -> None:
    assert not gradient(bpda(Round(), detached), torch.rand(2, 1, 4, 4)).any()


def test_a_fault_inside_the_defense_is_not_swallowed() -> None:
    def broken(x: Tensor) -> Tensor:
        raise RuntimeError("the codec is missing")

    for wrap in (BPDA, TrueGradient):
        with pytest.raises(DefenseError, match=r"defense broken failed.*codec"):
            wrap(broken)(torch.rand(1, 1, 2, 2, requires_grad=True))


def test_a_defense_must_return_a_tensor() -> None:
    with pytest.raises(DefenseError, match="must return a tensor, got ndarray"):
        bpda(lambda x: x.numpy())(torch.rand(1, 1, 2, 2))  # type: ignore[arg-type, return-value]  # on purpose


@pytest.mark.parametrize("stage", [BPDA, TrueGradient])
def test_a_score_is_no_defense(stage: Callable[[Map], nn.Module]) -> None:
    with pytest.raises(DefenseError, match=r"got one number an image, .* Is it the score of a detector"):
        stage(lambda x: x.flatten(1).mean(1))(torch.rand(2, 1, 4, 4))
