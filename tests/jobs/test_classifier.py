"""A classifier from its words, or a module that is given: weights, normalisation, where they came from."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from advbench.data.images import LabelledImages
from advbench.data.load import load_dataset
from advbench.data.registry import DATASETS
from advbench.data.sources import Place
from advbench.defended.normalized import Normalized
from advbench.errors import CheckpointError, InputError, SpecError
from advbench.jobs.classifier import Classifier, load_classifier, shown_name
from advbench.jobs.own_images import images_of
from advbench.jobs.ranks import Ranks
from advbench.jobs.settings.run import RunSettings
from advbench.jobs.settings.subject import subject_of
from advbench.jobs.state_digest import state_digest
from advbench.models.network import WEIGHTS
from advbench.models.registry import PIXELS
from tests.small import Network

CPU = torch.device("cpu")
BUNDLED = WEIGHTS / "digits-cnn.safetensors"


@pytest.fixture(scope="module")
def digits() -> LabelledImages:
    return load_dataset("digits", Place(root=Path(), split="test"))


def load(
    images: LabelledImages, model: str | None = "digits-cnn", own: nn.Module | None = None, **said: Any
) -> Classifier:
    options = subject_of(RunSettings(**{key: value for key, value in said.items() if key != "untrained"}))
    if "untrained" in said:
        options = subject_of(RunSettings(seed=said.get("seed", 0)), untrained=True)
    classifier, _ = load_classifier(
        options, model, DATASETS["digits"], images, CPU, indices=[0, 1], ranks=Ranks(), own=own
    )
    return classifier


@pytest.mark.parametrize(
    ("model", "checkpoint", "name"),
    [
        ("lenet5", None, "lenet5"),
        (" my.py:make : k = 3", None, "my.py:make:k=3"),
        (None, Path("there/program.pt2"), "program"),
        (None, None, ""),
    ],
)
def test_a_model_is_called_by_its_spec_or_a_programs_file(
    model: str | None, checkpoint: Path | None, name: str
) -> None:
    assert shown_name(model, checkpoint) == name


def test_a_model_has_no_place() -> None:
    with pytest.raises(SpecError, match="a model has no place, got 'lenet5@logits'"):
        shown_name("lenet5@logits", None)


def test_a_built_in_model_brings_its_weights_and_says_so(digits: LabelledImages) -> None:
    found = load(digits)
    assert (found.name, found.normalization, found.chosen.by) == (
        "digits-cnn",
        PIXELS,
        "the model's own weights",
    )
    assert (found.head, found.all_notes, found.takes) == (None, (), 0)
    assert found.in_own_batches is found.model
    assert found.provenance["path"] is None
    assert found.provenance["source"] == "state dict"
    weights = load_file(BUNDLED)
    assert all(torch.equal(value, weights[name]) for name, value in found.model.state_dict().items())


def test_constants_that_are_given_stand_before_the_network(digits: LabelledImages) -> None:
    plain, shifted = load(digits), load(digits, mean="0.5", std="0.25")
    assert isinstance(shifted.model, Normalized)
    x = torch.rand(3, 1, 8, 8)
    with torch.no_grad():
        assert torch.allclose(shifted.model.eval()(x), plain.model.eval()((x - 0.5) / 0.25), atol=1e-5)


def test_untrained_weights_are_drawn_by_the_seed_alone(digits: LabelledImages) -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()
    one, again, other = (load(digits, untrained=True, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    assert state_digest(one.model) == state_digest(again.model) != state_digest(other.model)
    assert one.provenance["source"] == "untrained"


def test_a_checkpoint_with_another_head_keeps_it_and_the_table_says_so(
    digits: LabelledImages, tmp_path: Path
) -> None:
    weights = load_file(BUNDLED)
    head = max(name for name, value in weights.items() if value.dim() == 2 and len(value) == 10)
    bias = head.replace("weight", "bias")
    for name in (head, bias):
        weights[name] = torch.cat([weights[name], weights[name][:2]])
    save_file(weights, tmp_path / "twelve.safetensors")
    found = load(digits, checkpoint=tmp_path / "twelve.safetensors", normalization="none")
    assert found.head == 12
    assert "the checkpoint has 12 classes, the data set 10; its own head was built" in found.all_notes
    with torch.no_grad():
        assert found.model.eval()(torch.rand(2, 1, 8, 8)).shape == (2, 12)
    with pytest.raises(InputError):
        load(digits, "digits-cnn:num_classes=10", checkpoint=tmp_path / "twelve.safetensors")


def test_a_module_that_is_given_is_itself_and_takes_pixels(network: Network) -> None:
    x = torch.rand(4, 1, 4, 4)
    images = images_of((x, torch.tensor([0, 1, 2, 0])))
    before = state_digest(network)
    found = load(images, "mine", network)
    assert found.model is network
    assert state_digest(network) == before, "looks at it left nothing behind"
    assert (found.name, found.normalization) == ("mine", PIXELS)
    assert found.chosen.by == "a module given in Python takes pixels"
    assert found.provenance["class"] == "tests.small.Network"
    assert found.provenance["sha256"] == before
    assert found.looks > 0


class Tupled(nn.Module):
    """A network that returns more than its logits."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.network(x), x


