"""Checkpoints as people publish them: each loads the weights that were meant, and says what it chose."""

import argparse
import collections
import datetime
import pathlib
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from advbench.errors import CheckpointError
from advbench.models.checkpoint.load import Loaded, load_checkpoint
from advbench.models.registry import PIXELS, Normalization
from advbench.names.grammar import parse_spec

CPU = torch.device("cpu")
State = dict[str, Tensor]


def net(width: int = 16) -> nn.Module:
    torch.manual_seed(width)
    named = collections.OrderedDict[str, nn.Module](
        flat=nn.Flatten(), one=nn.Linear(64, width), act=nn.ReLU()
    )
    named["two"] = nn.Linear(width, 10)
    return nn.Sequential(named)


WEIGHTS: State = dict(net().state_dict())
OTHERS: State = {key: value + 0.01 for key, value in WEIGHTS.items()}
SMALLER: State = dict(net(8).state_dict())


def under(prefix: str, state: State = WEIGHTS) -> State:
    return {prefix + key: value for key, value in state.items()}


def tensor(*values: float) -> Tensor:
    return torch.tensor(values)


class Shape(NamedTuple):
    """A file's contents and what must come of it: the source, notes by their parts, the normalisation."""

    content: Any
    source: str = "state dict"
    said: tuple[str, ...] = ()
    normalization: Normalization | None = None
    weights: str | None = None


HALF = Normalization((0.5,), (0.25,))
CIFAR = Normalization((0.4914, 0.4822, 0.4465), (0.2471, 0.2435, 0.2616))
BOOKKEEPING = {
    "args": argparse.Namespace(lr=0.1),
    "log": collections.defaultdict(list),
    "where": pathlib.PurePosixPath("x"),
    "rng": np.random.RandomState(0).get_state(),
    "generator": np.random.default_rng(0),
    "py": random.getstate(),
    "when": datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC),
    "counter": collections.Counter("abc"),
    "set": {1, 2},
    "complex": 1j,
    "bytes": b"abc",
    "type": np.float32,
    "device": torch.device("cpu"),
    "dtype": torch.float16,
    "size": torch.Size([1, 2]),
    "function": net,
    "range": range(3),
    "array": np.arange(3),
}

