"""Clips of a network: the derivative at their bounds is that from inside, and nothing else is another."""

import gc
import warnings
import weakref
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from advbench.defended.backward import BPDA, Map
from advbench.defended.clips import clipped_from_inside
from advbench.defended.gradient import loss_and_gradient
from advbench.defended.inward import Inward
from advbench.defended.model import DefendedModel, Placement
from advbench.speed.working_copy import in_bfloat16, working_copy
from tests.small import ready

ZERO, ONE = torch.zeros(()), torch.ones(())

CLIPS: dict[str, Callable[[Tensor], Tensor]] = {
    "clamp": lambda x: x.clamp(0.0, 1.0),
    "clamp by name": lambda x: torch.clamp(input=x, max=1.0, min=0.0),
    "clamp to integers": lambda x: x.clamp(0, 1),
    "clip": lambda x: torch.clip(x, 0.0, 1.0),
    "clamp_": lambda x: x.clone().clamp_(0.0, 1.0),
    "clip_": lambda x: x.clone().clip_(0.0, 1.0),
    "clamp to tensors": lambda x: x.clamp(torch.zeros_like(x), torch.ones_like(x)),
    "clamp to scalars in tensors": lambda x: torch.clamp(x, ZERO.to(x), ONE.to(x)),
    "clamp_min and clamp_max": lambda x: x.clamp_min(0.0).clamp_max(1.0),
    "clamp_min_ and clamp_max_": lambda x: x.clone().clamp_min_(0.0).clamp_max_(1.0),
    "clamp_min and clamp_max of tensors": lambda x: x.clamp_min(ZERO.to(x)).clamp_max(ONE.to(x)),
    "one-sided clamps": lambda x: x.clamp(min=0.0).clamp(max=1.0),
    "maximum and minimum": lambda x: torch.minimum(x.maximum(ZERO.to(x)), ONE.to(x)),
    "constants first": lambda x: torch.minimum(ONE.to(x), torch.maximum(ZERO.to(x), x)),
    "max and min": lambda x: torch.min(torch.max(x, ZERO.to(x)), ONE.to(x)),
    "fmax and fmin": lambda x: torch.fmin(torch.fmax(x, ZERO.to(x)), ONE.to(x)),
    "hardtanh": lambda x: F.hardtanh(x, 0.0, 1.0),
    "hardtanh in place": lambda x: F.hardtanh(x.clone(), 0.0, 1.0, inplace=True),
    "Hardtanh": nn.Hardtanh(0.0, 1.0),
    "relu6": lambda x: F.relu6(6.0 * x) / 6.0,
    "ReLU6 in place": lambda x: nn.ReLU6(inplace=True)(6.0 * x) / 6.0,
    "hardsigmoid": lambda x: F.hardsigmoid(6.0 * x - 3.0),
    "the same clip twice": lambda x: x.clamp(0.0, 1.0).clamp(0.0, 1.0),
}
"""Ways to write `min(max(x, 0), 1)`."""


def gradient(function: Map, x: Tensor) -> Tensor:
    """Of the sum, with clips seen in the graph."""
    x = x.detach().requires_grad_()
    return torch.autograd.grad(clipped_from_inside(function, x).sum(), x)[0]


def traced_gradient(function: Map, x: Tensor) -> Tensor:
    """Of the sum, with clips put in the place of torch's."""
    x = x.detach().requires_grad_()
    with Inward():
        y = function(x)
    return torch.autograd.grad(y.sum(), x)[0]


@pytest.mark.parametrize("of", [gradient, traced_gradient])
@pytest.mark.parametrize("name", CLIPS)
def test_a_clip_has_the_derivative_from_inside_at_its_bounds(
    name: str, of: Callable[[Map, Tensor], Tensor]
) -> None:
    x = torch.tensor([-1.0, -0.1, 0.0, 0.25, 1.0, 1.1, 2.0])
    torch.testing.assert_close(of(CLIPS[name], x), torch.tensor([0.0, 0.0, 1.0, 1.0, 1.0, 0.0, 0.0]))


def _laid_out(name: str, x: Tensor) -> Tensor:
    match name:
        case "channels last":
            return x.contiguous(memory_format=torch.channels_last)
        case "strided":
            return x.repeat_interleave(2, dim=3)[..., ::2]
        case _:
            return x


