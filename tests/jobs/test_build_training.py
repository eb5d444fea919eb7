"""What a training works with, from its words: images held out, ways to train, and what is refused."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from advbench.errors import InputError, ModelError, SpecError
from advbench.jobs.build_training import (
    TrainingJob,
    assemble_training,
    training_announcement,
    training_manifest,
)
from advbench.jobs.ranks import Ranks
from advbench.jobs.settings.train import TrainSettings

SMALL: dict[str, Any] = {"train_limit": 200, "limit": 20, "batch_size": 32}


def job(**said: Any) -> TrainingJob:
    return assemble_training(TrainSettings(**{**SMALL, **said}), Ranks())


@pytest.fixture(scope="module")
def both() -> TrainingJob:
    return job(compare=True)


@pytest.mark.parametrize(
    ("said", "train", "held"),
    [
        ({}, 180, 20),
        ({"held_out": 0}, 200, 0),
        ({"held_out": 50}, 150, 50),
        ({"train_limit": None}, 1437 - 143, 143),
        ({"held_out": 180}, 20, 180),
    ],
)
def test_a_tenth_is_held_out_unless_it_is_said(said: dict[str, Any], train: int, held: int) -> None:
    data = job(**said).data
    assert (len(data.indices), len(data.held_out)) == (train, held)
    assert not set(data.indices) & set(data.held_out)


def test_held_out_images_are_of_all_classes_and_the_same_for_the_same_seed(both: TrainingJob) -> None:
    labels = [both.data.images[index][1] for index in both.data.held_out]
    assert np.bincount(labels).tolist() == [2] * 10
    assert job().data.held_out == both.data.held_out
    assert job(seed=1).data.held_out != both.data.held_out


def test_both_trainings_differ_by_apart_alone(both: TrainingJob) -> None:
    assert list(both.ways) == ["plain", "apart"]
    plain, apart = both.ways["plain"], both.ways["apart"]
    assert plain.apart is None
    assert apart.apart is not None
    assert plain == type(plain)(**{**vars(apart), "apart": None})
    assert plain.augment == "crop", "a mirrored digit is no digit"
    assert job(augment="none").ways["plain"].augment == "none"


def test_a_training_is_announced_in_a_line(both: TrainingJob) -> None:
    line = training_announcement(both, Ranks())
    assert line.startswith("digits-cnn (state dict), 180 training images of digits, 20 held out, 30 epochs, ")
    assert line.endswith(str(both.device))
    assert training_announcement(both, Ranks(0, 3)).endswith(", 3 processes")


def test_what_a_training_depends_on_is_written_down(both: TrainingJob) -> None:
    settings = TrainSettings(compare=True, **SMALL)
    told = training_manifest(settings, both, Ranks())
    assert told["data"] == {"n": 20, "n_train": 180}
    assert set(told["settings"]["ways"]) == {"plain", "apart"}
    assert told["settings"]["ways"]["apart"]["apart"]["epsilon"] == 0.1
    hashes = [told["settings"][name] for name in ("train_indices", "held_out", "indices", "train_labels")]
    assert all(re.fullmatch("[0-9a-f]{16}", each) for each in hashes)
    assert len(set(hashes)) == 4
    other = training_manifest(settings, job(compare=True, seed=1), Ranks())["settings"]
    assert other["train_indices"] != told["settings"]["train_indices"]


@pytest.mark.parametrize(
    ("said", "kind", "message"),
    [
        ({"held_out": 199}, InputError, "--held-out 199 leaves 1 of 200 images to train on."),
        ({"train_limit": 1, "held_out": 0}, InputError, "--held-out 0 leaves 1 of 1 images to train on."),
        (
            {"apart": True, "batch_size": 500},
            SpecError,
            "--batch-size 500 is more than the 180",
        ),
        ({"apart": True, "groups": 7}, SpecError, "--groups 7 does not divide"),
    ],
)
def test_what_cannot_be_trained_on_is_refused(
    said: dict[str, Any], kind: type[InputError], message: str
) -> None:
    with pytest.raises(kind) as refused:
        job(**said)
    assert message in str(refused.value)


OWN = """
from torch import nn


def make():
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 10))


def frozen():
    return make().requires_grad_(False)


def half():
    return make().half()
"""


@pytest.mark.parametrize(
    ("factory", "said", "message"),
    [
        ("make", {}, ""),
        ("make", {"apart": True}, "--apart perturbs BatchNorm, and the model has no such layer."),
        ("frozen", {}, "the model has no parameters to train"),
        ("half", {}, "the model is in float16, in which small updates of weights are lost"),
    ],
)
def test_a_network_must_have_what_is_trained(
    factory: str, said: dict[str, Any], message: str, tmp_path: Path
) -> None:
    own = tmp_path / "own.py"
    own.write_text(OWN)
    words = {"model": f"{own}:{factory}", "dataset": "digits", "scratch": True, **said}
    if not message:
        assert list(job(**words).ways) == ["plain"]
        return
    with pytest.raises(ModelError) as refused:
        job(**words)
    assert message in str(refused.value)
