"""Purification against formulas where the posterior is known, its gradient, and denoisers of all kinds."""

import json
import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import advbench
from advbench import DefendedModel, Draws, Placement, bpda, cli
from advbench.defended.gradient import loss_and_gradient
from advbench.defended.substitutes import make_substitute
from advbench.defenses import Purify
from advbench.defenses.digits_denoiser import digits_denoiser
from advbench.defenses.purify import Form, ddpm, schedule
from advbench.draws.sampling import Sampling
from advbench.errors import DefenseError, InputError, SpecError
from advbench.evaluation.behind_defenses import _is_own
from benchmarks.purify_cost import peak_megabytes
from tests.defenses.families import called, images, streams

MEAN, VARIANCE = 0.4, 0.09
FORMS: list[Form] = ["one-shot", "ddpm", "langevin"]


def of_gaussian(x: Tensor, sigma: Tensor) -> Tensor:
    """The posterior mean of independent Gaussian pixels."""
    return MEAN + (x - MEAN) * (VARIANCE / (VARIANCE + sigma**2))


def number(sigma: float) -> Tensor:
    return torch.tensor(sigma, dtype=torch.float64)


class Recorded:
    """A denoiser that remembers what it was given."""

    def __init__(self, function: Callable[[Tensor, Tensor], Tensor] = of_gaussian) -> None:
        self.function = function
        self.given: list[tuple[Tensor, float]] = []

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        self.given.append((x.detach().clone(), float(sigma)))
        return self.function(x, sigma)


class Convolved(nn.Module):
    """A small network that knows the noise."""

    def __init__(self, channels: int = 1, width: int = 8) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            self.first = nn.Conv2d(channels, width, 3, padding=1)
            self.last = nn.Conv2d(width, channels, 3, padding=1)

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        hidden = torch.tanh(self.first(x / (1.0 + sigma)) + sigma)
        y: Tensor = x + sigma * self.last(hidden)
        return y


def made(form: Form, denoiser: Any, steps: int = 4, noise: float = 0.3, **others: Any) -> Any:
    return Purify(
        form=form, denoiser=denoiser, noise=noise, steps=None if form == "one-shot" else steps, **others
    )


def test_one_shot_is_the_denoiser_of_the_noisy_image() -> None:
    seen, x = Recorded(), images(500, 1, 8, 8).double()
    y = made("one-shot", seen)(x, streams(x))
    ((noisy, sigma),) = seen.given
    assert sigma == pytest.approx(0.3)
    assert is_normal((noisy - x) / 0.3)
    torch.testing.assert_close(y, MEAN + (noisy - MEAN) * 0.09 / (0.09 + 0.3**2))


def test_the_steps_of_ddpm_are_those_of_its_equations_in_scaled_images() -> None:
    """Ho, Jain, Abbeel 2020, equation 7, with images that shrink by sqrt(a) as noise grows."""
    seen, x, steps = Recorded(), images(400, 1, 8, 8).double(), 5
    y = made("ddpm", seen, steps)(x, streams(x))
    levels = [sigma for _, sigma in seen.given]
    assert len(levels) == steps
    a = [1.0 / (1.0 + sigma**2) for sigma in levels]  # a bar, of images in [0, 1]
    for (u, sigma), after, a_t, a_s in zip(seen.given[:-1], seen.given[1:], a[:-1], a[1:], strict=True):
        x_t, x_0, beta = math.sqrt(a_t) * u, of_gaussian(u, number(sigma)), 1.0 - a_t / a_s
        of_x_0, of_x_t = math.sqrt(a_s) * beta, math.sqrt(1.0 - beta) * (1.0 - a_s)
        mean = (of_x_0 * x_0 + of_x_t * x_t) / (1.0 - a_t)
        deviation = math.sqrt((1.0 - a_s) / (1.0 - a_t) * beta)
        assert is_normal((math.sqrt(a_s) * after[0] - mean) / deviation)
    torch.testing.assert_close(y, of_gaussian(seen.given[-1][0], number(levels[-1])))


