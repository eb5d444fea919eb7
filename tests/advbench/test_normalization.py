"""A normalisation is chosen where one wins clearly, and the choice is pure arithmetic on answers."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from advbench.data.batches import read_batch
from advbench.data.class_names import ClassNames, read_class_index, read_class_names, relabelled
from advbench.data.images import LabelledImages
from advbench.data.load import load_dataset
from advbench.data.sources import Place
from advbench.errors import DatasetError
from advbench.models.measured import SAMPLES, measure
from advbench.models.normalization import (
    BYTES,
    HALF,
    Answers,
    NormalizationName,
    candidates,
    clearly_better,
    same_function,
    standing_of,
)
from advbench.models.own_normalization import normalizes_itself
from advbench.models.published import of_torchvision
from advbench.models.registry import IMAGENET, PIXELS, Normalization
from advbench.normalized import Normalized

MNIST = Normalization((0.1307,), (0.3081,))


def told(right: Sequence[int], n: int, loss: float = 0.1) -> Answers:
    """Answers to `n` images with label 0 or 1 in turns, of which those listed are wrong."""
    labels = [each % 2 for each in range(n)]
    wrong = set(right)
    return Answers([1 - y if at in wrong else y for at, y in enumerate(labels)], [loss] * n)


def left(
    n: int, wrong: dict[NormalizationName, int], losses: dict[NormalizationName, float] | None = None
) -> tuple[str, ...]:
    """Which candidates are near where so many of `n` images are wrong under each, other ones each time."""
    answers: dict[NormalizationName, Answers] = {}
    start = 0
    for name, count in wrong.items():
        answers[name] = told([(start + at) % n for at in range(count)], n, (losses or {}).get(name, 0.1))
        start += count
    return standing_of(answers, [each % 2 for each in range(n)]).near


@pytest.mark.parametrize(
    ("n", "wrong", "near"),
    [
        (64, {"none": 1, "half": 30}, ("none",)),
        (64, {"none": 3, "half": 1}, ("half", "none")),
        (1024, {"none": 14, "dataset": 18}, ("none", "dataset")),
        (1024, {"none": 14, "dataset": 60}, ("none",)),
        (10_000, {"none": 140, "dataset": 180}, ("none", "dataset")),  # certain, but less than two points
        (10_000, {"none": 140, "dataset": 500}, ("none",)),
        (8, {"none": 0, "dataset": 3}, ("none", "dataset")),
    ],
)
def test_what_wins_by_two_points_for_certain_is_clear(
    n: int, wrong: dict[NormalizationName, int], near: tuple[str, ...]
) -> None:
    assert left(n, wrong) == near


@given(
    n=st.integers(8, 300),
    first=st.integers(0, 2**32),
    second=st.integers(0, 2**32),
)
def test_of_two_accuracies_at_most_one_is_clearly_better(n: int, first: int, second: int) -> None:
    one = np.random.default_rng(first).random(n) < 0.9
    other = np.random.default_rng(second).random(n) < 0.5
    assert not clearly_better(one, one)
    assert not (clearly_better(one, other) and clearly_better(other, one))


def test_many_looks_rule_hardly_any_candidate_out_by_chance() -> None:
    """Two points better and no more: all looks together are wrong in 5 of 1,000 samples."""
    generator = np.random.default_rng(0)
    ruled_out = 0
    for _ in range(500):
        turns = generator.random(SAMPLES[-1])
        one, other = (turns < 0.06) | (turns >= 0.1), turns >= 0.06
        ruled_out += any(clearly_better(one[:n], other[:n]) for n in SAMPLES)
    assert ruled_out <= 6


def test_bytes_that_only_make_the_logits_louder_are_ruled_out() -> None:
    assert left(256, {"none": 4, "255": 4}, {"none": 0.05, "255": 7.5}) == ("none",)
    assert left(256, {"none": 4, "255": 3}, {"none": 0.05, "255": 7.5}) == ("none",)
    assert left(256, {"none": 150, "255": 4}, {"none": 2.1, "255": 0.05}) == ("255",)
    assert left(256, {"none": 4, "255": 4}, {"none": 0.05, "255": 0.2}) == ("none", "255")


def test_guesses_are_told_from_answers() -> None:
    labels = [each % 2 for each in range(100)]
    assert standing_of({"none": told(range(40), 100)}, labels).at_chance
    assert not standing_of({"none": told(range(20), 100)}, labels).at_chance


def test_candidates_fit_the_channels_and_are_there_once() -> None:
    assert candidates(PIXELS, 1) == {"none": PIXELS, "half": HALF, "255": BYTES}
    assert list(candidates(MNIST, 1)) == ["none", "dataset", "half", "255"]
    assert list(candidates(IMAGENET, 3)) == ["none", "dataset", "half", "255"]


@given(scale=st.floats(1e-3, 1e3), seed=st.integers(0, 99))
def test_logits_that_differ_by_a_factor_and_a_constant_an_image_are_one_function(
    scale: float, seed: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(16, 5, generator=generator)
    assert same_function(logits, scale * logits + torch.randn(16, 1, generator=generator))
    assert not same_function(logits, -logits)
    assert not same_function(logits, logits + 0.1 * torch.randn(16, 5, generator=generator))
    assert not same_function(logits, logits * torch.nan)


class Wave(nn.Module):
    """A network that a wrong scale or shift of its input confuses."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm, self.head = nn.Conv2d(1, 8, 3), nn.BatchNorm2d(8), nn.Linear(288, 10)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.norm(torch.sin(3 * self.conv(x))).flatten(1))
        return logits