SHAPES: dict[str, Shape] = {
    "bare": Shape(WEIGHTS),
    "list of one": Shape({"state_dict": [WEIGHTS]}, "state dict at state_dict.0"),
    "tuple at the top": Shape((WEIGHTS, 3), "state dict at 0"),
    "list beside a scalar": Shape(
        {"state_dict": [WEIGHTS], "acc": tensor(9.0)}, "state dict at state_dict.0"
    ),
    "a cascade's stages": Shape(
        {"state_dict": [WEIGHTS, OTHERS]},
        "state dict at state_dict.0",
        ("2 networks that fit; state_dict.0 is taken, not state_dict.1 (--weights",),
    ),
    "a later stage by name": Shape(
        {"state_dict": [OTHERS, WEIGHTS]}, "state dict at state_dict.1", weights="state_dict.1"
    ),
    "deeply nested": Shape({"a": {"b": {"c": {"d": {"e": WEIGHTS}}}}}, "state dict at a.b.c.d.e"),
    "an average beside the weights": Shape(
        {"model_ema": OTHERS, "model": WEIGHTS},
        "state dict at model",
        ("model is taken, not model_ema",),
    ),
    "the average by name": Shape(
        {"model_ema": WEIGHTS, "model": OTHERS}, "state dict at model_ema", weights="model_ema"
    ),
    "an average alike": Shape({"model": WEIGHTS, "ema": dict(WEIGHTS)}, "state dict at model"),
    "teacher and student of two widths": Shape(
        {**under("teacher.", SMALLER), **under("student.")},
        said=("4 entries beside the network left out: teacher.one.weight",),
    ),
    "teacher and student alike": Shape(
        {**under("teacher.", OTHERS), **under("student.")}, said=("student is taken, not teacher",)
    ),
    "the teacher by name": Shape(
        {**under("teacher."), **under("student.", OTHERS)},
        said=("4 entries beside the network left out: student.one.weight",),
        weights="teacher",
    ),
    "data parallel": Shape({"state_dict": under("module.")}, "state dict at state_dict"),
    "compiled inside data parallel": Shape(under("module._orig_mod.")),
    "a backbone": Shape(under("backbone.")),
    "lightning": Shape({"state_dict": under("model."), "epoch": 3}, "state dict at state_dict"),
    "data parallel inside": Shape(
        {key.replace("one.", "one.module."): each for key, each in WEIGHTS.items()}
    ),
    "compiled inside": Shape({key.replace("one.", "one._orig_mod."): each for key, each in WEIGHTS.items()}),
    "attacked model and attacker": Shape(
        {
            "model": {
                **under("module.model."),
                **under("module.attacker.model."),
                "module.normalizer.new_mean": torch.zeros(1, 1, 1),
                "module.normalizer.new_std": torch.ones(1, 1, 1),
                "module.attacker.normalize.new_mean": torch.zeros(1, 1, 1),
                "module.attacker.normalize.new_std": torch.ones(1, 1, 1),
            }
        },
        "state dict at model",
        ("6 entries beside the network left out",),
        PIXELS,
    ),
    "attacker first": Shape(
        {**under("attacker.model.", OTHERS), **under("model.")}, said=("model is taken",)
    ),
    "normalisation as the first layer": Shape(
        {"0.mean": tensor(0.5), "0.std": tensor(0.25), **under("1.")}, normalization=HALF
    ),
    "normalisation as mu and sigma": Shape(
        {"mu": tensor(0.5), "sigma": tensor(0.25), **under("net.")}, normalization=HALF
    ),
    "normalisation of three channels": Shape(
        {
            "normalize.mean": torch.tensor(CIFAR.mean).view(1, 3, 1, 1),
            "normalize.std": torch.tensor(CIFAR.std).view(1, 3, 1, 1),
            **under("model."),
        },
        normalization=CIFAR,
    ),
    "normalisation in 0..255": Shape(
        {"pixel_mean": tensor(127.5), "pixel_std": tensor(63.75), **under("model.")},
        said=("pixel_mean is of pixels in 0..255",),
        normalization=HALF,
    ),
    "pixels in 0..255 by their deviation": Shape(
        {"0.mean": tensor(0.0), "0.std": tensor(255.0), **under("1.")},
        said=("0.mean is of pixels in 0..255",),
        normalization=PIXELS,
    ),
    "two normalisations": Shape(
        {
            **{"a.mean": tensor(0.5), "a.std": tensor(0.25), "b.mean": tensor(0.1), "b.std": tensor(0.2)},
            **under("net."),
        },
        said=(
            "4 entries beside the network",
            "2 normalisations that differ (a.mean, b.mean), and none of them was taken",
        ),
    ),
    "a mean without a std": Shape(
        {"0.mean": tensor(0.5), **under("1.")}, said=("1 entry beside the network",)
    ),
    "operation counters": Shape(
        {**WEIGHTS, "total_ops": torch.zeros(1), "one.total_params": torch.zeros(1)},
        said=("2 entries beside the network left out: total_ops, one.total_params",),
    ),
    "a criterion": Shape(
        {**WEIGHTS, "criterion.weight": torch.ones(10)}, said=("left out: criterion.weight",)
    ),
    "a loss of a wrapper": Shape(
        {**under("model."), "loss_fn.pos_weight": torch.ones(10)}, said=("left out: loss_fn.pos_weight",)
    ),
    "another module of a wrapper": Shape(
        {**under("classifier."), "denoiser.weight": torch.ones(3)}, said=("left out: denoiser.weight",)
    ),
    "parameters": Shape({key: nn.Parameter(value) for key, value in WEIGHTS.items()}),
    "views of one storage": Shape(
        {key: torch.stack([value, value + 1], -1)[..., 0] for key, value in WEIGHTS.items()}
    ),
    "double precision": Shape({key: value.double() for key, value in WEIGHTS.items()}),
    "an ordered dictionary with metadata": Shape(net().state_dict()),
    "a default dictionary": Shape(collections.defaultdict(int, WEIGHTS)),
    "everything that training keeps": Shape(
        {
            "optimizer": {"state": {0: {"exp_avg": torch.zeros(16, 64)}}, "param_groups": [{"lr": 0.1}]},
            "state_dict": WEIGHTS,
            **BOOKKEEPING,
        },
        "state dict at state_dict",
    ),
    **{
        f"beside {name}": Shape({name: thing, "state_dict": WEIGHTS}, "state dict at state_dict")
        for name, thing in BOOKKEEPING.items()
    },
}


def loaded(path: Path, weights: str | None = None, build: Callable[[], nn.Module] = net) -> Loaded:
    return load_checkpoint(path, build, parse_spec("net.py:net"), CPU, weights=weights)


def refused(path: Path, weights: str | None = None, build: Callable[[], nn.Module] = net) -> str:
    with pytest.raises(CheckpointError) as caught:
        loaded(path, weights, build)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "old format"])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
