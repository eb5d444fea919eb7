"""A denoiser as `purify` takes it: found by a word or an object, and held to what it promises."""

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
from advbench import Placement, bpda, cli
from advbench.defended.substitutes import make_substitute
from advbench.defenses import Purify
from advbench.defenses.denoiser import BUNDLED, find_denoiser
from advbench.defenses.purify import Form
from advbench.errors import DefenseError, SpecError
from advbench.evaluation.behind_defenses import _is_own
from tests.defenses.denoisers import FORMS, MEAN, VARIANCE, made, of_gaussian
from tests.defenses.families import called, images, streams


class Halving(nn.Module):
    def __init__(self, factor: float = 0.5) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(factor))

    def forward(self, x: Tensor, sigma: Tensor) -> Tensor:
        return x * self.factor


def test_the_bundled_one_keeps_shape_and_type() -> None:
    x = torch.rand(2, 1, 8, 8)
    denoised = find_denoiser(BUNDLED)(x, 0.2)
    assert denoised.shape == x.shape
    assert denoised.dtype == x.dtype


def test_a_module_is_copied_and_told_by_its_weights() -> None:
    own = Halving()
    denoiser, other = find_denoiser(own), find_denoiser(Halving(0.25))
    own.factor.data.fill_(9.0)
    assert torch.equal(denoiser(torch.ones(1, 1, 2, 2), 0.1), torch.full((1, 1, 2, 2), 0.5))
    assert denoiser.digest != other.digest
    assert denoiser.digest == find_denoiser(Halving()).digest


def test_another_shape_is_refused_with_both() -> None:
    with pytest.raises(DefenseError, match=r"\(1, 1, 2, 2\), got \(1, 2\)"):
        find_denoiser(lambda x, sigma: x.flatten(2).sum(2).expand(1, 2))(torch.ones(1, 1, 2, 2), 0.1)


def test_a_word_that_names_nothing_is_refused() -> None:
    with pytest.raises(SpecError, match=r"denoiser must be file\.py:net"):
        find_denoiser("bm3d")


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
