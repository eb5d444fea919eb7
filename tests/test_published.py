"""Figures that others published, measured again with our own loaders, attack and judge."""

import csv
from pathlib import Path

import pytest

from advbench.cli import main

pytestmark = pytest.mark.slow


def attack(out: Path, *arguments: str | Path) -> dict[tuple[str, str], float]:
    """Run the command, and return the numbers of its table by defense and column."""
    assert main(["attack", "--quiet", "--out", str(out), *map(str, arguments)]) == 0
    with (out / "table.csv").open() as file:
        rows = list(csv.DictReader(file))
    return {
        (row["defense"], name): float(text)
        for row in rows
        for name, text in row.items()
        if text and name.endswith(("_count", "_accuracy", "_median_distance"))
    }


def test_lenet5_on_mnist_under_pgd_40(shared: Path, tmp_path: Path) -> None:
    """Published with the checkpoint: accuracy 98.89 %, error 100 %; a page shows the robust one."""
    table = attack(
        tmp_path / "run",
        *("--checkpoint", shared / "checkpoints/mnist_lenet5_clntrained.pt", "--model", "lenet5"),
        *("--dataset", "mnist", "--data-root", shared / "data/mnist", "--eps", "0.3"),
        *("--steps", "40", "--step-size", "0.01", "--no-random-start"),
    )
    assert table["none", "clean_count"] == 9889
    assert table["none", "shattered_count"] == 0


@pytest.mark.parametrize(
    ("weights", "eps", "published"), [("clntrained", "0.1", 0.112), ("advtrained", "0.3", 0.3509)]
)
def test_fab_finds_perturbations_as_small_as_the_published_median(
    weights: str, eps: str, published: float, shared: Path, tmp_path: Path
) -> None:
    """The first 50 images here; a page shows the first 1,000."""
    table = attack(
        tmp_path / "run",
        *("--checkpoint", shared / f"checkpoints/mnist_lenet5_{weights}.pt", "--model", "lenet5"),
        *("--dataset", "mnist", "--data-root", shared / "data/mnist", "--first", "50", "--eps", eps),
        *("--attack", "fab"),
    )
    assert 0.9 * published < table["none", "shattered_median_distance"] <= published


def test_resnet20_keeps_its_accuracy_on_the_recompressed_images(shared: Path, tmp_path: Path) -> None:
    table = attack(
        tmp_path / "run",
        *("--checkpoint", shared / "checkpoints/resnet20-12fca82f.th", "--model", "resnet20"),
        *("--dataset", "imagefolder", "--data-root", shared / "data/cifar10-jpeg", "--eps", "8/255"),
        *("--attack", "fgsm"),
    )
    assert table["none", "clean_accuracy"] == pytest.approx(0.8103, abs=0.0005)
