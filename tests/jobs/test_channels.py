"""Grey pictures and networks with one channel, by the command."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from advbench import cli
from advbench.data.class_names import ClassNames
from advbench.data.images import LabelledImages
from advbench.data.labelled_pictures import LabelledPictures
from advbench.data.load import load_dataset
from advbench.data.sources import Place
from advbench.defended.normalized import Normalized
from advbench.errors import DatasetError
from advbench.jobs.channels import channels_of, fitted
from tests.hostile import refusal

Errors = Callable[[str], str]
CNN = "--model digits-cnn --dataset imagefolder --data-root pictures"


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Errors:
    """The line that refuses a command, nothing written."""

    def refused(words: str) -> str:
        line = refusal(words.split(), lambda: capsys.readouterr().err)
        assert not Path("runs").exists()
        return line

    return refused


def write_digits(root: str, split: str = "test", *, depth: int = 8, count: int = 40) -> Tensor:
    """The first digits of a split as a folder of grey PNG; returns their pixels in the folder's order."""
    digits = load_dataset("digits", Place(root=Path(), split=split))
    white, dtype = (255, np.uint8) if depth == 8 else (65535, np.uint16)
    pixels: list[tuple[str, Tensor]] = []
    for index in range(count):
        x, label = digits[index]
        path = Path(root) / str(int(label)) / f"{index:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        levels = (x[0] * white).round()
        Image.fromarray(levels.numpy().astype(dtype)).save(path)
        pixels.append((str(path), levels / white))
    return torch.stack([x for _, x in sorted(pixels)])[:, None]


def settings(run: str = "run") -> dict[str, object]:
    found: dict[str, object] = json.loads((Path(run) / "run.json").read_text())["settings"]
    return found


def attack(words: str) -> list[dict[str, object]]:
    """The rows of a run's table."""
    assert cli.main([*f"attack {words} --steps 2 --out run --overwrite --format json --quiet".split()]) == 0
    rows: list[dict[str, object]] = json.loads(Path("run/table.json").read_text())
    return rows


@pytest.mark.parametrize("depth", [8, 16])
def test_grey_pictures_are_read_in_one_channel_for_a_network_with_one(
    depth: int, capsys: pytest.CaptureFixture[str]
) -> None:
    pixels = write_digits("pictures", depth=depth)
    words = "attack --steps 2 --out run --save-adversarial --eps 0.15"
    assert cli.main(f"{words} {CNN}".split()) == 0
    assert "40 grey images of imagefolder" in capsys.readouterr().err
    assert settings()["channels"] == 1
    folder = load_dataset("imagefolder", Place(root=Path("pictures"), split="test", channels=1))
    assert torch.allclose(torch.stack([folder[i][0] for i in range(40)]), pixels, atol=1e-7, rtol=0)
    table = Path("run/table.csv").read_text()
    np.savez("test.npz", x=pixels.numpy(), y=folder.labels)
    assert cli.main(f"{words} --overwrite --model digits-cnn --dataset npz --data-root test.npz".split()) == 0
    same = Path("run/table.csv").read_text()
    assert table.splitlines()[0] == same.splitlines()[0]
    assert (
        table.replace("imagefolder", "npz").splitlines()[1].split(",")[:9]
        == same.splitlines()[1].split(",")[:9]
    )


def test_a_run_of_grey_pictures_is_verified_and_its_page_drawn(capsys: pytest.CaptureFixture[str]) -> None:
    write_digits("pictures")
    words = "attack --steps 2 --out run --save-adversarial --eps 0.15 --format html,csv"
    assert cli.main(f"{words} {CNN}".split()) == 0
    assert "data:image/png" in Path("run/report.html").read_text()
    assert cli.main(["verify", "run"]) == 0
    assert "WRONG" not in capsys.readouterr().out


def test_a_file_of_class_names_leaves_the_pictures_grey() -> None:
    write_digits("pictures")
    Path("names.txt").write_text("".join(f"{each}\n" for each in range(10)))
    plain, named = (
        attack(f"{CNN} --steps 3 --no-random-start {words}")[0] for words in ("", "--classes names.txt")
    )
    assert {**plain, "run": "", "command": ""} == {**named, "run": "", "command": ""}
    place = Place(
        root=Path("pictures"), split="test", names=ClassNames((*((str(n), 9 - n) for n in range(10)),), 10)
    )
    images = load_dataset("imagefolder", place)
    assert isinstance(images.images, LabelledPictures)
    assert images[0][1] == images.labels[0] == 9
    assert images.name_of(0).startswith("pictures/0/")


def test_the_user_says_how_many_channels_there_are(refused: Errors) -> None:
    write_digits("pictures")
    Image.new("RGB", (8, 8), (200, 30, 30)).save("pictures/1/colour.png")
    assert attack(f"{CNN} --channels 1")[0]["n"] == 41
    assert settings()["channels"] == 1
    assert "cannot take images of shape (3, 8, 8)" in refused(f"attack {CNN} --channels 3")
    assert "--channels must be 1 (grey) or 3 (RGB), got 2." in refused(f"attack {CNN} --channels 2")


