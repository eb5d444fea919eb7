"""The table of data sets: radii that can be read, constants that fit the images, and words for messages."""

import inspect

import pytest

from advbench import Threat
from advbench.data.registry import DATASETS
from advbench.data.sources import Place
from advbench.threat.threat import Norm


@pytest.mark.parametrize("name", DATASETS)
def test_every_radius_reads_and_the_norms_are_in_their_order(name: str) -> None:
    entry = DATASETS[name]
    radii: list[tuple[Norm, str]] = [("linf", entry.eps), ("l2", entry.eps_l2), ("l1", entry.eps_l1)]
    read = [Threat.parse(norm, text) for norm, text in radii]
    assert [each.text for each in read] == [text for _, text in radii], "as papers write them"
    assert read[0].eps < read[1].eps < read[2].eps, (
        "no change is longer in Linf than in L2, or there than in L1"
    )


@pytest.mark.parametrize("name", DATASETS)
def test_constants_are_those_of_one_or_three_channels_and_in_units_of_pixels(name: str) -> None:
    constants = DATASETS[name].normalization
    mean, std = constants.mean, constants.std
    assert len(mean) == len(std)
    assert len(mean) in (1, 3)
    assert all(0.0 <= each < 1.0 for each in mean)
    assert all(0.0 < each <= 1.0 for each in std)


@pytest.mark.parametrize("name", DATASETS)
def test_every_source_takes_a_place_alone(name: str) -> None:
    (parameter,) = inspect.signature(DATASETS[name].load()).parameters.values()
    assert parameter.annotation is Place


def test_what_downloads_or_needs_files_says_what_it_expects() -> None:
    assert [name for name, each in DATASETS.items() if not each.expects] == ["digits"]
    assert not any(each.downloads and not each.expects for each in DATASETS.values())


def test_nothing_with_letters_or_digits_in_it_is_flipped_in_training() -> None:
    mirrored = {name for name, each in DATASETS.items() if each.mirrored}
    assert mirrored == {"cifar10", "cifar100", "imagenet", "imagefolder", "csv", "webdataset", "hf"}
