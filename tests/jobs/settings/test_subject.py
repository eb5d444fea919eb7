"""Runs, trainings and verifications tell their subject in the same words."""

from dataclasses import fields
from pathlib import Path
from typing import get_args

import pytest

from advbench.errors import SpecError
from advbench.jobs.settings.run import RunSettings
from advbench.jobs.settings.subject import NormalizationWord, NormName, SubjectOptions, subject_of
from advbench.jobs.settings.train import TrainSettings
from advbench.models.normalization import NAMES
from advbench.threat.threat import Norm

EXAMPLES = {
    "checkpoint": Path("a.pt"),
    "model": "lenet5",
    "dataset": "mnist",
    "data_root": Path("there"),
    "device": "cpu",
    "eps": "0.3",
    "norm": "l2",
    "mean": "0.5",
    "std": "0.25",
    "split": "train",
    "download": True,
    "image_size": 28,
    "channels": 1,
    "image_column": "picture",
    "label_column": "kind",
    "classes": Path("names.txt"),
    "class_index": Path("index.json"),
    "limit": 7,
    "seed": 3,
    "weights": "ema",
}


@pytest.mark.parametrize("settings_class", [RunSettings, TrainSettings])
def test_every_field_of_that_name_is_taken_over(
    settings_class: type[RunSettings] | type[TrainSettings],
) -> None:
    subject = subject_of(settings_class(**EXAMPLES))  # type: ignore[arg-type]  # a table of settings
    assert {name: getattr(subject, name) for name in EXAMPLES} == EXAMPLES
    untold = settings_class()
    plain = subject_of(untold)
    for name in {each.name for each in fields(SubjectOptions)} & vars(untold).keys():
        assert getattr(plain, name) == getattr(untold, name)


def test_what_a_job_has_not_is_the_default_and_others_are_told_beside_it() -> None:
    training = subject_of(TrainSettings(), defenses=("round",), untrained=True)
    assert (training.first, training.defenses, training.untrained) == (None, ("round",), True)
    run = RunSettings(first=3, defenses=("round", "none"))
    assert (run.subject.first, run.subject.defenses, run.subject.untrained) == (3, ("round", "none"), False)
    with pytest.raises(TypeError, match="untrainedd"):
        subject_of(RunSettings(), untrainedd=True)


def test_the_words_for_norms_and_normalisations_are_those_that_there_are() -> None:
    """Spelt out once more, as `--help` must not import torch."""
    assert get_args(NormName) == get_args(Norm)
    assert get_args(NormalizationWord) == NAMES


def test_a_place_may_stand_behind_the_name_of_the_data_set() -> None:
    subject = subject_of(RunSettings(dataset="hf:C:/pets", device="cpu"))
    assert (subject.dataset, subject.data_root) == ("hf", Path("C:/pets"))
    with pytest.raises(SpecError, match=r"--dataset csv:a\.csv and --data-root b name two places; give one"):
        subject_of(RunSettings(dataset="csv:a.csv", data_root=Path("b")))
    with pytest.raises(SpecError, match="--dataset csv: lacks its place: write csv:PATH, or csv alone"):
        subject_of(RunSettings(dataset="csv:"))


def test_columns_are_told_as_far_as_they_are_given() -> None:
    assert subject_of(RunSettings(label_column="y")).columns == {"label_column": "y"}
    assert subject_of(TrainSettings()).columns == {}
