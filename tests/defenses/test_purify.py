"""Purification against formulas where the posterior is known, its gradient, and denoisers of all kinds."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import advbench
from advbench import DefendedModel, Draws, Placement, bpda
from advbench.defended.gradient import loss_and_gradient
from advbench.defended.substitutes import make_substitute
from advbench.defenses import Purify
from advbench.defenses.digits_denoiser import digits_denoiser
from advbench.defenses.purify import Form
from advbench.draws.sampling import Sampling
from advbench.errors import InputError, SpecError
from benchmarks.purify_cost import peak_megabytes
from tests.defenses.denoisers import FORMS, Convolved, Recorded, made, number
from tests.defenses.families import images, streams


@pytest.mark.parametrize("form", FORMS)
def test_an_image_is_purified_alike_in_any_batch_and_order_by_the_bundled_denoiser(form: Form) -> None:
    purify = Purify(form=form)
    model = DefendedModel(advbench.load_model(), [Placement(purify)], lanes=8, sampling=Sampling(0, "", 2))
    x = torch.stack([advbench.load_data()[i][0] for i in range(24)])
    with torch.no_grad():
        whole = model(x)
        assert torch.equal(model(x.flip(0)).flip(0), whole)
        assert torch.equal(torch.cat([model(part) for part in torch.split(x, 5)]), whole)


def test_a_table_depends_on_neither_batch_size_nor_order(tmp_path: Path) -> None:
    found = [
        advbench.run(
            defenses=["purify:steps=2"],
            first=24,
            steps=2,
            eot=2,
            judge_draws=3,
            bpda=True,
            batch_size=size,
            out=tmp_path / str(size),
        ).samples.drop(columns=["loss"])
        for size in (3, 24)
    ]
    columns = ["index", "rung", "defense", "robust", "prediction", "fooled_share", "steps"]
    assert found[0][columns].equals(found[1][columns])


PROCESSES = [("one-shot", 1), ("ddpm", 1), ("ddpm", 5), ("langevin", 5), ("ddpm", 33), ("langevin", 70)]


@pytest.mark.parametrize(("form", "steps"), PROCESSES)
def test_the_gradient_is_that_of_autograd_through_all_steps(form: Form, steps: int) -> None:
    network = Convolved().double()
    purify = made(form, network, steps)
    x = images(3, 1, 6, 6).double().requires_grad_()
    weights = images(3, 1, 6, 6, seed=1).double()
    y = purify(x, streams(x))
    (found,) = torch.autograd.grad(y, x, weights)
    noise = noise_of(purify, network, x)
    unrolled = x
    for step, z in zip(purify.process, noise, strict=True):
        u = unrolled + step.spread * z
        unrolled = (1.0 - step.share) * u + step.share * network(u, number(step.sigma))
    torch.testing.assert_close(y, unrolled, rtol=1e-9, atol=1e-9)
    (expected,) = torch.autograd.grad(unrolled, x, weights)
    torch.testing.assert_close(found, expected, rtol=1e-7, atol=1e-9)


def test_the_bundled_gradient_is_that_of_finite_differences() -> None:
    purify = made("ddpm", digits_denoiser().double(), 3)
    x = images(1, 1, 8, 8).double().requires_grad_()
    direction = images(64, 1, 8, 8, seed=2)[:1].double()
    assert torch.autograd.gradcheck(
        lambda x: (purify(x, streams(x)) * direction).sum(), x, eps=1e-6, atol=1e-6
    )


@pytest.mark.parametrize("form", FORMS)
def test_bpda_with_exact_is_the_defense_and_its_gradient_without_a_pass_more(form: Form) -> None:
    seen = Recorded(Convolved().requires_grad_(False))
    purify, x = made(form, seen, 6), images(2, 1, 8, 8)
    results = []
    for bpda_on in (False, True):
        seen.given.clear()
        exact = Placement(purify, substitute=make_substitute("exact", purify))
        model = DefendedModel(nn.Flatten(), [exact], bpda=bpda_on, sampling=Sampling(3))
        results.append(loss_and_gradient(model, x, lambda z, _: z.square().sum(1)))
        passes = len(seen.given)
        results_again = loss_and_gradient(model, x, lambda z, _: z.square().sum(1))
        assert torch.equal(results[-1].grad, results_again.grad)
        # The first time the search asks in addition whether there is a derivative.
        assert len(seen.given) - passes == 2 * len(purify.process)
    assert torch.equal(results[0].logits, results[1].logits)
    assert torch.equal(results[0].grad, results[1].grad)
    assert results[0].grad.ne(0.0).all()


def test_what_is_kept_for_the_backward_pass_is_some_images_whatever_the_denoiser_computes() -> None:
    x, kept = images(2, 1, 8, 8).requires_grad_(), {}
    for steps in (1, 5, 32, 50, 500):
        packed: list[int] = []

        def pack(tensor: Tensor, packed: list[int] = packed) -> Tensor:
            packed.append(tensor.numel())
            return tensor

        purify = made("ddpm", Convolved(width=64), steps)
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            purify(x, streams(x))
        kept[steps] = sum(packed) // x.numel()
    assert kept == {1: 1, 5: 5, 32: 32, 50: 25, 500: 32}


def test_a_surrogate_is_the_process_with_fewer_steps_under_the_same_noise_at_first() -> None:
    purify: Any = Purify(steps=8)
    x = images(4, 1, 8, 8)
    draws = streams(x)
    assert purify.substitutes == (
        "exact",
        "surrogate:steps=4",
        "surrogate:steps=2",
        "identity",
        "smooth",
    )
    assert Purify(form="one-shot").substitutes == ("exact", "identity", "smooth")
    fewer: Any = make_substitute("surrogate:steps=2", purify)
    assert fewer.__name__ == "surrogate:steps=2"
    assert torch.equal(fewer(x, draws), Purify(steps=2)(x, draws))
    whole: Any = make_substitute("surrogate:steps=8", purify)
    assert torch.equal(whole(x, draws), purify(x, draws))
    y = bpda(purify, fewer)(x.clone().requires_grad_(), draws)
    assert torch.equal(y, purify(x, draws)), "the forward pass stays the defense"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("surrogate", "substitute 'surrogate' needs steps: surrogate:steps=..."),
        ("surrogate:steps=0", "a surrogate has 1..8 steps, the defense's, got 0"),
        ("surrogate:steps=9", "a surrogate has 1..8 steps, the defense's, got 9"),
        ("surrogate:steps=few", "surrogate: steps must be a whole number, got 'few'"),
        ("surrogate:noise=0.1", "substitute 'surrogate' has no parameter 'noise'"),
        ("surogate:steps=2", "Purify has no substitute 'surogate:steps=2'"),
    ],
)
def test_a_substitute_that_there_is_not_is_refused(name: str, message: str) -> None:
    with pytest.raises(SpecError, match=message.replace("..", r"\.\.")):
        make_substitute(name, made("ddpm", "", 8))


def test_a_module_that_is_given_stays_as_it_was_and_another_one_is_another_run() -> None:
    network = Convolved().train()
    purify, x = Purify(denoiser=network), images(2, 1, 8, 8)
    y = purify(x, streams(x))
    assert network.training
    assert network.first.weight.requires_grad
    with torch.no_grad():
        network.first.weight.add_(1.0)
    assert torch.equal(purify(x, streams(x)), y)
    assert Purify(denoiser=network).digest != purify.digest
    assert purify.digest
    assert Purify().digest == Purify(steps=3).digest != purify.digest


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"form": "diffusion"}, "form must be one of one-shot, ddpm, langevin, got 'diffusion'"),
        ({"noise": 0.0}, r"noise must lie in \(0, 10\], got 0. Units are those of pixels in \[0, 1\]"),
        ({"noise": 64.0}, r"noise must lie in \(0, 10\], got 64"),
        ({"noise": math.nan}, "got nan"),
        ({"steps": 0}, r"steps of ddpm must lie in 1\.\.10000, got 0"),
        ({"form": "one-shot", "steps": 5}, r"steps of one-shot must lie in 1\.\.1, got 5"),
        ({"step_size": 0.1}, "step_size belongs to the form langevin, ddpm has none"),
        ({"form": "langevin", "step_size": 1.5}, r"step_size must lie in \(0, 1\], got 1.5"),
        ({"denoiser": "net"}, "denoiser must be file.py:net or package.module:net, got 'net'"),
        ({"denoiser": 3}, r"a function or a module \(x, sigma\) -> denoised x, got 3"),
    ],
)
def test_parameters_out_of_range_are_refused(parameters: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        Purify(**parameters)


@pytest.mark.slow
def test_memory_grows_with_neither_steps_nor_draws() -> None:
    empty = peak_megabytes(0, 1)
    few, many_steps, many_draws = (
        peak_megabytes(steps, eot) - empty for steps, eot in ((5, 1), (50, 1), (5, 20))
    )
    assert max(many_steps, many_draws) <= 1.2 * few


def noise_of(purify: Purify, network: nn.Module, x: Tensor) -> list[Tensor]:
    """The noise of each step, from what a denoiser sees that gives nothing else away."""
    seen = Recorded(network)
    Purify(
        denoiser=seen,
        form=purify.form,
        noise=purify.noise,
        steps=purify.steps,
        step_size=purify.step_size,
    )(x.detach(), streams(x))
    found, before = [], x.detach()
    for step, (u, sigma) in zip(purify.process, seen.given, strict=True):
        found.append((u - before) / step.spread)
        with torch.no_grad():
            denoised = network(u, number(sigma))
        before = (1.0 - step.share) * u + step.share * denoised
    return found


def test_draws_of_another_seed_give_another_image() -> None:
    x = images(2, 1, 8, 8)
    assert not torch.equal(Purify()(x, streams(x)), Purify()(x, Draws(1, torch.arange(2))))


def test_wrong_words_are_input_errors() -> None:
    with pytest.raises(InputError, match="there is no file"):
        Purify(denoiser="nowhere.py:net")