def test_the_steps_of_langevin_follow_the_score() -> None:
    seen, x, steps, a, s = Recorded(), images(400, 1, 8, 8).double(), 5, 0.15, 0.3
    y = made("langevin", seen, steps, step_size=a)(x, streams(x))
    assert [sigma for _, sigma in seen.given] == pytest.approx([s] * steps)
    assert is_normal((seen.given[0][0] - x) / s)
    for (u, _), (after, _) in zip(seen.given[:-1], seen.given[1:], strict=True):
        score = -(u - MEAN) / (VARIANCE + s**2)  # of N(MEAN, VARIANCE + s^2)
        assert is_normal((after - u - a * s**2 * score) / (s * math.sqrt(2.0 * a)))
    torch.testing.assert_close(y, of_gaussian(seen.given[-1][0], number(s)))


def test_many_steps_of_ddpm_draw_from_the_posterior() -> None:
    x = torch.full((4000, 1, 4, 4), 0.9).double()
    seen, s = Recorded(), 0.3
    y = made("ddpm", seen, 300)(x, streams(x))
    shrunk = VARIANCE / (VARIANCE + s**2)
    rest = y - (MEAN + (seen.given[0][0] - MEAN) * shrunk)  # what is left of the noisy image's posterior mean
    assert rest.mean().item() == pytest.approx(0.0, abs=0.01)
    assert rest.var().item() == pytest.approx(VARIANCE * s**2 / (VARIANCE + s**2), rel=0.03)
    assert y.mean().item() == pytest.approx(MEAN + (0.9 - MEAN) * shrunk, abs=0.01)


def test_a_long_langevin_process_forgets_its_image_and_keeps_the_prior() -> None:
    x, s, a = torch.full((4000, 1, 4, 4), 0.9).double(), 0.3, 0.1
    y = made("langevin", of_gaussian, 150, s, step_size=a)(x, streams(x))
    shrunk = VARIANCE / (VARIANCE + s**2)
    kept = 1.0 - a * (1.0 - shrunk)  # of a deviation from the mean, in a step
    assert y.mean().item() == pytest.approx(MEAN, abs=0.01)
    stationary = 2.0 * a * s**2 / (1.0 - kept**2)
    assert y.var().item() == pytest.approx(shrunk**2 * stationary, rel=0.03)


def test_the_schedule_is_that_of_ddpm() -> None:
    """A thousand steps of beta from 1e-4 to 0.02: DiffPure's t* = 0.1 is the hundredth of them."""
    a = np.cumprod(1.0 - np.linspace(1e-4, 0.02, 1000))
    deviation = 0.5 * np.sqrt(1.0 / a - 1.0)
    for last, noise in ((99, 0.17), (149, 0.26)):
        assert deviation[last] == pytest.approx(noise, abs=0.005)
    levels = schedule(float(deviation[99]), 4)
    assert levels == pytest.approx([deviation[99 - 25 * number] for number in range(4)], rel=0.02)
    assert ddpm(0.3, 7)[-1].share == 1.0


def test_ddpm_in_one_step_is_one_shot() -> None:
    x = images(3, 1, 8, 8)
    one, other = (made(form, of_gaussian, 1)(x, streams(x)) for form in ("one-shot", "ddpm"))
    assert torch.equal(one, other)


def test_noise_is_fresh_in_every_step_and_image_and_the_first_is_that_of_any_number_of_steps() -> None:
    x = images(1, 1, 8, 8).expand(2, -1, -1, -1)
    few, many = Recorded(lambda x, _: x), Recorded(lambda x, _: x)
    made("langevin", few, 3)(x, streams(x))
    made("langevin", many, 40)(x, streams(x))
    assert torch.equal(few.given[0][0], many.given[0][0])
    inputs = torch.stack([x, *(u for u, _ in many.given)])
    noise = (inputs[1:] - inputs[:-1]).flatten(2).transpose(0, 1).flatten(0, 1)
    assert torch.corrcoef(noise).fill_diagonal_(0.0).abs().max() < 0.6


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


def through_numpy(x: Tensor, sigma: Tensor) -> Tensor:
    return torch.from_numpy(of_gaussian(torch.from_numpy(x.numpy()), sigma).numpy())


@torch.no_grad()
def without_gradient(x: Tensor, sigma: Tensor) -> Tensor:
    return of_gaussian(x, sigma)


