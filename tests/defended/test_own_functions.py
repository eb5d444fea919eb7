"""Defenses of one's own: three ways to name them, four kinds of functions, what is said of a broken one."""

import importlib.metadata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from advbench import numpy_defense, pil_defense
from advbench.defended.own_functions import Plugin, adapted, defense_of
from advbench.errors import DefenseError, InputError, SpecError
from advbench.jobs.build_chain import _placement
from advbench.names.grammar import Spec, parse_spec


def levels(x: Any, count: int = 4) -> Any:
    return (x * count).round() / count


def on_tensors(x: Tensor) -> Tensor:
    return torch.round(x * 4) / 4


def on_arrays(x: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return np.round(x * 4) / 4


def untyped_on_pil(image):  # type: ignore[no-untyped-def]
    return image.point(lambda value: int(value > 127) * 255)


def on_pil(image: Image.Image) -> Image.Image:
    return image.point(lambda value: int(value > 127) * 255)


def on_single_images(x: Any) -> Any:
    assert isinstance(x, np.ndarray)
    assert x.ndim == 3
    return x[::-1].copy()


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("defense", "expected"),
    [
        (adapted(on_tensors), on_tensors),
        (adapted(on_arrays), on_tensors),
        (adapted(levels), on_tensors),
        (numpy_defense(on_arrays), on_tensors),
        (numpy_defense(on_single_images, layout="hwc"), lambda x: x.flip(2)),
        (adapted(on_single_images), lambda x: x.flip(2)),
        (adapted(on_pil), lambda x: (x * 255).round().gt(127).float()),
        (adapted(untyped_on_pil), lambda x: (x * 255).round().gt(127).float()),
        (pil_defense(on_pil), lambda x: (x * 255).round().gt(127).float()),
    ],
)
def test_a_plain_function_is_a_defense(
    defense: Plugin, expected: Callable[[Tensor], Tensor], channels: int
) -> None:
    x = torch.rand(3, channels, 5, 4, generator=torch.Generator().manual_seed(0))
    defense.settled.clear()
    for _ in range(2):  # what was found out on the first call holds for the second
        torch.testing.assert_close(defense(x), expected(x))
    assert defense(x.half()).dtype == torch.half


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda x: x[:1], "must return 3 images for 3, got shape"),
        (lambda x: x * torch.nan, "must return finite numbers"),
        (lambda x: x * 255.0, r"must keep pixels in \[0, 1\], got"),
        (lambda x: (x * 255).to(torch.uint8), r"must return floats in \[0, 1\], got torch.uint8"),
        (lambda x: x.nothing, "takes neither tensors nor arrays nor PIL images .*advbench.numpy_defense"),
        (lambda x: None, "it returns NoneType"),
    ],
)
def test_a_broken_contract_is_named_on_the_first_call(function: Callable[[Any], Any], message: str) -> None:
    with pytest.raises(DefenseError, match=message):
        adapted(function)(torch.rand(3, 1, 4, 4))


def test_what_makes_a_defense_is_told_from_the_defense() -> None:
    class Made:
        substitutes = ("identity",)

        def __init__(self, step: float = 0.5) -> None:
            self.step = step

        def __call__(self, x: Tensor) -> Tensor:
            return (x / self.step).round() * self.step

    def make(count: int = 2) -> Any:
        return lambda x: levels(x, count)

    x = torch.rand(2, 1, 3, 3)
    assert torch.equal(defense_of(Made, Spec("m", {"step": "0.25"}))(x), Made(0.25)(x))
    assert torch.equal(defense_of(make, Spec("m", {"count": "3"}))(x), levels(x, 3))
    assert torch.equal(defense_of(levels, Spec("m", {"count": "3"}))(x), levels(x, 3))
    assert torch.equal(defense_of(levels, Spec("m"))(x), levels(x))
    module = nn.AvgPool2d(3, 1, 1)
    assert defense_of(module, Spec("m")) is module
    with pytest.raises(SpecError, match="is made already and takes no parameters"):
        defense_of(module, Spec("m", {"count": "3"}))
    with pytest.raises(SpecError, match=r"no parameter 'cuont'\. Did you mean 'count'"):
        defense_of(levels, Spec("m", {"cuont": "3"}))
    with pytest.raises(SpecError, match="is no function or class, but int"):
        defense_of(3, Spec("m"))


def test_a_defense_is_named_in_a_file_a_module_or_an_installed_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = "def levels(x, count=4):\n    return (x * count).round() / count\n"
    (tmp_path / "plugin_of_mine.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    point = importlib.metadata.EntryPoint("mine", "plugin_of_mine:levels", "advbench.defenses")
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: [point])
    x = torch.rand(2, 1, 3, 3)
    for name in ("plugin_of_mine.py:levels", "plugin_of_mine:levels", "mine"):
        placement = _placement(parse_spec(f"{name}:count=2@features"))
        assert placement.at == "features"
        assert torch.equal(placement.defense(x), levels(x, 2))
    with pytest.raises(InputError, match="Did you mean 'levels'"):
        _placement(parse_spec("plugin_of_mine.py:level"))