def test_a_published_shape_loads_the_weights_that_were_meant(
    shape: Shape, zipped: bool, tmp_path: Path
) -> None:
    torch.save(shape.content, path := tmp_path / "a.pt", _use_new_zipfile_serialization=zipped)
    found = loaded(path, shape.weights)
    own = found.network.state_dict()
    assert all(torch.equal(own[key], value) for key, value in WEIGHTS.items())
    assert found.source == shape.source
    assert found.normalization == shape.normalization
    told = (*found.notes, *found.remarks)
    assert len(told) == len(shape.said), told
    assert all(any(said in note for note in told) for said in shape.said), told


def test_what_is_read_past_is_recorded_by_its_names(tmp_path: Path) -> None:
    torch.save({"state_dict": WEIGHTS, "args": BOOKKEEPING["args"]}, path := tmp_path / "a.pt")
    assert loaded(path).record == {"weights": "state_dict", "read_past": {"argparse.Namespace": 1}}


PARTS: dict[str, tuple[Any, str]] = {
    "a layer that the network lacks": (
        {**WEIGHTS, "three.weight": torch.ones(3)},
        "1 unexpected (three.weight)",
    ),
    "a layer under the same prefix": (
        under("model.", {**WEIGHTS, "three.weight": tensor(1.0)}),
        "three.weight",
    ),
    "a layer before it in a sequence": (
        {**under("1."), "0.weight": torch.ones(3)},
        "1 unexpected (0.weight)",
    ),
    "a normalisation inside one of its layers": (
        under("model.", {**WEIGHTS, "one.mean": tensor(0.5), "one.std": tensor(0.25)}),
        "2 unexpected (model.one.mean, model.one.std)",
    ),
    "a key of the network missing": (
        {key: each for key, each in WEIGHTS.items() if key != "two.bias"},
        "1 missing (two.bias)",
    ),
    "a key missing beside counters": (
        {"total_ops": tensor(1.0), **{key: each for key, each in WEIGHTS.items() if key != "two.bias"}},
        "3 of 4 keys are the same",
    ),
    "nothing in common": ({"a.b": tensor(1.0)}, "no key is the same, under any prefix"),
    "one key in common": (
        {"one.weight": WEIGHTS["one.weight"], "x.y": tensor(1.0)},
        "another architecture or a variant of this one: 1 of 4 keys are the same",
    ),
    "other classes": (
        {**WEIGHTS, "two.weight": torch.ones(7, 16), "two.bias": torch.ones(7)},
        "7 classes: build the network with as many, --model net.py:net:num_classes=7 where its factory takes",
    ),
    "another width": (SMALLER, "another size of this architecture"),
}


@pytest.mark.parametrize(("content", "expected"), PARTS.values(), ids=PARTS.keys())
def test_what_does_not_fit_says_how(content: Any, expected: str, tmp_path: Path) -> None:
    torch.save(content, path := tmp_path / "a.pt")
    assert expected in refused(path)


def test_a_network_that_normalises_by_itself_needs_its_constants(tmp_path: Path) -> None:
    class Normalise(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("mean", tensor(0.5))
            self.register_buffer("std", tensor(0.25))

    torch.save(under("1."), path := tmp_path / "a.pt")
    assert "its constants are not in the file" in refused(
        path, build=lambda: nn.Sequential(Normalise(), net())
    )
    torch.save({**under("1."), "0.mean": tensor(0.1), "0.std": tensor(0.2)}, path)
    found = loaded(path, build=lambda: nn.Sequential(Normalise(), net()))
    assert found.normalization is None
    assert torch.equal(found.network.state_dict()["0.mean"], tensor(0.1))


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("model_em", "has no weights called 'model_em'. Did you mean 'model_ema'"),
        ("", "has no weights called ''. Known: model, model_ema."),
        ("small", "does not fit"),
    ],
)
def test_weights_of_another_name_are_refused(name: str, expected: str, tmp_path: Path) -> None:
    content = {"model": WEIGHTS, "model_ema": OTHERS, "small": SMALLER}
    torch.save(content, path := tmp_path / "a.pt")
    assert expected in refused(path, name)


def test_weights_at_the_top_level_are_called_a_dot(tmp_path: Path) -> None:
    torch.save({**WEIGHTS, "ema": OTHERS}, path := tmp_path / "a.pt")
    found = loaded(path, ".")
    assert torch.equal(found.network.state_dict()["two.bias"], WEIGHTS["two.bias"])
    assert "not ema" in loaded(path).notes[0]
