"""Models of timm: logits are those of timm's own pipeline."""

import importlib
import json
from pathlib import Path

import pytest
import torch

from advbench import load_data, load_model
from advbench.errors import AdvbenchError, SpecError
from advbench.models.libraries import describe_model
from advbench.models.preparation import sized
from advbench.names.grammar import parse_spec
from tests.library_models import LABELS, picture, pictures, timm_folder, timm_or_skip

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")


@pytest.mark.parametrize("interpolation", ["bicubic", "bilinear"])
@pytest.mark.parametrize("mode", ["center", "squash", "border"])
def test_logits_are_those_of_timms_own_transform_and_model(
    tmp_path: Path, mode: str, interpolation: str
) -> None:
    network = timm_folder(tmp_path / "net", crop_mode=mode, interpolation=interpolation)
    data = importlib.import_module("timm.data")
    config = json.loads((tmp_path / "net" / "config.json").read_text())["pretrained_cfg"]
    settings = data.resolve_data_config({}, pretrained_cfg=config)
    transform = data.create_transform(**settings, is_training=False)
    root = pictures(tmp_path / "pics")
    picture().save(root / "cat" / "0.png")
    model = load_model(f"timm:{tmp_path / 'net'}", data="imagefolder", data_root=root, first=1)
    x, _ = load_data("imagefolder", data_root=root)[0]
    preparation = describe_model(parse_spec(f"timm:{tmp_path / 'net'}")).preparation
    with torch.no_grad():
        theirs = network(transform(picture())[None])
        ours = model(sized(preparation, x)[None])
    assert torch.allclose(ours, theirs, atol=1e-6, rtol=1e-5)


def test_labels_and_preprocessing_are_those_of_the_folder(tmp_path: Path) -> None:
    timm_folder(tmp_path / "net", crop_pct=None)
    described = describe_model(parse_spec(f"timm:{tmp_path / 'net'}"))
    assert described.labels == tuple((label, number) for number, label in enumerate(LABELS))
    assert described.outputs == 3
    assert described.preparation.normalization.mean == (0.5, 0.4, 0.3)
    assert described.preparation.defaults == ("crop_pct",)
    assert described.preparation.config["interpolation"] == "bicubic"
    assert described.weights == tmp_path / "net" / "model.safetensors"


def test_a_name_that_timm_knows_has_imagenets_synsets(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    timm_or_skip()
    constants = importlib.import_module("huggingface_hub.constants")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    described = describe_model(parse_spec("timm:resnet18.a1_in1k"))
    assert described.labels[0] == ("n01440764", 0)
    assert described.preparation.config["crop_pct"] == 0.95
    assert described.weights is None
    assert f"is not in the cache {tmp_path}" in described.missing
    assert "add --download to fetch them" in described.missing
    small = describe_model(
        parse_spec("timm:vit_tiny_patch16_224:img_size=32,num_classes=4"), own_weights=False
    )
    assert small.preparation.config["input_size"] == [3, 32, 32]
    assert small.build(9)(torch.zeros(1, 3, 32, 32)).shape == (1, 4)


REFUSED = [
    ("timm:resnet19d", r"timm has no model called 'resnet19d'\. Did you mean 'resnet1"),
    ("timm:resnet18.zzz", r"Invalid pretrained tag \(zzz\) for resnet18\. Did you mean 'resnet18\."),
    ("timm:resnet18:pretrained=True", "has no parameter 'pretrained'"),
    ("timm:resnet18:img_size=0", "a number must be at least 1"),
    ("timm:./nowhere", r"nowhere holds no model of timm: there is no config\.json in it"),
    ("timm:./damaged", r"config\.json is damaged"),
    ("timm:./other", r"describes no model of timm: it has no architecture\. .* --model hf:\./other"),
    ("timm:./greedy", r"gives checkpoint_path to timm\.create_model, which a folder has no say in"),
]


@pytest.mark.parametrize(("name", "message"), REFUSED)
def test_what_is_no_model_of_timm_is_refused_in_a_line(
    name: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    timm_or_skip()
    monkeypatch.chdir(tmp_path)
    files = {
        "damaged": "{",
        "other": '{"model_type": "vit"}',
        "greedy": '{"architecture": "resnet18", "model_args": {"checkpoint_path": "x"}}',
    }
    for folder, text in files.items():
        Path(folder).mkdir()
        Path(folder, "config.json").write_text(text)
    with pytest.raises(AdvbenchError, match=message) as error:
        describe_model(parse_spec(name), own_weights=False)
    assert error.value.exit_code == SpecError.exit_code
    assert "\n" not in str(error.value)
