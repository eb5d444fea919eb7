"""Every bad input: one line on stderr that says what to do, exit code 2, and nothing written."""

import os
import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import numpy as np
import pytest
import torch

from advbench.cli import main
from advbench.models.lenet5 import LeNet5
from advbench.models.network import WEIGHTS

WEIGHTS_FILE: Final = WEIGHTS / "digits-cnn.safetensors"

MODELS: Final = '''
import torch
from torch import nn


class Answer(nn.Module):
    """Answers whatever a function makes of its logits."""

    def __init__(self, change, classes=10):
        super().__init__()
        self.linear = nn.Linear(64, classes)
        self.unused = nn.Identity()
        self.change = change

    def forward(self, x):
        return self.change(self.linear(x.flatten(1)))


def plain():
    return Answer(lambda logits: logits)


def spatial():
    return Answer(lambda logits: logits[:, :, None, None])


def short():
    return Answer(lambda logits: logits[:1])


def pair():
    return Answer(lambda logits: ("logits", logits))


def labels():
    return Answer(lambda logits: logits.argmax(1, keepdim=True))


def nan():
    return Answer(lambda logits: logits * torch.nan)


def nan_weights():
    model = Answer(lambda logits: logits)
    nn.init.constant_(model.linear.weight, torch.nan)
    return model


def few():
    return Answer(lambda logits: logits, classes=3)


def number():
    return 7


def broken():
    raise ZeroDivisionError("no model today")
'''