@pytest.mark.parametrize("name", ["none", "dataset", "half", "255"])
def test_a_network_is_measured_under_what_it_was_trained_with(name: NormalizationName) -> None:
    data = load_dataset("digits", Place(root=Path(), split="test"))
    whole = read_batch(data, range(len(data)))
    constants = candidates(MNIST, 1)[name]
    torch.manual_seed(0)
    network = Wave()
    with torch.no_grad():  # so that it learns as well from pixels up to 255 as from those up to 1
        network.conv.weight.mul_(constants.std[0])
    model = Normalized(network, constants.mean, constants.std)
    optimizer = torch.optim.Adam(network.parameters(), 0.01)
    for _ in range(60):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(whole.x), whole.y).backward()  # type: ignore[no-untyped-call]  # untyped
        optimizer.step()
    before = {key: value.clone() for key, value in network.state_dict().items()}
    found = measure(network, data, MNIST, torch.device("cpu"), 0)
    assert found.standing.near == (name,)
    assert set(found.accuracies) == {"none", "dataset", "half", "255"}
    assert network.training
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())
    assert measure(network, data, MNIST, torch.device("cpu"), 0, at_once=7).standing == found.standing


class Own(nn.Module):
    """A network with constants under some names, which are used first or later."""

    def __init__(self, names: tuple[str, str], *, first: bool = True, scale: float = 1.0) -> None:
        super().__init__()
        for name, value in zip(names, (0.5, 0.25), strict=True):
            self.register_buffer(name, torch.full((1, 3, 1, 1), value * scale))
        self.names, self.first = names, first

    def forward(self, x: Tensor) -> Tensor:
        mean, std = (getattr(self, name) for name in self.names)
        normalized: Tensor = (x - mean) / std
        return normalized


class Plain(nn.Module):
    """Constants that are no tensors: used, or only carried along for whoever prepares the images."""

    def __init__(self, mean: object, std: object, *, used: bool = True) -> None:
        super().__init__()
        self.image_mean, self.image_std, self.used = mean, std, used

    def forward(self, x: Tensor) -> Tensor:
        if not self.used:
            return x.flatten(1)
        mean, std = (
            torch.as_tensor(each).float().reshape(-1, 1, 1) for each in (self.image_mean, self.image_std)
        )
        return ((x - mean) / std).flatten(1)


