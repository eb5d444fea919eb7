"""Image classifiers of transformers: what the network is given is what its own processor gives."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from advbench.errors import InputError
from advbench.models.libraries import Described, describe_model
from advbench.models.preparation import Sized, sized
from advbench.names.grammar import parse_spec
from tests.library_models import LABELS, picture, transformers_folder, transformers_or_skip

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")


def described(folder: Path) -> Described:
    return describe_model(parse_spec(f"hf:{folder}"))


def given_to_the_network(made: Described) -> torch.Tensor:
    """The picture as it reaches the network."""
    x = torch.from_numpy(np.array(picture())).permute(2, 0, 1).float() / 255
    preparation = made.preparation
    mean, std = (torch.tensor(part).view(-1, 1, 1) for part in vars(preparation.normalization).values())
    own = (sized(preparation, x) - mean) / std
    return own.flip(0) if preparation.flipped else own


PROCESSORS: list[tuple[str, dict[str, Any]]] = [
    ("ViTImageProcessor", {"size": {"height": 32, "width": 32}}),
    ("ConvNextImageProcessor", {"size": {"shortest_edge": 32}}),
    ("EfficientNetImageProcessor", {"size": {"height": 36, "width": 36}, "do_center_crop": True}),
    (
        "EfficientNetImageProcessor",
        {"rescale_offset": True, "rescale_factor": 1 / 127.5, "include_top": False},
    ),
    ("BeitImageProcessor", {"size": {"height": 40, "width": 40}, "do_center_crop": True}),
    ("MobileViTImageProcessor", {"size": {"shortest_edge": 36}, "crop_size": {"height": 32, "width": 32}}),
    ("CLIPImageProcessor", {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}}),
    ("ViTImageProcessor", {"do_normalize": False, "size": {"height": 32, "width": 32}}),
]


@pytest.mark.parametrize(("kind", "settings"), PROCESSORS)
def test_the_network_is_given_what_its_own_processor_gives(
    tmp_path: Path, kind: str, settings: dict[str, Any]
) -> None:
    library = transformers_or_skip()
    transformers_folder(tmp_path, getattr(library, kind)(**settings))
    theirs = library.AutoImageProcessor.from_pretrained(tmp_path)(images=picture(), return_tensors="pt")
    ours = given_to_the_network(described(tmp_path))
    assert torch.allclose(ours, theirs["pixel_values"][0], atol=2e-6, rtol=1e-5)


def test_logits_are_those_of_its_own_pipeline(tmp_path: Path) -> None:
    network = transformers_folder(tmp_path)
    library = transformers_or_skip()
    made = described(tmp_path)
    assert made.load is not None
    loaded = made.load().network.eval()
    theirs = library.AutoImageProcessor.from_pretrained(tmp_path)(images=picture(), return_tensors="pt")
    with torch.no_grad():
        own = loaded(given_to_the_network(made)[None]).logits
        assert torch.allclose(own, network(**theirs).logits, atol=1e-6, rtol=1e-5)
    assert made.labels == tuple((label, number) for number, label in enumerate(LABELS))


def test_its_resize_has_a_gradient_in_image_space(tmp_path: Path) -> None:
    transformers_folder(tmp_path)
    made = Sized(nn.Identity(), described(tmp_path).preparation)
    x = (0.3 + 0.4 * torch.rand(1, 3, 60, 50)).double().requires_grad_()
    direction = torch.rand(1, 3, 32, 32).double()
    (grad,) = torch.autograd.grad((made(x) * direction).sum(), x)
    with torch.no_grad():
        step = 1e-5 * torch.randn(x.shape, dtype=torch.float64)
        slope = (((made(x + step) - made(x - step)) / 2) * direction).sum()
    assert torch.allclose((grad * step).sum(), slope, rtol=1e-6)


def test_a_processor_of_defaults_is_said_to_be_one(tmp_path: Path) -> None:
    transformers_folder(tmp_path)
    assert described(tmp_path).preparation.defaults == ()
    file = tmp_path / "preprocessor_config.json"
    values = json.loads(file.read_text())
    del values["resample"]
    file.write_text(json.dumps(values))
    assert described(tmp_path).preparation.defaults == ("resample",)
    file.unlink()
    preparation = described(tmp_path).preparation
    assert {"size", "resample", "image_mean"} <= set(preparation.defaults)
    assert preparation.config["processor"].startswith("ConvNext")


def test_half_weights_are_computed_with_in_float32_and_said_to_be(tmp_path: Path) -> None:
    network = transformers_folder(tmp_path)
    network.half().save_pretrained(tmp_path)
    load = described(tmp_path).load
    assert load is not None
    loaded = load()
    assert loaded.remarks == ("the weights are float16; they are computed with in float32",)
    assert {parameter.dtype for parameter in loaded.network.parameters()} == {torch.float32}


def test_a_pickle_is_read_as_data(tmp_path: Path) -> None:
    network = transformers_folder(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    torch.save(network.state_dict(), tmp_path / "pytorch_model.bin")
    load = described(tmp_path).load
    assert load is not None
    own = load().network.state_dict()
    assert all(torch.equal(value, own[key]) for key, value in network.state_dict().items())


def test_a_pickle_with_code_is_refused(tmp_path: Path) -> None:
    transformers_folder(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    torch.save({"a": torch.zeros(1), "b": print}, tmp_path / "pytorch_model.bin")
    load = described(tmp_path).load
    assert load is not None
    with pytest.raises(InputError):
        load()


def test_a_network_without_its_head_is_refused(tmp_path: Path) -> None:
    network = transformers_folder(tmp_path)
    network.resnet.save_pretrained(tmp_path)
    load = described(tmp_path).load
    assert load is not None
    with pytest.raises(InputError, match=r"is not the weights of ResNetForImageClassification: classifier\."):
        load()


CONFIGS = [
    ({"auto_map": {"AutoConfig": "x.C"}, "model_type": "resnet"}, r"code of its own \(auto_map\)"),
    ({"quantization_config": {}, "model_type": "resnet"}, "holds quantised weights"),
    ({"model_type": "bert"}, "is a model of the type 'bert', for which transformers has no image classifier"),
    ({"architecture": "resnet18"}, "is a model of timm: --model timm:"),
    ({"model_type": "zzz"}, "cannot be read: ValueError"),
]


@pytest.mark.parametrize(("config", "message"), CONFIGS)
def test_what_is_no_image_classifier_is_refused_in_a_line(
    config: dict[str, Any], message: str, tmp_path: Path
) -> None:
    transformers_or_skip()
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match=message) as error:
        described(tmp_path)
    assert "\n" not in str(error.value)


def test_a_folder_without_a_configuration_is_refused(tmp_path: Path) -> None:
    transformers_or_skip()
    with pytest.raises(InputError, match=r"there is no config\.json in it"):
        described(tmp_path)
    (tmp_path / "config.json").write_text("[")
    with pytest.raises(InputError, match="is damaged"):
        described(tmp_path)