def test_logits_are_taken_out_of_what_a_network_returns_and_the_table_says_so(network: Network) -> None:
    images = images_of((torch.rand(4, 1, 4, 4), torch.tensor([0, 1, 2, 0])))
    found = load(images, "mine", Tupled(network.eval()))
    x = images[0][0][None]
    with torch.no_grad():
        assert torch.equal(found.model.eval()(x), network(x))
    assert len(found.all_notes) == 1


@pytest.mark.parametrize(
    ("model", "said", "message"),
    [
        ("lenet5", {}, "model 'lenet5' comes without weights: give --checkpoint FILE."),
        ("lenet5", {"weights": "ema"}, "--weights chooses inside a checkpoint: give --checkpoint FILE."),
        ("digits-cnn", {"checkpoint": Path("none.pt")}, "there is no checkpoint none.pt"),
    ],
)
def test_weights_that_are_not_there_are_asked_for(
    model: str, said: dict[str, Any], message: str, digits: LabelledImages
) -> None:
    with pytest.raises(CheckpointError) as refused:
        load(digits, model, **said)
    assert message in str(refused.value)


class Head(nn.Module):
    """The bundled network, in half precision or with another head."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.way = way
        self.flatten = nn.Flatten()
        self.linear = nn.Linear(64, 3)

    def forward(self, x: Tensor) -> Tensor:
        z: Tensor = self.linear(self.flatten(x))
        match self.way:
            case "probabilities":
                return 20.0 * z.softmax(1) / 20.0
            case "one logit":
                return 30.0 * (z[:, :1] - z[:, :1].mean())
            case "one probability":
                return z[:, 0].sigmoid()
            case _:
                return z


@pytest.mark.parametrize(
    ("way", "half", "notes"),
    [
        ("logits", False, []),
        ("logits", True, ["the model computes in float16, as it is"]),
        ("probabilities", False, ["the model returns probabilities"]),
        ("one logit", False, ["read as the logit z of the second of two classes"]),
        (
            "one probability",
            True,
            ["read as the probability p of the second of two classes", "the model computes in float16"],
        ),
    ],
)
def test_what_a_model_returns_and_computes_in_stands_in_the_notes(
    digits: LabelledImages, way: str, half: bool, notes: list[str]
) -> None:
    network = Head(way)
    classifier = load(digits, "net", own=network.half() if half else network)
    assert len(classifier.notes) == len(notes)
    for note, expected in zip(classifier.notes, notes, strict=True):
        assert expected in note
    logits = classifier.model(torch.stack([digits[index][0] for index in range(3)]))
    assert logits.dtype == torch.float32
    assert logits.shape == (3, 2 if way.startswith("one") else 3)