class Bomb:
    """Pickles as an order to make a folder called `marker` where it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, ("marker",)


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each command runs in an empty folder, which must stay as it was."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with every file that the cases name."""
    folder = tmp_path_factory.mktemp("given")
    state = LeNet5().state_dict()
    torch.save(state, folder / "lenet5.pt")
    torch.save(state, folder / "legacy.pt", _use_new_zipfile_serialization=False)
    torch.save({"epoch": 3, "accuracy": 0.5}, folder / "no-weights.pt")
    torch.save({"state_dict": state, "extra": Bomb()}, folder / "code.pt")
    for protocol in (2, 4):
        order = pickle.dumps({"state_dict": Bomb()}, protocol=protocol)
        (folder / f"code-{protocol}.pkl").write_bytes(order)
    (folder / "empty.pt").touch()
    (folder / "text.pt").write_text("not a checkpoint\n")
    for whole in (folder / "lenet5.pt", folder / "legacy.pt", WEIGHTS_FILE):
        contents = whole.read_bytes()
        (folder / f"half-{whole.name}").write_bytes(contents[: len(contents) // 2])
    np.savez(folder / "archive.npz", z=np.zeros(1))
    (folder / "bad_models.py").write_text(MODELS)
    y = np.arange(10)
    np.savez(folder / "large.npz", x=np.zeros((10, 28, 28), np.uint8), y=y)
    np.savez(folder / "bright.npz", x=np.full((10, 8, 8), 16.0, np.float32), y=y)
    np.savez(folder / "below.npz", x=np.zeros((10, 8, 8), np.uint8), y=np.where(y == 0, -1, y))
    np.savez(folder / "endless.npz", x=np.zeros((2, 8, 8), np.uint8), y=np.array([2**63, 0], np.uint64))
    np.savez(folder / "objects.npz", x=np.array([{}] * 10), y=y)
    (folder / "bad_import.py").write_text("import no_such_module_at_all\n")
    return folder


OWN: Final = "--dataset digits --model {given}/bad_models.py"
FILE: Final = "--model digits-cnn --checkpoint {given}"
NPZ: Final = "--dataset npz --model digits-cnn --data-root {given}"

# What is wrong: the words of `advbench attack`, and what the message must say.
NAMES: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "an unknown defense": ("--defense roud", ("'roud'", "'round'")),
    "an unknown defense in a chain": ("--defense round+bit-deph", ("'bit-deph'", "'bit-depth'")),
    "an unknown attack": ("--attack pdg", ("'pdg'", "'pgd'")),
    "an unknown model": ("--model lenet --dataset digits", ("'lenet'", "'lenet5'")),
    "an unknown torchvision model": ("--model resnt50 --dataset digits", ("'resnt50'", "'resnet50'")),
    "an unknown dataset": ("--dataset digit", ("'digit'", "'digits'")),
    "an unknown module": ("--defense round@layer22", ("'layer22'", "'layer2'")),
    "a module that never runs": (f"{OWN}:plain --defense round@unused", ("'unused'", "never called")),
    "an unknown option": ("--defence round", ("--defence", "--defense")),
    "an unknown norm": ("--norm linff", ("linff", "linf", "l2")),
    "an unknown format": ("--format csv,pdf", ("'pdf'", "csv, markdown, latex, json, html")),
    "an unknown split": ("--split validation", ("train, test", "'validation'")),
    "an unknown factory": (f"{OWN}:spatia", ("'spatia'", "'spatial'")),
    "a factory in no file": ("--dataset digits --model nowhere.py:make", ("no file 'nowhere.py'",)),
    "a factory in no module": ("--dataset digits --model nowhere.at:make", ("nowhere",)),
    "a module that fails": ("--dataset digits --model {given}/bad_import.py:make", ("no_such_module",)),
    "an attack with a place": ("--attack pgd@layer2", ("an attack has no place",)),
    "a defense twice": ("--defense round --defense round", ("'round'", "twice")),
}
NUMBERS: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "no bits": ("--defense bit-depth:bits=0", ("bits", "1..16", "got 0")),
    "too many bits": ("--defense bit-depth:bits=17", ("bits", "1..16", "got 17")),
    "bits that are no number": ("--defense bit-depth:bits=abc", ("bits", "whole number", "'abc'")),
    "bits without a value": ("--defense bit-depth:bits=", ("key=value",)),
    "an unknown parameter": ("--defense bit-depth:bit=3", ("'bit'", "'bits'")),
    "a parameter of another defense": ("--defense round:bits=3", ("'bits'", "step")),
    "an unknown parameter of no defense": ("--defense none:bits=3", ("'none'", "without parameters")),
    "a step of zero": ("--defense round:step=0", ("step", "positive", "got 0")),
    "a step that is not a number": ("--defense round:step=nan", ("step", "'nan'")),
    "an unknown parameter of an attack": ("--attack pgd:step=3", ("'step'", "'steps'")),
    "an unknown loss": ("--attack pgd:loss=hinge", ("loss", "ce", "'hinge'")),
    "an eps of zero": ("--eps 0", ("eps", "(0, 1]", "got 0")),
    "a negative eps": ("--eps -1", ("eps", "(0, 1]", "got -1")),
    "an eps in words": ("--eps abc", ("eps", "8/255", "'abc'")),
    "an eps of 8": ("--eps 8", ("eps", "got 8", "Did you mean 8/255?")),
    "an eps over zero": ("--eps 1/0", ("eps", "'1/0'")),
    "an eps that is no number": ("--eps nan", ("eps", "'nan'")),
    "an infinite eps below zero": ("--norm l2 --eps=-inf", ("eps", "'-inf'")),
    "an eps of nothing": ("--eps= --first 4", ("eps", "''")),
    "no steps": ("--steps 0", ("--steps", "1")),
    "no steps in the attack": ("--attack pgd:steps=0", ("steps", "at least 1")),
    "half a step": ("--steps 1.5", ("--steps", "integer")),
    "a folder without a name": ("--out= --first 4", ("--out", "path")),
    "a data folder without a name": ("--data-root= --first 4", ("--data-root", "path")),
    "a step size of zero": ("--step-size 0", ("step_size", "positive")),
    "a step size in words": ("--step-size big", ("step_size", "'big'")),
    "a batch of nothing": ("--batch-size 0", ("--batch-size", "1")),
    "a seed of twenty digits": (
        "--seed 12345678901234567890",
        ("--seed", "from 0 to 9,223,372"),
    ),
    "steps of twenty digits": ("--steps 12345678901234567890", ("--steps", "from 1 to 1,000,000,000")),
    "restarts without end": ("--restarts 11111111111111111111", ("--restarts", "from 1 to 1,000,000,000")),
    "images of twenty digits": ("--first 12345678901234567890", ("--first", "from 1 to 1,000,000,000")),
    "queries of twenty digits": ("--attack square:queries=99999999999999999999", ("queries", "2^63")),
    "a negative seed": ("--seed -1 --limit 4", ("--seed", "0")),
    "a limit and a first": ("--limit 4 --first 4", ("--limit", "--first", "not both")),
    "a mean without a std": ("--mean 0.5", ("--mean", "--std", "together")),
    "a std of zero": ("--mean 0.5 --std 0", ("std",)),
    "a mean for other channels": ("--mean 0,0,0 --std 1,1,1", ("3", "1")),
    "a mean and a std that differ": ("--mean 0,0 --std 1", ("mean", "std")),
}
FILES: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "a missing file": (f"{FILE}/none.pt", ("there is no checkpoint", "none.pt")),
    "a folder for a file": (FILE, ("is not a file",)),
    "an empty file": (f"{FILE}/empty.pt", ("empty.pt is empty",)),
    "half an archive": (f"{FILE}/half-lenet5.pt", ("truncated or damaged",)),
    "half an old file": (f"{FILE}/half-legacy.pt", ("truncated or damaged",)),
    "half a safetensors file": (f"{FILE}/half-digits-cnn.safetensors", ("truncated or damaged",)),
    "a text file": (f"{FILE}/text.pt", ("text.pt is not a checkpoint",)),
    "another archive": (f"{FILE}/archive.npz", ("archive of NumPy arrays", "state dict")),
    "a file without weights": (f"{FILE}/no-weights.pt", ("no state dict", "epoch")),
    "an archive that wants to run code": (f"{FILE}/code.pt", ("mkdir", "not run")),
    "a pickle that wants to run code": (f"{FILE}/code-2.pkl", ("mkdir", "not run")),
    "a newer pickle that wants to run code": (
        f"{FILE}/code-4.pkl",
        ("code-4.pkl", "mkdir", "not run"),
    ),
    "weights of another model": (f"{FILE}/lenet5.pt", ("missing", "unexpected", "'lenet5'")),
    "weights without a model": ("--checkpoint {given}/lenet5.pt --dataset digits", ("--model",)),
    "a model without a dataset": ("--model lenet5", ("--dataset",)),
    "a model without weights": ("--model lenet5 --dataset digits", ("'lenet5'", "--checkpoint")),
    "a dataset in no folder": (
        "--model lenet5 --dataset mnist --data-root {given}/none",
        ("'mnist'", "/none", "MNIST/raw", "--data-root"),
    ),
    "a dataset in another folder": (
        "--model lenet5 --dataset mnist --data-root {given}",
        ("MNIST", "--download"),
    ),
}
MODELS_AND_IMAGES: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "logits with too many sizes": (f"{OWN}:spatial --batch-size 128", ("(128, classes)", "(128, 10, 1, 1)")),
    "logits of too few images": (f"{OWN}:short --batch-size 128", ("(128, classes)", "(1, 10)")),
    "a pair without logits first": (
        f"{OWN}:pair",
        ("must return logits", "tuple", "Return its logits alone"),
    ),
    "labels for logits": (f"{OWN}:labels", ("must return logits", "int64")),
    "logits that are not numbers": (f"{OWN}:nan --batch-size 128", ("NaN", "128 of 128")),
    "weights that are not numbers": (f"{OWN}:nan_weights", ("NaN", "'linear'")),
    "too few classes": (f"{OWN}:few", ("3 classes", "cannot hold label 9")),
    "a factory that makes no module": (f"{OWN}:number", ("torch.nn.Module", "int")),
    "a factory that fails": (f"{OWN}:broken", ("ZeroDivisionError", "no model today")),
    "images of another shape": (f"{NPZ}/large.npz", ("(1, 28, 28)", "the model cannot take images")),
    "pixels beyond the box": (f"{NPZ}/bright.npz", ("[0, 1]", "16")),
    "labels that are no classes": (f"{NPZ}/endless.npz", ("y must hold", "9223372036854775808")),
    "labels below zero": (f"{NPZ}/below.npz", ("labels", "-1")),
    "objects for images": (f"{NPZ}/objects.npz", ("objects.npz", "pickled objects")),
    "an archive without images": (f"{NPZ}/archive.npz", ("arrays x and y", "z")),
    "no archive": (f"{NPZ}/none.npz", ("none.npz",)),
    "an unknown device": ("--device gpu", ("--device gpu", "auto, cpu, cuda")),
    "a device without memory": ("--device meta", ("--device meta", "auto, cpu, cuda")),
}
CASES: Final = {**NAMES, **NUMBERS, **FILES, **MODELS_AND_IMAGES}


