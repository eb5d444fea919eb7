"""Models through `torch.compile`: used where they are the same and faster, and their results keep."""

import math
from typing import Any

import pandas as pd
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import TensorDataset

from advbench import Placement
from advbench.attacks import PGD
from advbench.defended.gradient import loss_and_gradient
from advbench.defenses import Round
from advbench.evaluation import faster_plan as speed
from advbench.speed import compiling
from advbench.speed.compiling import OwnResults
from tests.small import Cutting, Network, images, ready, run


class Doubled(nn.Module):
    """Stands for a compiled model: twice the logits, or the same ones."""

    def __init__(self, model: nn.Module, factor: float) -> None:
        super().__init__()
        self.model, self.factor, self.sizes = model, factor, list[int]()

    def forward(self, x: Tensor) -> Tensor:
        self.sizes.append(len(x))
        logits: Tensor = self.factor * self.model(x)
        return logits


def let_compile(
    monkeypatch: pytest.MonkeyPatch, *, factor: float = 1.0, seconds: float = 1.0, pays: bool = True
) -> list[Doubled]:
    """Let `torch.compile` give a model with so many times the logits, in so much of the time."""
    made: list[Doubled] = []

    def compile_(model: nn.Module, **_: object) -> Doubled:
        made.append(Doubled(model, factor))
        return made[-1]

    monkeypatch.setattr(torch, "compile", compile_)
    monkeypatch.setattr(
        compiling,
        "seconds_a_gradient",
        lambda model, _x: seconds if isinstance(model.model, Doubled) else 1.0,
    )
    monkeypatch.setattr(speed, "_PAYS", 0.0 if pays else math.inf)
    return made


