"""A small network fitted to a defense: it imitates, repeats itself, and outlives its process."""

import json

import pytest
import safetensors.torch
import torch
from torch import Tensor

from advbench import Draws, Threat
from advbench.defended.learned import PAIRS, Imitation, Pairs, fitted, pack_network, pairs_of, read_network
from advbench.errors import DefenseError


@pytest.mark.parametrize("shape", [(2, 6, 6), (5,)])
def test_a_learned_network_imitates_the_defense_and_comes_back_from_its_file(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    state = torch.get_rng_state()
    x = torch.rand(60, *shape, generator=torch.Generator().manual_seed(0))

    def defense(x: Tensor) -> Tensor:
        return 1.0 - 0.5 * x

    def seen(x: Tensor) -> tuple[Tensor, Tensor]:
        return x, defense(x)

    pairs = pairs_of(seen, x, Draws(0, torch.arange(60)), Threat("linf", 0.1))
    network, again = fitted(pairs, 3), fitted(pairs, 3)
    assert torch.equal(torch.get_rng_state(), state)
    assert float((network(x) - defense(x)).square().mean().sqrt()) < 0.1
    assert torch.equal(network(x), again(x))
    z = x.clone().requires_grad_()
    (grad,) = torch.autograd.grad(network(z).sum(), z)
    inside = grad[..., 2:4]
    assert float(inside.mean()) < 0.0, "the negative's slope"
    contents = pack_network(network, {})
    read = read_network(contents, torch.device("cpu"))
    assert read is not None
    assert torch.equal(read(x), network(x))
    assert read_network(contents[:-100], torch.device("cpu")) is None
    assert read_network(b"", torch.device("cpu")) is None


def identity_seen(x: Tensor) -> tuple[Tensor, Tensor]:
    return x, x.flatten(1)


@pytest.mark.parametrize("n", [3, 1024, 1025])
def test_pairs_are_of_points_in_the_ball_and_as_many_as_are_wanted(n: int) -> None:
    x = torch.full((n, 1, 1, 2), 0.5)
    pairs = pairs_of(identity_seen, x, Draws(0, torch.arange(n)), Threat("linf", 0.2))
    rounds = -(-PAIRS // n)
    assert pairs.x.shape == (rounds * n, 1, 1, 2)
    assert pairs.y.shape == (rounds * n, 2)
    far = (pairs.x - 0.5).abs().flatten(1).amax(1)
    assert far.max() <= 0.2 + 1e-6
    assert far.min() < 0.05 < 0.15 < far.max(), "radii from none to the threat's"


@pytest.mark.parametrize("bad", [torch.nan, torch.inf])
def test_a_defense_without_finite_outputs_is_not_imitated(bad: float) -> None:
    pairs = Pairs(torch.rand(4, 3), torch.tensor([0.0, 1.0, bad, 0.0]).view(4, 1))
    with pytest.raises(DefenseError, match="whose output is NaN or infinite"):
        fitted(pairs, 0)


@pytest.mark.parametrize(
    ("before", "after"),
    [((3, 8, 8), (3, 8, 8)), ((1, 8, 8), (3, 4, 4)), ((3, 4, 4), (10,)), ((7,), (7,)), ((7,), (2, 3, 3))],
)
def test_what_it_gives_has_the_shape_of_the_defenses_output(
    before: tuple[int, ...], after: tuple[int, ...]
) -> None:
    network = Imitation(before, after)
    assert network(torch.rand(2, *before).half()).shape == (2, *after)
    assert network(torch.rand(0, *before)).shape == (0, *after)


def test_a_file_tells_where_it_comes_from() -> None:
    contents = pack_network(Imitation((3,), (2,)), {"model": "lenet5"})
    size = int.from_bytes(contents[:8], "little")
    assert json.loads(json.loads(contents[8 : 8 + size])["__metadata__"]["origin"]) == {"model": "lenet5"}


def forged(before: object, after: object, **others: Tensor) -> bytes:
    state = {**Imitation((3,), (2,)).state_dict(), **others}
    about = {"before": json.dumps(before), "after": json.dumps(after)}
    return safetensors.torch.save(state, about)


@pytest.mark.parametrize(
    "contents",
    [
        forged([4], [2]),
        forged([1 << 22], [2]),
        forged([1 << 70], [2]),
        forged([-3], [2]),
        forged("words", [2]),
        forged({"3": 1}, None),
        forged([3], [2], scale=torch.ones(5)),
        forged([3], [2], other=torch.ones(1)),
        forged([3], [2], scale=torch.ones((), dtype=torch.float64)),
        forged([3], [2], **{"network.1.bias": torch.ones(128, dtype=torch.int64)}),
        safetensors.torch.save(Imitation((3,), (2,)).state_dict()),
    ],
)
def test_a_forged_file_gives_no_network_and_takes_no_memory(contents: bytes) -> None:
    assert read_network(contents, torch.device("cpu")) is None
