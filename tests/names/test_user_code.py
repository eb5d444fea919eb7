"""A user's file runs as `python file.py` would: its own folder first, and no command line of ours."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from advbench.defended.contract import checked_logits
from advbench.errors import AdvbenchError, InputError, ModelError
from advbench.models.network import build_network
from advbench.names.grammar import parse_spec
from advbench.names.user_code import load_object


@pytest.fixture(autouse=True)
def _as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every test ends with the modules and the path that it began with."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = dict(sys.modules)
    yield
    for name in sys.modules.keys() - before.keys():
        del sys.modules[name]


def write(folder: Path, **files: str) -> Path:
    """Write Python files, `name` or `folder/name`."""
    for name, text in files.items():
        path = folder / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return folder


NET = "from torch import nn\n\ndef net():\n    return nn.Sequential(nn.Flatten(), nn.Linear(4, {}))\n"


def test_the_command_line_is_not_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (
        "import argparse, sys\nwords = argparse.ArgumentParser(); words.add_argument('--lr', default=0.1)\n"
        "lr = words.parse_args().lr\nargv = list(sys.argv)\n\n"
        "def late():\n    return words.parse_args().lr, list(sys.argv)\n"
    )
    home = write(tmp_path, train=text)
    monkeypatch.setattr(sys, "argv", ["advbench", "attack", "--model", "train.py:net"])
    assert load_object(f"{home}/train.py:lr") == 0.1
    assert load_object(f"{home}/train.py:argv") == [f"{home}/train.py"]
    assert sys.argv == ["advbench", "attack", "--model", "train.py:net"]


def test_a_file_that_wants_a_command_line_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = "import argparse\np = argparse.ArgumentParser()\np.add_argument('lr')\np.parse_args()\n"
    home = write(tmp_path, train=text)
    with pytest.raises(
        InputError, match=r"it ended the program \(exit code 2\); it is given no command line"
    ):
        load_object(f"{home}/train.py:net")
    assert "lr" in capsys.readouterr().err


def test_a_factory_that_parses_the_command_line_gets_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "import argparse\n" + NET.format(3).replace(
        "def net():\n", "def net():\n    argparse.ArgumentParser().parse_args()\n"
    )
    text += "\ndef exits():\n    raise SystemExit(1)\n"
    home = write(tmp_path, train=text)
    monkeypatch.setattr(sys, "argv", ["advbench", "attack", "--model", "train.py:net"])
    assert build_network(parse_spec(f"{home}/train.py:net"), 10)(torch.zeros(1, 1, 2, 2)).shape == (1, 3)
    with pytest.raises(ModelError, match="it ended the program"):
        build_network(parse_spec(f"{home}/train.py:exits"), 10)


def test_a_folder_beside_the_file_comes_before_a_module_of_that_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = write(tmp_path / "elsewhere", **{"models/__init__": "", "models/x": "size = 0\n"})
    monkeypatch.setattr(sys, "path", [str(elsewhere), *sys.path])
    files = {"models/__init__": "", "models/x": "size = 7\n", "f": "from models.x import size\n"}
    home = write(tmp_path / "mine", **files)
    assert load_object(f"{home}/f.py:size") == 7
    assert sys.path[0] == str(elsewhere)
    assert sys.path[-1] == str(home)


def test_two_files_each_have_their_own_neighbour(tmp_path: Path) -> None:
    late = "\ndef late():\n    import helper\n    return helper.size\n"
    homes = [
        write(tmp_path / name, helper=f"size = {size}\n", f="import helper\nsize = helper.size\n" + late)
        for name, size in (("a", 1), ("b", 2))
    ]
    assert [load_object(f"{home}/f.py:size") for home in (*homes, *homes)] == [1, 2, 1, 2]


def test_two_factories_that_import_late_each_have_their_own_neighbour(tmp_path: Path) -> None:
    text = "from torch import nn\n\ndef net():\n    import sizes\n    return nn.Linear(4, sizes.size)\n"
    homes = [write(tmp_path / str(size), sizes=f"size = {size}\n", f=text) for size in (1, 2)]
    for home in (*homes, *homes):
        network = build_network(parse_spec(f"{home}/f.py:net"), None)
        assert network(torch.zeros(1, 4)).shape[1] == int(home.name)


def test_a_file_in_a_package_may_import_relatively(tmp_path: Path) -> None:
    files = {
        "outer/__init__": "",
        "outer/inner/__init__": "",
        "outer/inner/blocks": "size = 5\n",
        "outer/shared": "more = 6\n",
        "outer/inner/net": "from .blocks import size\nfrom ..shared import more\nimport outer.shared\n",
    }
    home = write(tmp_path, **files)
    assert load_object(f"{home}/outer/inner/net.py:size") == 5
    assert load_object(f"{home}/outer/inner/net.py:more") == 6


def test_a_module_of_the_current_folder_comes_before_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = write(tmp_path / "elsewhere", nets="size = 0\n")
    monkeypatch.setattr(sys, "path", [str(elsewhere), *sys.path])
    monkeypatch.chdir(write(tmp_path / "mine", nets="size = 7\n"))
    assert load_object("nets:size") == 7


FAILURES = {
    "at import": ("f", "x = 1\ny = x / 0\n", "ZeroDivisionError: division by zero (f.py, line 2)"),
    "in a neighbour": ("f", "import g\n", "ZeroDivisionError: division by zero (g.py, line 1)"),
    "no Python": ("f", "x = 1\ndef (:\n", "(f.py, line 2)"),
    "no such module": ("f", "import torch\nimport no_such_module_here\n", "(f.py, line 2)"),
}


@pytest.mark.parametrize(("name", "text", "expected"), FAILURES.values(), ids=FAILURES.keys())
def test_an_error_at_import_names_the_users_line(name: str, text: str, expected: str, tmp_path: Path) -> None:
    home = write(tmp_path, g="1 / 0\n", **{name: text})
    with pytest.raises(AdvbenchError) as caught:
        load_object(f"{home}/{name}.py:net")
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_errors_of_a_factory_and_of_a_network_name_the_users_line(tmp_path: Path) -> None:
    text = (
        "from torch import nn\n\nclass Net(nn.Module):\n    def forward(self, x):\n"
        "        return x.reshape(7)\n\ndef fails():\n    raise KeyError('a')\n"
    )
    home = write(tmp_path, f=text)
    with pytest.raises(ModelError, match=r"KeyError: 'a' \(f.py, line 8\)"):
        build_network(parse_spec(f"{home}/f.py:fails"), None)
    network = build_network(parse_spec(f"{home}/f.py:Net"), None)
    with pytest.raises(ModelError, match=r"cannot take images of shape \(1, 2, 2\): .* \(f.py, line 5\)"):
        checked_logits(network, torch.rand(2, 1, 2, 2), torch.zeros(2, dtype=torch.int64))


def test_what_is_not_installed_is_told_without_pythons_own_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError) as refused:
        load_object("surely_not_installed.models:create")
    assert str(refused.value) == (
        "importing 'surely_not_installed.models' failed: ModuleNotFoundError: No module named "
        "'surely_not_installed'"
    )
