"""Substitutes by name: what each is, at the input that its defense saw, under the draws that it had."""

from typing import ClassVar

import pandas as pd
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from advbench import BPDA, DefendedModel, Draws, Placement, bpda
from advbench.defended.backward import Map
from advbench.defended.substitutes import average_pool, make_substitute
from advbench.defenses import Round
from advbench.draws.sampling import Sampling
from advbench.errors import DefenseError, SpecError
from tests.small import Network, run


def gradient(defense: Map, name: str, x: Tensor, v: Tensor) -> Tensor:
    x = x.clone().requires_grad_()
    (grad,) = torch.autograd.grad(bpda(defense, make_substitute(name, defense))(x), x, v)
    return grad


def linear(x: Tensor) -> Tensor:
    """Each pixel and a half of its right neighbour."""
    return x + 0.5 * x.roll(1, -1)


def transposed(v: Tensor) -> Tensor:
    return v + 0.5 * v.roll(-1, -1)


class Halved:
    """Half the size, with a substitute of its own."""

    substitutes: ClassVar[tuple[str, ...]] = ("own-way", "skip")

    def __call__(self, x: Tensor) -> Tensor:
        return x[:, :, ::2, ::2].round()

    def own_way(self, x: Tensor) -> Tensor:
        return 3.0 * x[:, :, ::2, ::2]


class Gain(nn.Module):
    """A random factor an image."""

    random = True
    substitutes: ClassVar[tuple[str, ...]] = ("soft", "exact", "finite-difference")

    def forward(self, x: Tensor, draws: Draws) -> Tensor:
        return x * draws.uniform((1, 1, 1))

    def soft(self, x: Tensor, draws: Draws) -> Tensor:
        return x * draws.uniform((1, 1, 1))


@pytest.fixture
def x() -> Tensor:
    return torch.rand(3, 2, 6, 6, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def v() -> Tensor:
    return torch.randn(3, 2, 6, 6, generator=torch.Generator().manual_seed(1))


def test_identity_exact_and_smooth_are_what_they_say(x: Tensor, v: Tensor) -> None:
    assert torch.equal(gradient(Round(), "identity", x, v), v)
    torch.testing.assert_close(gradient(linear, "exact", x, v), transposed(v))
    pooled = x.clone().requires_grad_()
    (expected,) = torch.autograd.grad(average_pool(pooled), pooled, v)
    assert torch.equal(gradient(Round(), "smooth", x, v), expected)


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (2, 1, 8, 8), (1, 3, 224, 224)])
def test_the_average_pool_takes_any_image_and_keeps_a_constant(shape: tuple[int, ...]) -> None:
    torch.testing.assert_close(average_pool(torch.full(shape, 0.3)), torch.full(shape, 0.3))


def test_a_defenses_own_method_wins_and_its_name_may_hold_a_hyphen(x: Tensor) -> None:
    grad = gradient(Halved(), "own-way", x, torch.ones(3, 2, 3, 3))
    assert torch.equal(grad[:, :, ::2, ::2], torch.full((3, 2, 3, 3), 3.0))
    assert int((grad != 0).sum()) == 3 * 2 * 9


def test_skip_is_the_identity_where_the_shape_is_kept_and_resizes_where_it_is_not(
    x: Tensor, v: Tensor
) -> None:
    assert torch.equal(gradient(Round(), "skip", x, v), v)
    grad = gradient(Halved(), "skip", x, torch.ones(3, 2, 3, 3))
    assert grad.shape == x.shape
    torch.testing.assert_close(grad.sum(), torch.tensor(3.0 * 2 * 9))

    def channels(x: Tensor) -> Tensor:
        return torch.cat([x, x], dim=1).round()

    assert torch.equal(gradient(channels, "skip", x, torch.ones(3, 4, 6, 6)), torch.full_like(x, 2.0))
    with pytest.raises(DefenseError, match="no resizing makes"):
        gradient(lambda x: x.flatten(1), "skip", x, torch.ones(3, 72))


def test_finite_differences_work_on_vectors_and_where_the_shape_changes(x: Tensor) -> None:
    vectors = x.flatten(1)
    grad = gradient(torch.round, "finite-difference", vectors, torch.ones_like(vectors))
    assert grad.shape == vectors.shape
    assert gradient(Halved(), "finite-difference", x, torch.ones(3, 2, 3, 3)).abs().sum() > 0


