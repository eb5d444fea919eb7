"""Classifiers are found by name, built with the right classes, and held to the contract of a model."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from advbench.data.batches import batches
from advbench.data.images import LabelledImages
from advbench.data.load import load_dataset
from advbench.data.sampling import balanced_sample
from advbench.data.sources import Place
from advbench.defended.contract import checked_logits
from advbench.defended.normalized import Normalized
from advbench.errors import AdvbenchError, ModelError, SpecError
from advbench.files import sha256
from advbench.models.checkpoint.load import load_checkpoint
from advbench.models.network import build_network, bundled_weights
from advbench.models.registry import IMAGENET
from advbench.names.grammar import Spec, parse_spec
from benchmarks.train_digits import train

CPU = torch.device("cpu")


def build(text: str, num_classes: int | None = 10) -> nn.Module:
    return build_network(parse_spec(text), num_classes).eval()


def refusal(text: str, kind: type[AdvbenchError] = AdvbenchError) -> str:
    with pytest.raises(kind) as caught:
        build(text)
    message = str(caught.value)
    assert "\n" not in message
    assert caught.value.exit_code == 2
    return message


@torch.no_grad()
def correct(network: nn.Module, dataset: LabelledImages, count: int) -> float:
    """Accuracy on a balanced sample."""
    found = [
        network(batch.x).argmax(1) == batch.y
        for batch in batches(dataset, balanced_sample(dataset.labels, count, 0), 100)
    ]
    return float(torch.cat(found).float().mean())


# Millions of parameters: He et al. 2016, table 6; digits-cnn from its model card; LeNet5 counted by hand.
@pytest.mark.parametrize(
    ("name", "shape", "millions"),
    [
        ("digits-cnn", (1, 8, 8), "0.025978"),
        ("lenet5", (1, 28, 28), "0.648226"),
        ("resnet20", (3, 32, 32), "0.27"),
        ("resnet32", (3, 32, 32), "0.46"),
        ("resnet44", (3, 32, 32), "0.66"),
        ("resnet56", (3, 32, 32), "0.85"),
    ],
)
def test_a_built_in_model_has_its_published_size(name: str, shape: tuple[int, ...], millions: str) -> None:
    network = build(name)
    assert network(torch.rand(2, *shape)).shape == (2, 10)
    count = sum(each.numel() for each in network.parameters())
    assert f"{count / 1e6:.{len(millions) - 2}f}" == millions


@pytest.mark.parametrize(
    ("name", "file", "dataset", "root", "published"),
    [
        ("lenet5", "mnist_lenet5_clntrained.pt", "mnist", "mnist", 0.9889),
        ("lenet5", "mnist_lenet5_advtrained.pt", "mnist", "mnist", 0.9864),
        ("resnet20", "resnet20-12fca82f.th", "imagefolder", "cifar10-jpeg", 0.8103),
    ],
)
def test_published_weights_reach_their_accuracy(
    name: str, file: str, dataset: str, root: str, published: float, shared: Path
) -> None:
    loaded = load_checkpoint(shared / "checkpoints" / file, lambda: build(name), Spec(name), CPU)
    network = (
        Normalized(loaded.network, IMAGENET.mean, IMAGENET.std) if name == "resnet20" else loaded.network
    )
    images = load_dataset(dataset, Place(root=shared / "data" / root, split="test"))
    assert correct(network.eval(), images, 500) == pytest.approx(published, abs=0.05)


@pytest.mark.parametrize("name", ["squeezenet1_1", "shufflenet_v2_x0_5", "mobilenet_v3_small", "googlenet"])
def test_a_torchvision_classifier_builds_with_the_classes_of_the_data_set(name: str) -> None:
    assert build(name, 7)(torch.rand(1, 3, 64, 64)).shape == (1, 7)


MINE = """
from torch import nn

NOT_A_FACTORY = 3

def make(num_classes: int = 4) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(16, num_classes))

class Wide(nn.Module):
    def __init__(self, *, width: int = 2, num_classes=4) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Flatten(), nn.Linear(16, width), nn.Linear(width, num_classes))

    def forward(self, x):
        return self.layers(x)

def without_classes():
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 6))

def fails():
    raise RuntimeError("Error(s) in loading state_dict:\\n\\tMissing key(s)")

def returns_a_number():
    return 5