@pytest.mark.parametrize("denoiser", [through_numpy, without_gradient])
@pytest.mark.parametrize("form", FORMS)
def test_a_denoiser_without_a_derivative_has_substitutes_all_the_same(form: Form, denoiser: Any) -> None:
    purify, x = made(form, denoiser), images(2, 1, 8, 8)
    expected = made(form, of_gaussian)(x, streams(x))
    for name in ("identity", "smooth"):
        inner = x.clone().requires_grad_()
        y = bpda(purify, make_substitute(name, purify))(inner, streams(x))
        torch.testing.assert_close(y, expected)
        assert torch.autograd.grad(y.sum(), inner)[0].ne(0.0).all()
    with pytest.raises(DefenseError, match="Purify has no exact gradient: it is zero for all pixels"):
        called(make_substitute("exact", purify), x.requires_grad_(), streams(x))


def test_the_ladder_finds_a_way_through_a_denoiser_without_a_derivative(tmp_path: Path) -> None:
    done = advbench.run(
        defenses={"purify": Purify(denoiser=without_gradient, noise=0.1)},
        first=16,
        steps=4,
        eot=2,
        judge_draws=3,
        bpda=True,
        eps=0.3,
        out=tmp_path / "run",
    )
    row = done.rows[1]
    assert row.rates["shattered"].accuracy > row.rates["bpda"].accuracy
    told = json.loads((tmp_path / "run" / "run.json").read_text())["settings"]["defenses"]["purify"][0]
    assert told["denoiser"] == f"{__name__}.without_gradient"
    assert "state" in told


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


def test_a_denoiser_of_the_users_is_run_behind_copies_of_the_model_first() -> None:
    assert _is_own(Placement(Purify(denoiser=of_gaussian)))
    assert not _is_own(Placement(Purify()))


def test_a_denoiser_may_work_in_place() -> None:
    def in_place(x: Tensor, sigma: Tensor) -> Tensor:
        return x.sub_(MEAN).mul_(VARIANCE / (VARIANCE + sigma**2)).add_(MEAN)

    x = images(2, 1, 8, 8)
    for denoiser in (in_place, of_gaussian):
        inner = x.clone().requires_grad_()
        y = made("ddpm", denoiser)(inner, streams(x))
        (grad,) = torch.autograd.grad(y.sum(), inner)
        if denoiser is in_place:
            first = y, grad
    torch.testing.assert_close((y, grad), first)
    assert torch.equal(inner, x)