def test_compiled_copies_see_one_size_and_fell_the_same_images(
    network: Network, data: TensorDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    settings: dict[str, Any] = {"attacks": {"pgd": PGD(steps=5)}, "defenses": {"round": Round(step=0.1)}}
    plain = run(network, data, **settings).samples
    made = let_compile(monkeypatch, seconds=0.5)
    found = run(network, data, **settings, compiled=True, note=said.append).samples
    assert said[:1] == ["compiled: a step takes 0.50 of the time that it took"]
    assert set(made[0].sizes) == {16}
    pd.testing.assert_frame_equal(found, plain, rtol=1e-4)


@pytest.mark.parametrize(
    ("outcome", "sentence"),
    [
        ({"factor": 2.0}, "not compiled: it gives other logits (by 1.0e+00 of the largest)"),
        ({"seconds": 1.25}, "not compiled: a step would take 1.25 of the time that it takes now"),
        ({"pays": False}, "not compiled: that takes a minute, and the attacks about 0 s at most"),
    ],
)
def test_what_compiling_does_not_help_is_not_compiled(
    outcome: dict[str, Any],
    sentence: str,
    network: Network,
    data: TensorDataset,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    said: list[str] = []
    let_compile(monkeypatch, **outcome)
    found = run(network, data, compiled=True, note=said.append).samples
    assert said[:1] == [sentence]
    pd.testing.assert_frame_equal(found, run(network, data).samples)


def test_a_compiler_that_fails_is_no_end(
    network: Network, data: TensorDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    def compile_(*_: object, **__: object) -> nn.Module:
        raise RuntimeError("no C++ compiler")

    let_compile(monkeypatch)
    monkeypatch.setattr(torch, "compile", compile_)
    said: list[str] = []
    run(network, data, compiled=True, note=said.append)
    assert said[:1] == ["not compiled: RuntimeError: no C++ compiler"]


def test_a_defense_inside_the_network_is_attacked_through_what_is_not_compiled(
    network: Network, data: TensorDataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = let_compile(monkeypatch)
    run(network, data, defenses={"inside": Placement(Round(), "features")}, compiled=True)
    count = len(made[0].sizes)
    run(network, data, defenses={}, compiled=True)
    assert len(made[1].sizes) == count, "the undefended model's passes alone"


@pytest.mark.slow
def test_torch_compile_gives_the_same_images(network: Network, data: TensorDataset) -> None:
    said: list[str] = []
    model = ready(network)
    made = compiling.compiled(model, images(16), said.append)
    assert said[0].startswith(("compiled: a step takes", "not compiled: a step would take"))
    if made is not None:
        torch.testing.assert_close(made(images(16)), model(images(16)))


class Overwriting(nn.Module):
    """Stands for a CUDA graph: logits and gradients lie where those of the call before lay."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model, self.logits, self.gradient = model, torch.empty(0), torch.empty(0)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = Rewritten.apply(x, self)
        return found


class Rewritten(torch.autograd.Function):
    """A model's logits and gradients, written over those of the call before."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, home: Overwriting) -> Tensor:
        ctx.home = home
        with torch.enable_grad():
            ctx.leaf = x.detach().requires_grad_()
            ctx.logits = home.model(ctx.leaf)
        home.logits.resize_(ctx.logits.shape).copy_(ctx.logits.detach())
        return home.logits.detach()

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> tuple[Tensor, None]:
        (gradient,) = torch.autograd.grad(ctx.logits, ctx.leaf, grads[0])
        ctx.home.gradient.resize_(gradient.shape).copy_(gradient)
        return ctx.home.gradient.detach(), None


def measured(model: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    """Logits and gradient."""
    logits, _, gradient = loss_and_gradient(model, x, lambda logits, _: logits.logsumexp(1))
    return logits, gradient


def test_results_that_the_next_call_would_overwrite_are_copied(network: Network) -> None:
    model = ready(network)
    kept, loose = OwnResults(Overwriting(model)), Overwriting(model)
    meant = measured(model, images())
    for made, keeps in ((kept, True), (loose, False)):
        found = [measured(made, each) for each in (images(), 1.0 - images())]
        assert all(map(torch.equal, *found)) != keeps
        assert all(map(torch.equal, found[0], meant)) == keeps


def test_a_compiled_model_that_overwrites_its_results_is_refused(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(torch, "compile", lambda model, **_: Overwriting(model))
    assert compiling.compiled(ready(network), images(), said.append) is None
    assert said[0].startswith("not compiled: it gives other logits (by")


def test_a_compiled_model_with_other_gradients_is_refused(
    network: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Flat(nn.Module):
        def __init__(self, model: nn.Module) -> None:
            super().__init__()
            self.model = model

        def forward(self, x: Tensor) -> Tensor:
            logits: Tensor = self.model(x.detach()) + 0.0 * x.sum()
            return logits

    said: list[str] = []
    monkeypatch.setattr(torch, "compile", lambda model, **_: Flat(model))
    assert compiling.compiled(ready(network), images(), said.append) is None
    assert said == ["not compiled: it gives other gradients (by 1.0e+00 of an image's)"]


def test_on_cuda_a_model_is_compiled_to_graphs(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []

    def compile_(model: nn.Module, *, options: dict[str, Any], **_: object) -> nn.Module:
        asked.append(options)
        return model

    monkeypatch.setattr(torch, "compile", compile_)
    on_cuda = compiling.compiled_for(torch.device("cuda"), network)
    assert isinstance(on_cuda, OwnResults)
    assert compiling.compiled_for(torch.device("cpu"), network) is network
    casts = {"emulate_precision_casts": True}
    assert asked == [{**casts, "triton.cudagraphs": True}, casts]


CUTS = [(where, kind) for where in ("input", "features") for kind in (torch.float16, torch.bfloat16)]


@pytest.mark.parametrize(("where", "kind"), CUTS)
def test_a_compiled_model_without_its_cast_is_refused(
    where: str, kind: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(torch, "compile", lambda model, **_: ready(Cutting("nowhere", model.kind)))
    assert compiling.compiled(ready(Cutting(where, kind)), images(16), said.append) is None
    assert said[0].startswith("not compiled: it gives other logits (by")


@pytest.mark.slow
@pytest.mark.parametrize(("where", "kind"), [CUTS[0], CUTS[-1]])
def test_a_cast_survives_the_compiler(where: str, kind: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the option the compiler drops it, and the comparison notices."""
    monkeypatch.setattr(compiling, "seconds_a_gradient", lambda *_: 1.0)
    model, plain = ready(Cutting(where, kind)), torch.compile
    said: list[str] = []
    made = compiling.compiled(model, images(16), said.append)
    assert said == ["compiled: a step takes 1.00 of the time that it took"]
    assert made is not None
    torch.testing.assert_close(made(images(16)), model(images(16)), rtol=1e-6, atol=1e-6)
    monkeypatch.setattr(torch, "compile", lambda model, **_: plain(model, dynamic=False))
    torch.compiler.reset()
    assert compiling.compiled(model, images(16), said.append) is None
    assert said[1].startswith("not compiled: it gives other logits (by")
