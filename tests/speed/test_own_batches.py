"""Networks that take one number of images alone are understood, judged and verified like any other."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from advbench.cli import main
from advbench.speed.batch_size import filled_up, own_size

Command = Callable[[str], tuple[int, str, str]]

OWN = """
from torch import nn

from advbench.models.network import bundled_weights
from advbench.models.digits_cnn import DigitsCNN
from advbench.names.grammar import parse_spec
import safetensors.torch


class Rigid(nn.Module):
    def __init__(self, count, shift, pair):
        super().__init__()
        self.count, self.shift, self.pair = count, shift, pair
        self.inner = DigitsCNN()
        self.inner.load_state_dict(safetensors.torch.load_file(bundled_weights(parse_spec("digits-cnn"))))

    def forward(self, x):
        x = (0.5 * x + 0.5).reshape(self.count, 1, 8, 8)
        logits = self.inner(x).roll(self.shift, 1)
        return (logits, x) if self.pair else logits


def rigid(count=25, shift=0, pair=False):
    return Rigid(count, shift, pair)
"""
WORDS = "--dataset digits --limit 30 --steps 2 --batch-size 25 --out run"


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    monkeypatch.chdir(tmp_path)
    Path("own.py").write_text(OWN)

    def run(words: str) -> tuple[int, str, str]:
        capsys.readouterr()
        return main(words.split()), *capsys.readouterr()

    return run


@pytest.mark.parametrize("model", ["rigid", "rigid:pair=true", "rigid:count=1"])
def test_their_normalisation_is_measured_and_their_examples_verified(model: str, command: Command) -> None:
    code, table, _ = command(f"attack --model own.py:{model} {WORDS} --save-adversarial")
    assert code == 0
    assert "normalisation half" in table
    assert "30/30" in table
    assert ("its first element is taken" in table.replace("\n", " ")) == ("pair" in model)
    code, checks, errors = command(f"verify run --model own.py:{model}")
    assert (code, errors) == (0, "")
    assert "30 examples in ball and box, predicted as recorded" in checks


@pytest.mark.parametrize("words", ["", "--normalization half"])
def test_their_order_of_classes_is_seen(words: str, command: Command) -> None:
    code, _, errors = command(f"attack --model own.py:rigid:shift=1 {WORDS} {words}")
    assert code == 2
    assert "where they are shifted by 1, the last ones to the front" in errors
    assert not Path("run").exists()


class Rigid(nn.Module):
    def __init__(self, count: int, *, pair: bool) -> None:
        super().__init__()
        self.count = count
        self.pair = pair

    def forward(self, x: Tensor) -> object:
        logits = x.reshape(self.count, 4)
        return (logits,) if self.pair else logits


@pytest.mark.parametrize("pair", [False, True])
@pytest.mark.parametrize(
    ("count", "wanted", "found"),
    [(1, "auto", 1), (3, 3, 3), (8, "auto", 8), (25, 25, 25), (25, "auto", 0), (-1, 25, 0)],
)
def test_the_number_is_found(count: int, wanted: int | str, found: int, *, pair: bool) -> None:
    assert own_size(Rigid(count, pair=pair), torch.rand(1, 1, 2, 2), wanted) == found


@pytest.mark.parametrize("count", [1, 2, 25, 26, 60])
def test_any_number_of_images_is_filled_up(count: int) -> None:
    x = torch.rand(count, 1, 2, 2)
    assert torch.equal(filled_up(Rigid(25, pair=False), 25)(x), x.flatten(1))