"""


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A user's models, as `mine.py` and as `package_of_mine.models`, seen from their folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "package_of_mine").mkdir()
    for file in ("mine.py", "package_of_mine/__init__.py", "package_of_mine/models.py"):
        (tmp_path / file).write_text("" if "__init__" in file else MINE)
    (tmp_path / "no_such_import.py").write_text("import no_such_package_anywhere")
    (tmp_path / "no_python.py").write_text("def (:")
    (tmp_path / "two_lines.py").write_text("raise ImportError('first\\nsecond')")
    yield tmp_path
    for name in ("mine", "package_of_mine", "package_of_mine.models"):
        sys.modules.pop(name, None)  # the next test's package is another one of the same name


@pytest.mark.parametrize("home", ["mine.py", "{}/mine.py", "package_of_mine.models"])
@pytest.mark.parametrize(
    ("factory", "classes"),
    [
        ("make", 5),
        ("make:num_classes=9", 9),
        ("Wide", 5),
        ("Wide:width=7", 5),
        ("Wide:width=7,num_classes=9", 9),
        ("without_classes", 6),
    ],
)
def test_a_factory_of_the_users_is_called(home: str, factory: str, classes: int, mine: Path) -> None:
    network = build(f"{home.format(mine)}:{factory}", 5)
    assert network(torch.rand(2, 1, 4, 4)).shape == (2, classes)
    if "width" in factory:
        assert network.get_submodule("layers.1").out_features == 7


@pytest.mark.parametrize(
    ("text", "classes"),
    [
        ("lenet5", 7),
        ("lenet5:num_classes=12", 12),
        ("resnet20:num_classes=100", 100),
        ("resnet18:num_classes=3", 3),
    ],
)
def test_the_number_of_classes_comes_from_the_data_set_unless_the_spec_gives_it(
    text: str, classes: int
) -> None:
    network = build(text, 7)
    assert [each for each in network.modules() if isinstance(each, nn.Linear)][-1].out_features == classes


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("mine.py:fails", "RuntimeError"),
        ("mine.py:returns_a_number", "got int"),
        ("mine.py:NOT_A_FACTORY", "NOT_A_FACTORY"),
        ("mine.py:maek", "'make'"),
        ("mine.py:Wide:widht=3", "'width'"),
        ("mine.py:Wide:width=big", "whole number"),
        ("mine.py:without_classes:num_classes=3", "num_classes"),
        ("missing.py:make", "missing.py"),
        ("no_such_import.py:make", "no_such_package_anywhere"),
        ("no_python.py:make", "SyntaxError"),
        ("two_lines.py:make", "ImportError"),
        ("package_of_mine.nothing:make", "package_of_mine.nothing"),
        ("package_of_mine.models:maek", "'make'"),
        ("no_such_package_anywhere:make", "no_such_package_anywhere"),
    ],
)
def test_a_factory_that_gives_no_network_is_refused(text: str, expected: str, mine: Path) -> None:
    assert expected in refusal(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("resnet21", "'resnet20'"),
        ("lenet", "'lenet5'"),
        ("digits_cnn", "'digits-cnn'"),
        ("resnet_50", "'resnet50'"),
        ("qqqq", "Known:"),
        ("lenet5:num_clases=3", "'num_classes'"),
        ("resnet18:num_clases=3", "'num_classes'"),
        ("lenet5:num_classes=ten", "whole number"),
        ("resnet18:num_classes=ten", "whole number"),
    ],
)
def test_a_misspelt_model_or_parameter_suggests_the_nearest(text: str, expected: str) -> None:
    assert expected in refusal(text, SpecError)


@pytest.mark.parametrize("name", ["lenet5", "resnet18"])
@pytest.mark.parametrize("count", [0, -1])
def test_a_model_without_classes_is_refused(name: str, count: int) -> None:
    assert "num_classes" in refusal(f"{name}:num_classes={count}")


@pytest.mark.parametrize(
    ("name", "shape"),
    [("lenet5", (3, 32, 32)), ("lenet5", (1, 8, 8)), ("digits-cnn", (1, 28, 28)), ("resnet20", (1, 28, 28))],
)
def test_images_that_do_not_fit_the_model_are_refused_with_their_shape(
    name: str, shape: tuple[int, ...]
) -> None:
    with pytest.raises(ModelError, match=re.escape(str(shape))) as caught:
        checked_logits(build(name), torch.rand(2, *shape), torch.zeros(2, dtype=torch.int64))
    assert "\n" not in str(caught.value)


def test_the_bundled_weights_are_what_their_card_says() -> None:
    path = bundled_weights(Spec("digits-cnn"))
    assert path is not None
    assert path.stat().st_size < 1_000_000
    card = path.with_suffix(".md").read_text(encoding="utf-8")
    network = load_checkpoint(path, lambda: build("digits-cnn"), Spec("digits-cnn"), CPU).network.eval()
    test = load_dataset("digits", Place(root=Path(), split="test"))
    count = round(correct(network, test, len(test)) * len(test))
    assert re.findall(r"SHA-256 `(\w+)`", card) == [sha256(path)]
    assert re.findall(r"([\d.]+)% \((\d+) of (\d+)\)", card) == [
        (f"{100 * count / 360:.2f}", str(count), "360")
    ]


@pytest.mark.slow
def test_the_bundled_recipe_trains_to_98_percent() -> None:
    test = load_dataset("digits", Place(root=Path(), split="test"))
    assert correct(train(), test, len(test)) >= 0.98


def test_a_users_file_may_import_its_neighbours_late_and_shadows_no_module(tmp_path: Path) -> None:
    (tmp_path / "neighbour.py").write_text(
        "from torch import nn\n\nnet = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))\n"
    )
    (tmp_path / "json.py").write_text("def make():\n    import neighbour\n    return neighbour.net\n")
    network = build_network(Spec(f"{tmp_path / 'json.py'}:make"), None)
    assert network(torch.zeros(1, 1, 2, 2)).shape == (1, 2)
    assert hasattr(sys.modules.get("json", re), "__name__")
    assert not str(getattr(sys.modules.get("json"), "__file__", "")).startswith(str(tmp_path))


def test_a_model_where_a_factory_belongs_is_refused(tmp_path: Path) -> None:
    (tmp_path / "ready.py").write_text("from torch import nn\n\nnet = nn.Flatten()\n")
    with pytest.raises(ModelError, match="is a model, not a factory"):
        build_network(Spec(f"{tmp_path / 'ready.py'}:net"), None)