def contents(folder: Path) -> dict[str, bytes | None]:
    """Every file and folder inside a folder, with what it holds."""
    return {
        str(each.relative_to(folder)): each.read_bytes() if each.is_file() else None
        for each in sorted(folder.rglob("*"))
    }


def assert_refused(words: list[str], expected: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    before = contents(Path.cwd())
    code = main(words)
    out, err = capsys.readouterr()
    assert code == 2, err
    assert err.startswith("advbench: error: ")
    assert err.count("\n") == 1
    assert err.endswith("\n")
    assert "Traceback" not in err
    assert re.search(r"[^.?!] See '", err) is None, err  # two sentences
    assert [each for each in expected if each not in err] == [], err
    assert out == ""
    assert contents(Path.cwd()) == before


@pytest.mark.parametrize(("words", "expected"), CASES.values(), ids=CASES.keys())
def test_bad_input_is_refused_in_one_line_and_nothing_is_written(
    words: str,
    expected: tuple[str, ...],
    given: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert_refused(["attack", *words.format(given=given).split()], expected, capsys)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["atack"], ("atack", "attack")),
        (["list", "atacks"], ("atacks", "attacks")),
        (["attack", "round"], ("round", "advbench attack --help")),
    ],
    ids=["command", "list", "argument"],
)
def test_an_unknown_command_or_argument_is_refused(
    words: list[str], expected: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert_refused(words, expected, capsys)


@pytest.mark.parametrize("words", ["verify {name}", "attack --dataset npz --data-root {name}"])
def test_a_name_that_is_too_long_for_a_file_is_refused(
    words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert_refused(words.format(name="n" * 300).split(), ("no name that a file can have",), capsys)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("run", ("already holds another run", "--overwrite")),
        ("file", ("is not a folder",)),
        ("file/in", ("file",)),
    ],
)
def test_a_folder_that_cannot_take_a_run_is_refused_and_left_alone(
    name: str,
    expected: tuple[str, ...],
    capsys: pytest.CaptureFixture[str],
) -> None:
    Path("file").write_text("mine")
    Path("run").mkdir()
    Path("run/run.json").write_text("{}")
    assert_refused(["attack", "--first", "4", "--out", name], expected, capsys)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_device_that_is_not_there_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert_refused(["attack", "--device", "cuda"], ("--device cuda", "cannot be used"), capsys)


