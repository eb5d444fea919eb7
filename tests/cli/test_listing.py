"""`advbench list`: every name, and defaults that can be read and given back."""

from collections.abc import Mapping

import pytest
import torchvision.models

from advbench import cli
from advbench.attacks import ATTACKS
from advbench.cli.listing import short
from advbench.data.registry import DATASETS
from advbench.defenses import DEFENSES, ResizePad
from advbench.models.registry import MODELS
from advbench.names.grammar import parse_number
from advbench.names.registry import Entry


@pytest.mark.parametrize(
    ("what", "names"),
    [("attacks", ATTACKS), ("defenses", DEFENSES), ("models", MODELS), ("datasets", DATASETS)],
)
def test_list_prints_every_name(
    what: str, names: Mapping[str, Entry], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["list", what]) == 0
    first_words = {line.split()[0] for line in capsys.readouterr().out.splitlines() if line.strip()}
    also = torchvision.models.list_models(module=torchvision.models) if what == "models" else []
    assert {*names, *also} - first_words == set()


def test_list_writes_long_numbers_as_fractions_that_read_back(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["list", "defenses"]) == 0
    listed = capsys.readouterr().out
    assert "search=11, patch=3, strength=4/255 " in listed
    assert "ratio=331/299, keep=False " in listed
    assert "drop=0.5, weight=0.03, steps=60 " in listed
    assert parse_number("331/299", "ratio") == ResizePad().ratio


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (0.1, "0.1"),
        (1.0, "1.0"),
        (4 / 255, "4/255"),
        (17 / 255, "17/255"),
        (1 / 3, "1/3"),
        (2**0.5, str(2**0.5)),
    ],
)
def test_a_default_is_written_as_a_person_would(number: float, words: str) -> None:
    assert short(number) == words


def test_list_alone_says_what_can_be_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines == [f"advbench list {kind}" for kind in ("attacks", "defenses", "models", "datasets")]
    assert all(cli.main(line.split()[1:]) == 0 for line in lines)
