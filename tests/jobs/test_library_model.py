"""A model of timm in a run: labels, the space under attack, the record, and its verification."""

import importlib
import json
from pathlib import Path
from typing import Any

import pytest
import torch

import advbench as ab
from advbench.errors import InputError, SpecError
from advbench.jobs.library_model import of_library
from advbench.jobs.settings.run import RunSettings
from tests.library_models import pictures, timm_folder, timm_or_skip

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    timm_folder(tmp_path / "net")
    pictures(tmp_path / "pics")
    monkeypatch.chdir(tmp_path)
    return tmp_path


WORDS: dict[str, Any] = {
    "model": "timm:./net",
    "data": "imagefolder",
    "data_root": "pics",
    "attacks": "pgd:steps=2",
    "norm": "l2",
    "eps": 4,
}


def test_the_datas_classes_are_the_outputs_of_the_same_names(folder: Path) -> None:
    images = ab.load_data("imagefolder", data_root="pics", model="timm:./net")
    assert [int(label) for label in images.labels] == [1, 1, 2, 2, 0, 0]
    assert images.classes == ["fox", "cat", "dog"]


@pytest.mark.parametrize("space", ["input", "image"])
def test_a_run_in_either_space_is_recorded_and_verified(folder: Path, space: str) -> None:
    run = ab.run(**WORDS, space=space, out=folder / "run", save_adversarial=True)
    manifest = json.loads((folder / "run" / "run.json").read_text())
    settings = manifest["settings"]
    assert settings["space"] == space
    assert settings["preparation"]["crop_pct"] == 0.875
    assert settings["preparation"]["from_defaults"] == []
    assert settings["mean"] == [0.5, 0.4, 0.3]
    assert settings["class_names"]["outputs"] == {"cat": 1, "dog": 2, "fox": 0}
    assert manifest["checkpoint"]["library"].startswith("timm ")
    assert len(manifest["checkpoint"]["sha256"]) == 64
    told = [note for note in manifest["notes"] if "before its own resize and crop" in note]
    assert len(told) == (space == "image")
    assert len(run.rows) == 1
    checks = ab.verify(folder / "run")
    assert all(check.holds for check in checks), [check for check in checks if not check.holds]
    assert "preprocessing" in {check.what for check in checks}


def test_a_folder_with_another_preprocessing_is_told_by_the_verification(folder: Path) -> None:
    ab.run(**WORDS, out=folder / "run", save_adversarial=True)
    file = folder / "net" / "config.json"
    file.write_text(file.read_text().replace("bicubic", "bilinear"))
    wrong = {check.what: check.said for check in ab.verify(folder / "run") if not check.holds}
    assert wrong["preprocessing"] == "another than the run's: interpolation"
    assert "images" in wrong


def test_pixels_of_the_picture_have_the_exact_gradient(folder: Path) -> None:
    model = ab.load_model("timm:./net", data="imagefolder", data_root="pics", space="image").double()
    x = (0.3 + 0.4 * torch.rand(1, 3, 60, 50, generator=torch.Generator().manual_seed(0))).double()
    x.requires_grad_()
    (grad,) = torch.autograd.grad(model(x)[0, 0], x)
    step = 1e-6 * torch.randn(x.shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        slope = (model(x + step) - model(x - step))[0, 0] / 2
    assert torch.allclose((grad * step).sum(), slope, rtol=1e-4)


def test_labels_that_name_no_class_are_told_in_the_table(folder: Path) -> None:
    file = folder / "net" / "config.json"
    file.write_text(file.read_text().replace('"cat"', '"lynx"'))
    run = ab.run(**WORDS, out=folder / "run")
    notes = json.loads((folder / "run" / "run.json").read_text())["notes"]
    assert any("do not name the data set's classes ('cat', ...)" in note for note in notes)
    assert len(run.rows) == 1


def test_weights_that_are_not_there_are_asked_for(folder: Path) -> None:
    (folder / "net" / "model.safetensors").unlink()
    with pytest.raises(InputError, match=r"timm:\./net has no weights here: there is no model\.safetensors"):
        ab.run(**WORDS, out=folder / "run")


def test_preprocessing_that_cannot_be_followed_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = importlib.import_module("timm.data")
    own = data.create_transform

    def with_another_mean(*arguments: Any, **settings: Any) -> Any:
        return own(*arguments, **{**settings, "mean": (0.1, 0.1, 0.1)})

    monkeypatch.setattr(data, "create_transform", with_another_mean)
    with pytest.raises(InputError, match="something else than to resize, crop, rescale and normalise"):
        ab.run(**WORDS, out=folder / "run")


def test_training_it_is_refused(folder: Path) -> None:
    with pytest.raises(InputError, match="prepares its pictures itself, and is not trained here"):
        ab.finetune(model="timm:./net", dataset="imagefolder", data_root="pics")


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"image_size": 32}, "resizes and crops by itself, and --image-size would do so before it"),
    ({"channels": 1}, "takes RGB, of which grey pictures get three equal channels"),
]


@pytest.mark.parametrize(("given", "message"), REFUSED)
def test_options_that_do_not_fit_such_a_model_are_refused(given: dict[str, Any], message: str) -> None:
    timm_or_skip()
    with pytest.raises(SpecError, match=message):
        of_library(RunSettings(**given).subject, "timm:resnet10t")


def test_a_space_is_of_such_a_model_alone() -> None:
    assert of_library(RunSettings().subject, "digits-cnn") is None
    assert of_library(RunSettings().subject, None) is None
    with pytest.raises(SpecError, match=r"--space is of models with preprocessing of their own"):
        of_library(RunSettings(space="image").subject, "digits-cnn")
