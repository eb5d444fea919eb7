"""The model that other libraries are given: what it counts, what it gives, and what it keeps to itself."""

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from advbench import DefendedModel, Draws, Placement
from advbench.attacks import PGD
from advbench.attacks.watched import Watched
from advbench.defended.attacked_as import attacked_as


def images(n: int) -> Tensor:
    return torch.rand(n, 1, 4, 4, generator=torch.Generator().manual_seed(n))


def test_a_forward_pass_is_a_query_and_a_backward_pass_a_step(linear_model: nn.Sequential) -> None:
    x = images(3).requires_grad_()
    watched = Watched(linear_model, x)
    with torch.no_grad():
        watched(x)
    logits = watched(x)
    for each in range(2):
        torch.autograd.grad(logits[:, each].sum(), x, retain_graph=True)
    assert watched.queries.tolist() == [2, 2, 2]
    assert watched.steps.tolist() == [2, 2, 2]
    assert not watched.flat.any()


@given(st.lists(st.integers(0, 5), min_size=1, max_size=20), st.integers(0, 1000))
def test_images_near_a_clean_one_are_counted_as_its_own(rows: list[int], seed: int) -> None:
    x = images(6)
    watched = Watched(lambda x: x.flatten(1)[:, :2], x)
    noise = torch.rand(len(rows), 1, 4, 4, generator=torch.Generator().manual_seed(seed)) - 0.5
    if len(rows) == 6:
        rows = list(range(6))  # a batch of the same length is taken for the same images
    watched(x[rows] + 0.02 * noise)
    assert watched.queries.tolist() == [rows.count(each) for each in range(6)]


def test_clean_images_that_are_nearly_the_same_are_told_apart() -> None:
    """By products of matrices, as torch finds distances from 26 rows on, they are as near as themselves."""
    x = torch.rand(30, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    x[15:] = x[:15] + 1e-5
    watched = Watched(lambda x: x.flatten(1)[:, :2], x)
    watched(x[15:])
    assert watched.queries.tolist() == [0] * 15 + [1] * 15


def test_the_gradient_is_the_models_own(linear_model: nn.Sequential) -> None:
    x = images(5).requires_grad_()
    (expected,) = torch.autograd.grad(linear_model(x).square().sum(), x)
    (grad,) = torch.autograd.grad(Watched(linear_model, x)(x).square().sum(), x)
    assert torch.equal(grad, expected)


def test_a_model_that_cuts_the_graph_gives_a_zero_gradient_that_is_flat() -> None:
    x = images(2).requires_grad_()
    watched = Watched(lambda x: x.detach().flatten(1)[:, :3], x)
    (grad,) = torch.autograd.grad(watched(x).sum(), x)
    assert torch.equal(grad, torch.zeros_like(x))
    assert watched.flat.tolist() == [True, True]


def test_flat_is_what_met_zero_or_undefined_gradients_alone_where_one_was_wanted() -> None:
    x = images(3).requires_grad_()
    scale = torch.tensor([0.0, torch.nan, 1.0]).view(3, 1)
    watched = Watched(lambda x: x.flatten(1)[:, :2] * scale[: len(x)], x)
    torch.autograd.grad(watched(x).sum(), x)
    assert watched.flat.tolist() == [True, True, False]
    untouched = Watched(lambda x: x.flatten(1)[:, :2], x)
    untouched(x.detach())
    assert not untouched.flat.any(), "without a gradient none can be flat"


def test_what_is_done_to_the_module_is_not_done_to_the_model(linear_model: nn.Sequential) -> None:
    watched = Watched(linear_model, images(1))
    assert not watched.training
    watched.train().double().requires_grad_(True)
    assert not linear_model.training
    assert linear_model.get_parameter("1.weight").dtype == torch.float32
    assert [each.numel() for each in watched.parameters()] == [0], "enough to tell the device"
    assert list(watched.modules()) == [watched]


def test_some_of_the_images_meet_the_draws_that_are_theirs() -> None:
    x = images(4)
    draws = Draws(0, torch.tensor([8, 2, 5, 3]))

    def noisy(images: Tensor, draws: Draws) -> Tensor:
        return images + draws.uniform((1, 4, 4))

    noisy.random = True  # type: ignore[attr-defined]  # so a function says it

    def watched() -> Watched:
        model = DefendedModel(nn.Flatten(), [Placement(noisy)])
        return Watched(attacked_as(PGD(), model, draws), x)

    whole = watched()(x)
    assert torch.equal(watched()(x[[2, 1]]), whole[[2, 1]])
    twice = watched()
    assert not torch.equal(twice(x), twice(x))
