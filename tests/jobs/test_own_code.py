"""Of a caller's code is told what it reads and does, and not what it keeps of what it has done."""

import json
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from advbench.jobs.own_code import is_own, read_by, written_in_class
from tests.notebook_cells import defined


@pytest.mark.parametrize(
    ("module", "expected"),
    [
        ("__main__", True),
        (__name__, True),
        ("a module that nobody has imported", True),
        ("json", False),
        ("os.path", False),
        ("numpy", False),
        ("torch.nn", False),
        ("advbench.errors", False),
    ],
)
def test_what_python_and_installed_packages_bring_is_nobodys_own(module: str, expected: bool) -> None:
    assert is_own(module) is expected


def test_a_function_is_told_with_the_globals_that_it_reads() -> None:
    names = defined("LEVELS = 4\nUNREAD = 5\ndef helper(x): return x\ndef f(x): return helper(x * LEVELS)")
    assert dict(read_by(names["f"])) == {"LEVELS": 4, "helper": names["helper"]}
    python_s: Any = json.dumps
    assert list(read_by(python_s)) == []


def test_inner_functions_read_too_and_what_a_function_sets_is_no_setting_of_it() -> None:
    names = defined("A = 1\nB = 2\ndef f(x):\n    global B\n    B += 1\n    return [x * A for _ in range(3)]")
    assert dict(read_by(names["f"])) == {"A": 1}


def test_of_a_module_of_ones_own_the_values_are_told_that_are_read() -> None:
    own = ModuleType("settings of mine")
    own.depth, own.width = 3, 8  # type: ignore[attr-defined]  # a module is filled as a file would fill it
    names = defined("def f(x): return x * own.depth")
    names["own"] = own
    assert dict(read_by(names["f"])) == {"own": [("depth", 3)]}


def test_lists_that_a_function_appends_to_are_records_and_others_are_settings() -> None:
    names = defined(
        "scales = [1, 2]\ndef f(x): return x * scales[0]\ndef g(x):\n    scales.append(3)\n    return x"
    )
    assert dict(read_by(names["f"])) == {"scales": [1, 2]}
    assert dict(read_by(names["g"])) == {}


def test_a_class_is_told_by_the_methods_and_values_that_are_its_callers() -> None:
    code = (
        "class Base(nn.Module):\n    scale = 2.0\n    def forward(self, x): return x\n"
        "class Own(Base):\n    path = None\n    @property\n    def half(self): return self.scale / 2\n"
        "    @staticmethod\n    def helper(x): return x"
    )
    told = dict(written_in_class(defined(code)["Own"]))
    assert {"scale", "forward", "path", "half", "helper"} <= told.keys()
    assert told["scale"] == 2.0
    assert "train" not in told  # torch's own
    assert not dict(written_in_class(nn.Linear))
    assert not dict(written_in_class(Path))
    assert not dict(written_in_class(type(np.zeros(1))))
    assert not dict(written_in_class(torch.Tensor))
