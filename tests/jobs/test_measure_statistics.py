"""Statistics of training images: which images, for which defenses, and which errors."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

import advbench as ab
from advbench.data.load import load_dataset
from advbench.data.sources import Place
from advbench.defended.model import Placement
from advbench.defenses import MeanSparse, Round, channel_statistics
from advbench.errors import DatasetError, InputError, SpecError
from advbench.jobs.build_subject import load_subject
from advbench.jobs.measure_statistics import Measured, Source, measured
from advbench.jobs.ranks import Ranks
from advbench.jobs.settings.run import RunSettings

PLACE = Place(root=Path(), split="test")


def source(**changes: Any) -> Source:
    usual = Source("digits", PLACE, None, load_dataset("digits", PLACE), [0, 1, 2], 0)
    return usual._replace(**changes)


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 10)).eval()


def measure(*links: Placement, model: nn.Module | None = None, takes: int = 0, **changes: Any) -> Measured:
    return measured({"g": links}, source(**changes), model or network(), takes=takes)


def statistics(result: Measured, place: int = 0) -> torch.Tensor:
    own: Any = result.chains["g"][place].defense
    assert isinstance(own.statistics, torch.Tensor)
    return own.statistics


def test_all_training_images_are_measured_where_there_are_no_more_than_asked_for() -> None:
    train = load_dataset("digits", replace(PLACE, split="train"))
    x = torch.stack([train[i][0] for i in range(len(train))])
    result = measure(Placement(MeanSparse(images=5000), "0"))
    (expected,) = channel_statistics(network(), [x], ["0"])
    torch.testing.assert_close(statistics(result), expected)
    assert result.shown == len(train) == 1437
    account = result.settings["g"][0]
    assert account is not None
    assert (account["images"], account["of"]) == (1437, "train")


def test_fewer_images_are_a_balanced_seeded_sample() -> None:
    link = Placement(MeanSparse(images=60), "0")
    one, again, other = measure(link), measure(link), measure(link, seed=1)
    assert torch.equal(statistics(one), statistics(again))
    assert one.settings == again.settings
    assert not torch.equal(statistics(one), statistics(other))
    assert one.settings != other.settings, "a run with other training images is another run"
    assert one.shown == 60


def test_each_place_of_a_chain_has_its_own_and_other_links_stay() -> None:
    links = (Placement(Round()), Placement(MeanSparse(images=60), "0"), Placement(MeanSparse(images=60), "1"))
    result = measure(*links)
    assert result.chains["g"][0] is links[0]
    assert result.settings["g"][0] is None
    assert float(statistics(result, 1)[0].min()) < 0.0 <= float(statistics(result, 2)[0].min())
    assert result.shown == 60, "in one pass"


def test_statistics_that_are_given_stay() -> None:
    link = Placement(MeanSparse(statistics=torch.ones(2, 4)), "0")
    result = measure(link)
    assert result.chains["g"] == (link,)
    assert (result.settings["g"], result.shown) == ([None], 0)


@pytest.mark.parametrize("changes", [{"own": "images"}, {"place": Place(root=Path(), split="train")}])
def test_without_a_split_of_their_own_they_are_images_that_are_not_attacked(changes: dict[str, Any]) -> None:
    images = load_dataset("digits", PLACE)
    changes = {"own": images} if "own" in changes else changes
    attacked = list(range(300))
    result = measure(Placement(MeanSparse(), "input"), attacked=attacked, **changes)
    others = torch.stack([images[i][0] for i in range(300, len(images))])
    assert float(statistics(result)[0]) == pytest.approx(float(others.mean()), rel=1e-6)
    account = result.settings["g"][0]
    assert account is not None
    assert account["of"] == "the run's images that are not attacked"


def test_a_file_of_arrays_has_one_split_and_a_folder_of_them_several(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    for split in ("train", "test"):
        x, y = generator.integers(0, 256, (120, 8, 8), dtype=np.uint8), np.arange(120) % 10
        np.savez(tmp_path / f"{split}.npz", x=x, y=y)
    origins = []
    for root in (tmp_path, tmp_path / "test.npz"):
        place = Place(root=root, split="test")
        images = load_dataset("npz", place)
        result = measure(Placement(MeanSparse(), "input"), dataset="npz", place=place, images=images)
        account = result.settings["g"][0]
        assert account is not None
        origins.append((account["of"], account["images"]))
    assert origins == [("train", 120), ("the run's images that are not attacked", 117)]


def test_a_network_of_a_fixed_batch_is_shown_whole_batches() -> None:
    class Eight(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = network()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            logits: torch.Tensor = self.inner(x.view(8, 1, 8, 8))
            return logits

    link = Placement(MeanSparse(images=60), "inner.0")
    assert measure(link, model=Eight(), takes=8).shown == 56


@pytest.mark.parametrize(
    ("link", "changes", "error", "message"),
    [
        (
            Placement(MeanSparse(split="nowhere"), "0"),
            {},
            DatasetError,
            "meansparse is measured on the split 'nowhere'. .* must be one of train, test",
        ),
        (
            Placement(MeanSparse(split="test"), "0"),
            {"attacked": list(range(350))},
            SpecError,
            "needs 50 images to measure its statistics on, and the run's images that are not attacked are 10",
        ),
        (Placement(ab.bpda(MeanSparse()), "0"), {}, SpecError, "a wrapped meansparse needs statistics="),
    ],
)
def test_what_cannot_be_measured_is_told(
    link: Placement, changes: dict[str, Any], error: type[InputError], message: str
) -> None:
    with pytest.raises(error, match=message) as refused:
        measure(link, **changes)
    assert "\n" not in str(refused.value)


def test_a_star_stands_for_several_places_in_words_and_in_objects() -> None:
    settings = RunSettings(defenses=("meansparse:images=60@layer*.*.1",), first=3)
    subject = load_subject(settings.subject, Ranks())
    (chain,) = subject.defenses.objects.values()
    assert [link.at for link in chain] == ["layer2.0.1", "layer3.0.1"]
    (recorded,) = subject.defenses.settings.values()
    assert [link["at"] for link in recorded] == [link.at for link in chain]
    assert all(link["statistics"]["images"] == 60 for link in recorded)
    assert subject.classifier.looks >= 60


def test_a_run_of_objects_measures_too() -> None:
    x = torch.rand(80, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    data = TensorDataset(x, torch.arange(80) % 10)
    run = ab.run(
        model=network(),
        data=data,
        defenses=[Placement(MeanSparse(), "0")],
        attacks=["pgd:steps=2"],
        first=4,
        eps="0.1",
        out=None,
    )
    assert "meansparse@0" in [row.defense for row in run.rows]
