"""Folding BatchNorm into the layer before it: the same logits with fewer passes over memory."""

import copy
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from advbench.draws.draws import Draws
from advbench.models.resnet_cifar import resnet20
from advbench.speed.folding import fold_batch_norm

PAIRS: dict[str, tuple[Callable[[bool], nn.Module], Callable[[bool], nn.Module], tuple[int, ...]]] = {
    "Conv1d": (lambda b: nn.Conv1d(3, 4, 3, bias=b), lambda a: nn.BatchNorm1d(4, affine=a), (3, 9)),
    "Conv2d": (lambda b: nn.Conv2d(3, 4, 3, bias=b), lambda a: nn.BatchNorm2d(4, affine=a), (3, 6, 6)),
    "groups": (
        lambda b: nn.Conv2d(4, 4, 3, groups=2, bias=b),
        lambda a: nn.BatchNorm2d(4, affine=a),
        (4, 6, 6),
    ),
    "Conv3d": (lambda b: nn.Conv3d(2, 4, 2, bias=b), lambda a: nn.BatchNorm3d(4, affine=a), (2, 4, 4, 4)),
    "transposed": (
        lambda b: nn.ConvTranspose2d(3, 4, 3, stride=2, bias=b),
        lambda a: nn.BatchNorm2d(4, affine=a),
        (3, 4, 4),
    ),
    "Linear": (lambda b: nn.Linear(5, 4, bias=b), lambda a: nn.BatchNorm1d(4, affine=a), (5,)),
    "synchronised": (
        lambda b: nn.Conv2d(3, 4, 3, bias=b),
        lambda a: nn.SyncBatchNorm(4, affine=a),
        (3, 6, 6),
    ),
}


def trained(model: nn.Module) -> nn.Module:
    """In evaluation mode and float64, with statistics and weights as after some training."""
    generator = torch.Generator().manual_seed(0)
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):  # torch has no public base
            for tensor in (module.running_mean, module.running_var, module.weight, module.bias):
                if tensor is not None:
                    tensor.data = torch.rand(tensor.shape, generator=generator) + 0.5
    return model.double().eval().requires_grad_(False)


def images(*shape: int) -> Tensor:
    return torch.rand(6, *shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("affine", [False, True])
@pytest.mark.parametrize("name", PAIRS)
def test_a_folded_pair_gives_the_same_and_the_norm_is_gone(name: str, affine: bool, bias: bool) -> None:
    first, norm, shape = PAIRS[name]
    model = trained(nn.Sequential(first(bias), norm(affine), nn.ReLU()))
    x = images(*shape)
    folded = copy.deepcopy(model)
    assert fold_batch_norm(folded, x) == 1
    assert isinstance(folded.get_submodule("1"), nn.Identity)
    torch.testing.assert_close(folded(x), model(x), rtol=1e-12, atol=1e-12)
    assert not torch.allclose(folded.get_submodule("0")(x), model.get_submodule("0")(x))


def test_every_norm_of_a_residual_network_is_folded() -> None:
    model = trained(resnet20())
    folded, x = copy.deepcopy(model), images(3, 32, 32)
    assert fold_batch_norm(folded, x) == 19
    assert not [each for each in folded.modules() if isinstance(each, nn.BatchNorm2d)]
    torch.testing.assert_close(folded(x), model(x), rtol=1e-10, atol=1e-10)


class Twice(nn.Module):
    """One convolution, and a norm for each of its two calls."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 3, 3, padding=1)
        self.one, self.two = nn.BatchNorm2d(3), nn.BatchNorm2d(3)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.two(self.conv(self.one(self.conv(x))))
        return result


class Shared(nn.Module):
    """Two convolutions, and one norm behind both."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(3, 3, 3), nn.Conv2d(3, 3, 3)
        self.norm = nn.BatchNorm2d(3)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.norm(self.two(x)) + self.norm(self.one(x))
        return result


class Renamed(nn.Module):
    """A norm that the model calls by another name than the first that it gave it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 3, 3), nn.BatchNorm2d(3)
        self.again = self.norm

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self.again(self.conv(x))
        return result


def hooked() -> nn.Module:
    model = nn.Sequential(nn.Conv2d(3, 3, 3), nn.BatchNorm2d(3))
    model[0].register_forward_hook(lambda _module, _inputs, output: output)
    return model


LEFT_ALONE: dict[str, Callable[[], nn.Module]] = {
    "a convolution with two norms": Twice,
    "a norm behind two convolutions": Shared,
    "a norm of two names": Renamed,
    "a layer that somebody watches": hooked,
    "a transposed convolution in groups": lambda: nn.Sequential(
        nn.ConvTranspose2d(3, 3, 3, groups=3), nn.BatchNorm2d(3)
    ),
    "linear layers over another axis": lambda: nn.Sequential(
        nn.Linear(6, 6), nn.Linear(6, 6), nn.BatchNorm2d(3)
    ),
    "a norm without statistics": lambda: nn.Sequential(
        nn.Conv2d(3, 3, 3), nn.BatchNorm2d(3, track_running_stats=False)
    ),
    "a norm behind something else": lambda: nn.Sequential(nn.Conv2d(3, 3, 3), nn.ReLU(), nn.BatchNorm2d(3)),
    "a norm in training mode": lambda: nn.Sequential(nn.Conv2d(3, 3, 3), nn.BatchNorm2d(3)),
    "weights under a parametrization": lambda: nn.Sequential(
        nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 3, 3)), nn.BatchNorm2d(3)
    ),
}


@pytest.mark.parametrize("make", LEFT_ALONE.values(), ids=LEFT_ALONE.keys())
def test_what_cannot_be_folded_is_left_as_it_is(make: Callable[[], nn.Module]) -> None:
    model = trained(make())
    if make is LEFT_ALONE["a norm in training mode"]:
        model.get_submodule("1").train()
    before = {name: each.clone() for name, each in model.state_dict().items()}
    assert fold_batch_norm(model, images(3, 6, 6)) == 0
    assert before.keys() == model.state_dict().keys()


def test_a_layer_whose_output_is_wanted_is_left_as_it_is() -> None:
    model = trained(
        nn.Sequential(nn.Conv2d(3, 3, 3), nn.BatchNorm2d(3), nn.Conv2d(3, 3, 3), nn.BatchNorm2d(3))
    )
    x = images(3, 6, 6)
    assert fold_batch_norm(model, x, {"0"}) == 1
    assert isinstance(model.get_submodule("1"), nn.BatchNorm2d)
    assert isinstance(model.get_submodule("3"), nn.Identity)


class WithDraws(nn.Module):
    """A network that is shown its images twice, under noise from streams that it is given."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten())

    def forward(self, x: Tensor, draws: Draws) -> Tensor:
        noisy = [x + draws.stream(number).normal(tuple(x.shape[1:])) for number in range(2)]
        return torch.stack([self.inner(once) for once in noisy]).mean(0)


def test_a_network_that_takes_draws_is_folded_too() -> None:
    network, x = WithDraws().eval(), torch.rand(3, 1, 8, 8)
    draws = Draws(0, torch.arange(3))
    with torch.no_grad():
        expected = network(x, draws)
        assert fold_batch_norm(network, x) == 1
        torch.testing.assert_close(network(x, draws), expected)