def test_mnist_without_a_checkpoint_is_refused(shared: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["attack", "--model", "lenet5", "--dataset", "mnist", "--data-root", str(shared / "data/mnist")]
    assert_refused(words, ("'lenet5'", "without weights", "--checkpoint"), capsys)


def test_a_target_that_is_no_class_is_refused_at_the_first_batch_and_leaves_nothing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Only the model knows how many classes it has, so the run has been announced by then."""
    assert main(["attack", "--attack", "pgd:target=10", "--first", "4"]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error == "advbench: error: pgd: target must be a class below 10, got 10."
    assert set(contents(Path.cwd())) <= {"runs"}


def test_a_message_that_repeats_a_long_name_is_cut_in_its_middle(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["attack", "--defense", "n" * 50_000 + "end"]) == 2
    line = capsys.readouterr().err
    assert line.startswith("advbench: error: there is no defense called 'nnn")
    assert "n [...] n" in line
    assert len(line) < 4100


@pytest.mark.parametrize(
    "words", ["report circle", "verify circle", "sweep circle", "attack --checkpoint circle"]
)
def test_links_in_a_circle_are_bad_input(
    words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "circle").symlink_to("circle")
    assert main([*words.split(), *(["--baseline", "circle"] if "report" in words else [])]) == 2
    assert "a fault of advbench" not in capsys.readouterr().err