class Later(nn.Module):
    """The constants are used on features."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.norm = nn.Conv2d(3, 3, 1), Own(("mean", "std"))

    def forward(self, x: Tensor) -> Tensor:
        whole: Tensor = self.norm(self.stem(x)).flatten(1)
        return whole


@pytest.mark.parametrize(
    ("network", "expected"),
    [
        (nn.Sequential(Own(("mean", "std")), nn.Flatten()), True),
        (nn.Sequential(Own(("new_mean", "new_std")), nn.Flatten()), True),
        (nn.Sequential(Own(("mu", "sigma")), nn.Flatten()), True),
        (Own(("mu", "std")), True),
        (Plain((0.5, 0.4, 0.3), (0.2, 0.2, 0.2)), True),
        (Plain([0.5], [0.2]), True),
        (Plain(0.5, 0.2), True),
        (Plain(np.full(3, 0.5), np.full(3, 0.2)), True),
        (Plain((0.5, 0.4, 0.3), (0.2, 0.2, 0.2), used=False), False),
        (Plain(torch.full((3,), 0.5), torch.full((3,), 0.2), used=False), False),
        (Later(), False),
        (nn.Sequential(Own(("mean", "std"), scale=255.0), nn.Flatten()), False),
        (nn.Sequential(Own(("left", "right")), nn.Flatten()), False),
        (nn.Sequential(nn.BatchNorm2d(3), nn.Flatten()), False),
    ],
)
def test_a_network_that_normalises_first_is_known(network: nn.Module, expected: bool) -> None:
    before = str([vars(module) for module in network.modules()])
    assert normalizes_itself(network, torch.rand(2, 3, 4, 4)) is expected
    assert str([vars(module) for module in network.modules()]) == before
    assert not any(module._forward_pre_hooks for module in network.modules())


def test_torchvisions_weights_are_known_by_their_hash() -> None:
    assert of_torchvision("resnet50", "0676ba61" + 56 * "0") == IMAGENET
    assert of_torchvision("resnet50", 64 * "0") is None
    features = of_torchvision("vgg16", "amdegroot"[:8])  # one of its files has no hash in its name
    assert features is None


NAMED = LabelledImages(
    [(torch.full((1, 2, 2), 0.1), 0), (torch.full((1, 2, 2), 0.2), 1)],
    np.asarray([0, 1]),
    ("cat", "dog"),
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("dog\ncat\n", [1, 0]),
        ("\ufeffdog\r\ncat\r\n\n", [1, 0]),
        ("3 cat\n0 dog", [3, 0]),
        ("cat\nsea lion\ndog", [0, 2]),
    ],
)
def test_labels_follow_a_file_of_names(text: str, expected: list[int], tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text(text)
    images = relabelled(NAMED, read_class_names(tmp_path / "names.txt"))
    assert images.labels.tolist() == expected
    assert [images[each][1] for each in range(2)] == expected
    assert [images.classes[each] for each in expected] == ["cat", "dog"]
    assert len(images.classes) == max(2, 1 + max(expected))


def test_labels_follow_imagenets_index(tmp_path: Path) -> None:
    (tmp_path / "index.json").write_text('{"0": ["n1", "cat"], "7": ["n2", "dog"], "3": ["n3", "crane"]}')
    assert relabelled(NAMED, read_class_index(tmp_path / "index.json")).labels.tolist() == [0, 7]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "line 1 is empty"),
        ("cat\n\ndog", "line 2 is empty"),
        ("1 cat\n1 dog", "index 1 is there twice"),
        ("9999999 cat", "larger than any model"),
        ("cat\nfox", "class 'dog' is not in the file"),
        ("bird\nfox", "class 'cat' and 1 more are not"),
        ("cat\ndog\ncat", "class 'cat' stands for outputs [0, 2]"),
    ],
)
def test_a_file_of_names_that_cannot_be_used_is_refused(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / "names.txt").write_text(text)
    with pytest.raises(DatasetError) as caught:
        relabelled(NAMED, read_class_names(tmp_path / "names.txt"))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"a": ["x"]}', '{"0": 3}', '{"0": ["x", 3]}', "{" * 9999])
def test_an_index_of_another_form_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "index.json").write_text(text)
    with pytest.raises(DatasetError, match="expected"):
        read_class_index(tmp_path / "index.json")


def test_files_that_are_not_there_or_no_text_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="cannot be read"):
        read_class_names(tmp_path / "nowhere.txt")
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\xff")
    with pytest.raises(DatasetError, match="no text in UTF-8"):
        read_class_names(tmp_path / "bytes")


def test_two_classes_for_one_output_and_classes_without_names_are_refused() -> None:
    with pytest.raises(DatasetError, match="both stand for output 0"):
        relabelled(NAMED, ClassNames((("cat", 0), ("dog", 0)), 1))
    with pytest.raises(DatasetError, match="have no names"):
        relabelled(LabelledImages(NAMED.images, NAMED.labels, ()), ClassNames((("cat", 0),), 1))