def spoiled(bad: float, step: int) -> Callable[[Tensor, Tensor], Tensor]:
    calls = []

    def denoise(x: Tensor, sigma: Tensor) -> Tensor:
        calls.append(sigma)
        return x.clone().index_fill_(0, torch.tensor([0]), bad) if len(calls) == step else x

    return denoise


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "NaN": (lambda: spoiled(math.nan, 3), r"the process gives NaN or infinity at step 3 of 4; the denoiser"),
    "infinity": (lambda: spoiled(math.inf, 1), r"NaN or infinity at step 1 of 4"),
    "another shape": (
        lambda: lambda x, _: x.mean(1, keepdim=True),
        r"denoiser <lambda> must return images of the shape .*, \(2, 3, 8, 8\), got \(2, 1, 8, 8\)",
    ),
    "no tensor": (lambda: lambda x, _: x.numpy(), "got ndarray"),
    "an error": (
        lambda: lambda x, _: x @ torch.zeros(3, 3),
        r"denoiser <lambda> failed on images \(2, 3, 8, 8\) with noise 0.3: RuntimeError: ",
    ),
    "one argument": (lambda: lambda x: x, "failed on images .* TypeError: .*takes 1 positional argument"),
    "digits of another size": (lambda: "", r"is of grey digits \(n, 1, 8, 8\), got images \(2, 3, 8, 8\)"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_a_denoiser_that_breaks_its_promise_is_told_in_a_line(what: str) -> None:
    make, message = REFUSED[what]
    x = images(2, 3, 8, 8)
    for inner in (x, x.clone().requires_grad_()):
        with pytest.raises(DefenseError, match=message) as refused:
            made("ddpm", make())(inner, streams(x))
        assert "\n" not in str(refused.value)


def test_an_image_that_is_nan_already_is_nobodys_fault() -> None:
    x = images(2, 1, 8, 8)
    x[0, 0, 0, 0] = math.nan
    y = made("ddpm", of_gaussian)(x, streams(x))
    assert y[0].isnan().any()
    assert y[1].isfinite().all()


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


NET = """
import torch

class Net(torch.nn.Module):
    def __init__(self, width=3):
        super().__init__()
        self.layer = torch.nn.Conv2d(1, 1, 3, padding=1)

    def forward(self, x, sigma):
        return x - sigma * self.layer(x)

def make():
    torch.manual_seed(0)
    return Net()

net = make()

def function(x, sigma):
    return net(x, sigma)

def wrong(x, sigma):
    return x[:, :, 1:]

def nan_at_the_end(x, sigma):
    return x / 0 if sigma < 0.1 else x

def fails():
    raise OSError("no weights here")

number = 3
"""


@pytest.mark.parametrize("name", ["net", "make", "function"])
def test_a_file_names_a_module_a_function_or_what_makes_one(name: str, tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text(NET, encoding="utf-8")
    ((placement,),) = [advbench.defense(f"purify:denoiser={tmp_path}/mine.py:{name},steps=3,noise=0.25")]
    purify: Any = placement.defense
    assert (purify.steps, purify.noise, purify.form) == (3, 0.25, "ddpm")
    x = images(2, 1, 8, 8)
    with torch.no_grad():
        expected = Purify(denoiser=f"{tmp_path}/mine.py:net", steps=3, noise=0.25)(x, streams(x))
        torch.testing.assert_close(purify(x, streams(x)), expected)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("denoiser=nowhere.py:net", "there is no file 'nowhere.py'"),
        ("denoiser=mine.py:nett", "has no 'nett'. Did you mean 'net' or 'Net'?"),
        ("denoiser=mine.py:number", "purify: a denoiser is a function or a module (x, sigma)"),
        ("denoiser=mine.py:fails", "purify: denoiser mine.py:fails failed: OSError: no weights here"),
        ("denoiser=mine.py:wrong", "denoiser wrong must return images of the shape that it is given"),
        ("denoiser=mine.py:nan_at_the_end,steps=20", "NaN or infinity at step 12 of 20"),
        ("noise=64", "noise must lie in (0, 10], got 64"),
        ("form=diffusion", "purify: form must be one of one-shot, ddpm, langevin, got 'diffusion'"),
    ],
)
def test_what_is_wrong_ends_the_command_with_a_line_and_nothing_written(
    words: str,
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(NET, encoding="utf-8")
    arguments = ["attack", "--defense", f"purify:{words}", "--first", "8", "--bpda", "--out", "run"]
    assert cli.main(arguments) == 2
    told = capsys.readouterr().err.strip().splitlines()
    assert message in told[-1]
    assert not (tmp_path / "run").exists()


def test_the_denoiser_of_the_page_is_right_where_the_network_knows_the_noise() -> None:
    page = (Path(__file__).parents[2] / "docs" / "howto" / "purifiers.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    names: dict[str, Any] = {}
    exec(code, names)
    clean, sigma = images(4, 1, 8, 8), torch.tensor(0.3)
    a = 1.0 / (1.0 + 4.0 * sigma**2)

    def knows(x_t: Tensor, t: Tensor) -> Tensor:
        assert t.shape == (4,)
        schedule = np.cumprod(1.0 - np.linspace(1e-4, 0.02, 1000))
        assert schedule[int(t[0])] == pytest.approx(float(a), abs=0.005)
        return (x_t - a.sqrt() * (2.0 * clean - 1.0)) / (1.0 - a).sqrt()

    denoise = names["FromEps"](knows)
    x = clean + sigma * torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(denoise(x, sigma), clean, rtol=0.0, atol=1e-5)


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


def is_normal(z: Tensor) -> bool:
    """Whether many numbers may be standard normal ones, by their first moments and their largest."""
    return (
        abs(z.mean().item()) < 0.03
        and abs(z.var().item() - 1.0) < 0.04
        and abs(z.pow(4).mean().item() - 3.0) < 0.3
        and z.abs().max().item() < 6.5
    )


def test_draws_of_another_seed_give_another_image() -> None:
    x = images(2, 1, 8, 8)
    assert not torch.equal(Purify()(x, streams(x)), Purify()(x, Draws(1, torch.arange(2))))


def test_wrong_words_are_input_errors() -> None:
    with pytest.raises(InputError, match="there is no file"):
        Purify(denoiser="nowhere.py:net")