@pytest.mark.parametrize("name", ["soft", "exact"])
@pytest.mark.parametrize("count", [1, 3])
def test_a_random_defenses_substitute_gets_the_draws_of_its_forward_pass(
    x: Tensor, name: str, count: int
) -> None:
    gain = Gain()
    chain = [Placement(gain, substitute=make_substitute(name, gain))]
    model = DefendedModel(nn.Flatten(), chain, bpda=True, sampling=Sampling(0, "a", count))
    x = x.requires_grad_()
    for draw in model.draws():
        y = draw(x)
        (grad,) = torch.autograd.grad(y.sum(), x)
        torch.testing.assert_close(grad, (y.view_as(x) / x).detach())
    stage = BPDA(gain, make_substitute(name, gain))  # outside a run
    y = stage(x)
    (grad,) = torch.autograd.grad(y.sum(), x)
    torch.testing.assert_close(grad, (y / x).detach())


def test_finite_differences_of_a_random_defense_meet_the_draws_of_its_forward_pass(x: Tensor) -> None:
    gain = Gain()
    how = make_substitute("finite-difference", gain)
    model = DefendedModel(nn.Flatten(), [Placement(gain, substitute=how)], bpda=True)
    x = x.requires_grad_()
    y = model(x)
    (grad,) = torch.autograd.grad(y.sum(), x)
    factor = (y.view_as(x) / x).detach()
    assert ((grad / factor).mean(dim=(1, 2, 3)) - 1.0).abs().max() < 0.4


def test_each_element_of_a_chain_is_differentiated_where_it_stood(x: Tensor) -> None:
    """With the chain's first input in place of its own, the second factor would be 2 x and not 2 x^2."""

    class Square:
        substitutes: ClassVar[tuple[str, ...]] = ("exact",)

        def __call__(self, x: Tensor) -> Tensor:
            return x * x

    model = DefendedModel(nn.Flatten(), [Placement(Square()), Placement(Square())], bpda=True)
    x = x.requires_grad_()
    (grad,) = torch.autograd.grad(model(x).sum(), x)
    torch.testing.assert_close(grad, 4 * x.detach() ** 3)


@pytest.mark.parametrize(
    ("defense", "name", "error", "message"),
    [
        (torch.round, "soft", SpecError, "round has no substitute 'soft'"),
        (Round(), "smoth", SpecError, "Did you mean 'smooth'"),
    ],
)
def test_a_name_that_the_defense_does_not_have_is_refused(
    defense: Map, name: str, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        make_substitute(name, defense)


class Flat(torch.autograd.Function):
    """Rounds, with a graph whose gradient is zero, as kornia 0.9's `posterize` has."""

    @staticmethod
    def forward(_ctx: object, x: Tensor) -> Tensor:
        return x.round()

    @staticmethod
    def backward(_ctx: object, *grads: Tensor) -> Tensor:
        return torch.zeros_like(grads[0])


def leaves(x: Tensor) -> Tensor:
    return torch.from_numpy(x.numpy().round())


def detaches(x: Tensor) -> Tensor:
    return x.detach().round()


def flattens(x: Tensor) -> Tensor:
    y: Tensor = Flat.apply(x)
    return y


NO_GRADIENT: dict[Map, str] = {
    leaves: "leaves has no exact gradient, it leaves autograd: Can't call numpy",
    detaches: "detaches has no exact gradient, it leaves autograd: its output is cut off from its input",
    flattens: "flattens has no exact gradient: it is zero for all pixels of the first 3 images",
    torch.round: "round has no exact gradient: it is zero for all pixels of the first 3 images",
}


@pytest.mark.parametrize("defense", NO_GRADIENT)
def test_exact_says_so_where_a_defense_has_no_gradient(defense: Map, x: Tensor, v: Tensor) -> None:
    with pytest.raises(DefenseError, match=NO_GRADIENT[defense]):
        gradient(defense, "exact", x, v)


@pytest.mark.parametrize("defense", [leaves, detaches, flattens])
def test_a_defense_without_a_gradient_is_attacked_alike_however_it_lacks_it(
    defense: Map, network: Network, data: TensorDataset
) -> None:
    with pytest.raises(DefenseError, match="has no exact gradient"):
        run(network, data, defenses={"own": defense}, substitute="exact")
    said: list[str] = []
    settings = {"defenses": {"own": Placement(defense)}, "note": said.append, "rungs": ("bpda", "worst")}
    found = run(network, data, **settings, substitute=("exact", "identity"))
    assert [(each.substitute, bool(each.note)) for each in found.candidates] == [
        ("exact", True),
        ("identity", False),
    ]
    like = run(network, data, **{**settings, "defenses": {"own": Placement(detaches)}}, substitute="identity")
    columns = ["robust", "flat_gradient"]
    one, other = (each.samples.query("rung == 'shattered'")[columns] for each in (found, like))
    pd.testing.assert_frame_equal(one, other)
    assert one["flat_gradient"].any()


def test_a_gradient_that_is_zero_later_is_no_fault(x: Tensor, v: Tensor) -> None:
    substitute = make_substitute("exact", torch.relu)
    for shown in (x, -x):
        leaf = shown.clone().requires_grad_()
        bpda(torch.relu, substitute)(leaf).backward(v)