@pytest.mark.parametrize("dataset", ["digits", "npz", "mnist", "cifar10", "svhn"])
def test_only_pictures_have_channels_to_choose(dataset: str, refused: Errors) -> None:
    words = f"attack --model digits-cnn --dataset {dataset} --data-root . --channels 1"
    assert "its images have the channels that they have; leave --channels away." in refused(words)


def test_a_picture_in_colour_among_grey_ones_is_refused_by_its_path(refused: Errors) -> None:
    write_digits("pictures")
    Image.new("RGB", (8, 8), (200, 30, 30)).save("pictures/1/colour.png")
    line = refused(f"attack {CNN}")
    assert "image pictures/1/colour.png is in colour" in line
    assert "Give --channels 1 to make them all grey." in line


def test_pictures_in_colour_are_not_made_grey_unasked(refused: Errors) -> None:
    write_digits("pictures")
    Image.new("RGB", (8, 8), (200, 30, 30)).save("pictures/0/000-colour.png")
    line = refused(f"attack {CNN}")
    assert "the network takes one channel, and image pictures/0/000-colour.png is in colour." in line
    assert "Give --channels 1 to make the pictures grey." in line


def test_a_normalisation_of_three_channels_is_refused_with_what_to_give(refused: Errors) -> None:
    write_digits("pictures")
    line = refused(f"attack {CNN} --mean 0.5,0.5,0.5 --std 1,1,1")
    assert "mean and std are for 3 channels, the images have 1. " in line
    assert "Give --mean and --std with one number a channel, or one for all." in line


def test_a_training_reads_grey_pictures_in_one_channel_for_a_network_with_one() -> None:
    for split in ("train", "test"):
        write_digits(f"pictures/{split}", split)
    words = "--epochs 1 --lr 0.001 --batch-size 16 --held-out 4 --out run --quiet"
    assert cli.main(f"finetune {CNN} {words}".split()) == 0
    assert settings()["channels"] == 1


@pytest.mark.parametrize("workers", [0, 1])
def test_a_training_picture_that_cannot_be_read_is_named_in_one_line(
    workers: int, capsys: pytest.CaptureFixture[str]
) -> None:
    for split in ("train", "test"):
        write_digits(f"pictures/{split}", split)
    damaged = Path("pictures/train/0/damaged.png")
    damaged.write_bytes(b"no picture")
    words = f"--epochs 1 --held-out 0 --out run --quiet --workers {workers}"
    line = refusal(f"finetune {CNN} {words}".split(), lambda: capsys.readouterr().err)
    assert f"image {damaged} is damaged or in a format that is not read." in line


class Global(nn.Module):
    """A classifier of pictures in either number of channels."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean((1, 2, 3))[:, None] * torch.arange(3.0)


def one_channel() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.AdaptiveAvgPool2d(1), nn.Flatten())


def flat(channels: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(channels * 64, 3))


NETWORKS: dict[str, tuple[Callable[[], nn.Module], int]] = {
    "a convolution of one channel": (one_channel, 1),
    "behind a normalisation of three": (lambda: Normalized(one_channel(), (0.4, 0.5, 0.6), (1, 1, 1)), 1),
    "no convolution, one channel": (lambda: flat(1), 1),
    "no convolution, three channels": (lambda: flat(3), 3),
    "a convolution of three channels": (lambda: nn.Sequential(nn.Conv2d(3, 4, 8), nn.Flatten()), 3),
    "either": (Global, 3),
    "neither": (lambda: flat(7), 3),
}


def opened(channels: int | None = None) -> LabelledImages:
    return load_dataset("imagefolder", Place(root=Path("pictures"), split="test", channels=channels))


@pytest.mark.parametrize(("build", "channels"), NETWORKS.values(), ids=NETWORKS.keys())
def test_grey_pictures_have_three_channels_unless_the_network_takes_one_alone(
    build: Callable[[], nn.Module], channels: int
) -> None:
    write_digits("pictures", count=9)
    model = build().train()
    before = {name: each.clone() for name, each in model.state_dict().items()}
    images = fitted(opened(), [2, 5], model)
    assert channels_of(images) == (1 if channels == 1 else None)
    assert images[0][0].shape == (channels, 8, 8)
    assert model.training
    assert all(torch.equal(each, before[name]) for name, each in model.state_dict().items())
    for given in (1, 3):
        assert fitted(opened(given), [2, 5], model)[0][0].shape == (given, 8, 8)


def test_a_data_set_that_is_no_folder_of_pictures_stays_as_it_is() -> None:
    digits = load_dataset("digits", Place(root=Path(), split="test"))
    assert fitted(digits, [0], one_channel()) is digits
    assert channels_of(digits) is None


def test_a_first_picture_that_cannot_be_opened_is_named() -> None:
    write_digits("pictures", count=9)
    folder = opened().images
    assert isinstance(folder, LabelledPictures)
    Path(folder.name_of(0)).write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(40))
    with pytest.raises(DatasetError, match=folder.name_of(0)):
        fitted(opened(), [0], one_channel())