@pytest.mark.parametrize("layout", ["contiguous", "channels last", "strided"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", CLIPS)
def test_no_bit_of_the_forward_pass_changes(name: str, dtype: torch.dtype, layout: str) -> None:
    special = torch.tensor([0.0, -0.0, 1.0, torch.nan, torch.inf, -torch.inf, 1e-40, -1e-40, 0.1, 2.0])
    x = torch.cat([special, torch.randn(2 * 3 * 4 * 5 - 10)])[torch.randperm(120)].view(2, 3, 4, 5)
    x = _laid_out(layout, x.to(dtype))
    meant = CLIPS[name](x)
    leaf = x.detach().requires_grad_()  # a clone would have another layout, and other signs of zeros
    seen = clipped_from_inside(CLIPS[name], leaf)
    with Inward():
        replaced = CLIPS[name](leaf)
    for found in (seen, replaced):
        assert found.dtype == meant.dtype
        assert found.stride() == meant.stride()
        as_bytes = [each.detach().contiguous().view(torch.uint8) for each in (found, meant)]
        assert torch.equal(*as_bytes)


KEPT: dict[str, tuple[Callable[[Tensor], Tensor], list[float]]] = {
    "relu": (F.relu, [0.0, 0.0, 1.0]),
    "bounds that are equal": (lambda x: x.clamp(0.0, 0.0), [0.0, 0.0, 0.0]),
    "bounds in the wrong order": (lambda x: x.clamp(1.0, 0.0), [0.0, 0.0, 0.0]),
    "no bound in reach": (lambda x: x.clamp(-torch.inf, torch.inf), [1.0, 1.0, 1.0]),
    "a bound that moves with the pixels": (lambda x: torch.maximum(x, 2.0 * x), [1.0, 1.5, 2.0]),
    "a constant between bounds that move": (lambda x: torch.zeros(3).clamp(x - 1.0, x + 1.0), [0.0] * 3),
}


@pytest.mark.parametrize("name", KEPT)
def test_what_is_no_clip_keeps_its_derivative(name: str) -> None:
    function, meant = KEPT[name]
    x = torch.tensor([-0.5, 0.0, 0.5])
    assert gradient(function, x).tolist() == meant
    assert traced_gradient(function, x).tolist() == meant


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("of", [gradient, traced_gradient])
def test_a_bound_counts_as_reached_where_rounding_has_led_beyond_it(
    of: Callable[[Map, Tensor], Tensor], dtype: torch.dtype
) -> None:
    mean = torch.linspace(0.05, 0.95, 200, dtype=dtype)
    std = torch.linspace(0.9, 0.1, 200, dtype=dtype)

    def there_and_back(x: Tensor) -> Tensor:
        return ((x - mean) / std * std + mean).clamp(0.0, 1.0)

    def normalised(x: Tensor) -> Tensor:
        low, high = (((bound - mean.double()) / std.double()).to(dtype) for bound in (0.0, 1.0))
        return torch.clamp((x - mean) / std, low, high) * std

    for function in (there_and_back, normalised):
        for border in (0.0, 1.0):
            x = torch.full((200,), border, dtype=dtype)
            assert torch.allclose(of(function, x), torch.ones_like(x))


def test_a_small_bound_before_a_logarithm_is_not_widened() -> None:
    x = torch.tensor([0.0, 5e-8, 1e-7, 0.5])
    assert gradient(lambda x: x.clamp(1e-7, 1.0), x).tolist() == [0.0, 0.0, 1.0, 1.0]
    assert gradient(lambda x: x.clamp(1e-7, torch.inf), x).tolist() == [0.0, 0.0, 1.0, 1.0]


def test_a_broadcast_clip_sums_its_gradient() -> None:
    x = torch.tensor([[0.0], [0.5]])
    bounds = torch.tensor([0.0, 0.25, 1.0])
    assert gradient(lambda x: torch.maximum(x, bounds), x).tolist() == [[1.0], [2.0]]
    assert traced_gradient(lambda x: torch.maximum(x, bounds), x).tolist() == [[1.0], [2.0]]


def test_a_bound_that_is_a_weight_keeps_its_own_gradient() -> None:
    x, bound = torch.tensor([0.0, 0.5, 2.0], requires_grad=True), nn.Parameter(torch.ones(3))
    y = clipped_from_inside(lambda x: torch.minimum(x, bound).maximum(ZERO), x)
    of_x, of_bound = torch.autograd.grad(y.sum(), (x, bound))
    assert of_x.tolist() == [1.0, 1.0, 0.0]
    assert of_bound.tolist() == [0.0, 0.0, 1.0]


@pytest.mark.parametrize("activation", [nn.ReLU6, nn.Hardtanh, nn.Hardsigmoid])
def test_an_activation_behind_a_layer_with_weights_keeps_torch_s_derivative(
    activation: type[nn.Module],
) -> None:
    model = nn.Sequential(nn.Linear(3, 3, bias=False), activation(), nn.Linear(3, 2))
    x = torch.tensor([[0.0, 0.0, 0.0], [1.0, 2.0, 3.0]])
    leaf = x.clone().requires_grad_()
    meant = torch.autograd.grad(model(leaf).sum(), leaf)[0]
    assert torch.equal(gradient(model, x), meant)


def test_a_clip_past_the_layers_is_one_of_pixels_all_the_same() -> None:
    layer = nn.Linear(3, 3)

    def purified(x: Tensor) -> Tensor:
        return F.hardtanh(x + 0.0 * layer(x), 0.0, 1.0)

    assert gradient(purified, torch.tensor([[0.0, 0.5, 1.0]])).tolist() == [[1.0, 1.0, 1.0]]


def test_a_graph_differentiated_twice_is_mended_twice() -> None:
    x = torch.zeros(3, requires_grad=True)
    y = clipped_from_inside(lambda x: x.clamp(0.0, 1.0), x)
    for _ in range(2):
        assert torch.autograd.grad(y.sum(), x, retain_graph=True)[0].tolist() == [1.0, 1.0, 1.0]


def test_a_pass_leaves_no_memory_behind() -> None:
    gc.collect()
    gc.disable()
    try:
        x = torch.zeros(3, requires_grad=True)
        clipped: list[Tensor] = []

        def doubled(x: Tensor) -> Tensor:
            clipped.append(2.0 * x)
            return clipped[0].clamp(0.0, 1.0)

        torch.autograd.grad(clipped_from_inside(doubled, x).sum(), x)
        watched = weakref.ref(clipped.pop())
        assert watched() is None
    finally:
        gc.enable()


def test_what_lies_before_the_pixels_is_the_attack_s_own() -> None:
    w = torch.tensor([0.0, 2.0], requires_grad=True)
    x = torch.where(w > 1.0, w.relu(), w.relu())  # a point that an attack has made of something else
    y = clipped_from_inside(lambda x: 3.0 * x.clamp(0.0, 2.0), x)
    assert torch.autograd.grad(y.sum(), w)[0].tolist() == [0.0, 3.0]


def test_other_code_keeps_torch_s_derivative() -> None:
    def meant() -> Tensor:
        x = torch.tensor([0.0, 0.5, 1.0], requires_grad=True)
        return torch.autograd.grad(x.clamp(0.0, 1.0).sum(), x)[0]

    before = meant()
    gradient(CLIPS["clamp"], torch.zeros(3))
    traced_gradient(CLIPS["clamp"], torch.zeros(3))
    assert torch.equal(meant(), before)


class Clamped(nn.Module):
    """A linear classifier of clipped images, with whatever a working copy changes."""

    def __init__(self, clip: Map) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.clip = clip
        self.net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 3))

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.net(self.clip(x))
        return logits


def plain_and_clamped(clip: Map = CLIPS["clamp"]) -> tuple[nn.Module, nn.Module]:
    plain, clamped = (ready(Clamped(each)) for each in (torch.clone, clip))
    return plain, clamped


BORDER = torch.tensor([0.0, 1.0])[torch.randint(2, (6, 1, 4, 4), generator=torch.Generator().manual_seed(0))]


def ascent_of(model: Any) -> Tensor:
    return loss_and_gradient(model, BORDER, lambda logits, _: logits.logsumexp(1)).grad


@pytest.mark.parametrize("name", CLIPS)
def test_a_network_that_clips_its_images_has_the_gradient_of_the_one_that_does_not(name: str) -> None:
    plain, clamped = plain_and_clamped(CLIPS[name])
    meant = ascent_of(plain)
    assert float(meant.abs().min()) > 0.0
    torch.testing.assert_close(ascent_of(clamped), meant)
    torch.testing.assert_close(ascent_of(clamped.forward), meant)
    torch.testing.assert_close(ascent_of(DefendedModel(clamped, [])), meant)


def test_working_copies_have_it_too() -> None:
    plain, clamped = plain_and_clamped()
    copied = working_copy(clamped, BORDER, (), print)
    assert copied is not clamped
    torch.testing.assert_close(ascent_of(copied), ascent_of(plain))
    rough = in_bfloat16(clamped, BORDER, print)
    assert rough is not None
    assert F.cosine_similarity(ascent_of(rough).flatten(), ascent_of(plain).flatten(), dim=0) > 0.99


@pytest.mark.parametrize("bpda", [False, True])
def test_a_defense_or_its_substitute_that_clips_has_it_too(bpda: bool) -> None:
    plain, _ = plain_and_clamped()
    placement = Placement(CLIPS["clamp"], substitute=CLIPS["hardtanh"])
    torch.testing.assert_close(ascent_of(DefendedModel(plain, [placement], bpda=bpda)), ascent_of(plain))
    wrapped = nn.Sequential(BPDA(torch.round, CLIPS["clamp"]), plain)
    torch.testing.assert_close(ascent_of(wrapped), ascent_of(plain))


def test_an_attack_that_differentiates_by_itself_has_it_too() -> None:
    plain, clamped = plain_and_clamped()
    x = BORDER.clone().requires_grad_()
    logits = DefendedModel(clamped, [])(x)
    found = torch.autograd.grad(logits.logsumexp(1).sum(), x)[0]
    torch.testing.assert_close(found, ascent_of(plain))


def test_a_scripted_network_has_it_from_its_first_pass_on() -> None:
    class Scripted(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return (2.0 * x).clamp(0.0, 2.0).flatten(1)

    with warnings.catch_warnings(
        action="ignore"
    ):  # TorchScript is deprecated; files in it exist all the same
        program = torch.jit.script(Scripted())
    for _ in range(4):
        assert gradient(program, BORDER).eq(2.0).all()


def test_a_network_that_differentiates_in_its_forward_pass_gives_the_same_logits() -> None:
    def inner(x: Tensor) -> Tensor:
        with torch.enable_grad():
            point = x if x.requires_grad else x.detach().requires_grad_()
            (slope,) = torch.autograd.grad(point.clamp(0.0, 1.0).sum(), point, create_graph=True)
        return x + slope

    leaf = BORDER.clone().requires_grad_()
    assert torch.equal(clipped_from_inside(inner, leaf), inner(BORDER))


@pytest.mark.slow
def test_an_exported_program_has_it_too() -> None:
    plain, clamped = plain_and_clamped()
    program = torch.export.export(clamped, (BORDER,)).module()
    torch.testing.assert_close(ascent_of(program), ascent_of(plain))


@pytest.mark.slow
def test_compiled_networks_have_it_too() -> None:
    plain, clamped = plain_and_clamped()
    meant = ascent_of(plain)
    whole: Any = torch.compile(clamped, dynamic=False)
    torch.testing.assert_close(ascent_of(whole), meant)
    torch.testing.assert_close(ascent_of(DefendedModel(whole, [])), meant)
    hidden = torch.compile(CLIPS["clamp"], dynamic=False)  # a function that the network calls
    part = ready(Clamped(hidden))
    for _ in range(2):
        torch.testing.assert_close(ascent_of(part), meant)


@pytest.mark.slow
def test_every_clip_is_mended_inside_compiled_code() -> None:
    # A compiler does not show a mode the calls of `hardsigmoid`, which keeps torch's derivative there.
    clips = {name: clip for name, clip in CLIPS.items() if name != "hardsigmoid"}

    def each_one(x: Tensor) -> Tensor:
        return torch.stack([clip(x) for clip in clips.values()])

    compiled: Map = torch.compile(each_one, dynamic=False)
    x = torch.tensor([-1.0, -0.1, 0.0, 0.25, 1.0, 1.1, 2.0], requires_grad=True)
    y = clipped_from_inside(compiled, x)
    for row, name in zip(y, clips, strict=True):
        (found,) = torch.autograd.grad(row.sum(), x, retain_graph=True)
        assert found.tolist() == pytest.approx([0.0, 0.0, 1.0, 1.0, 1.0, 0.0, 0.0]), name
    torch.testing.assert_close(y, each_one(x), rtol=0.0, atol=0.0)
