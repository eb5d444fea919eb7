"""Which normalisation a network gets: the user's word, the weights' word, or what is measured."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch._C._distributed_c10d import HashStore

from advbench.data.load import load_dataset
from advbench.data.registry import DATASETS
from advbench.data.sources import Place
from advbench.errors import InputError
from advbench.evaluation.measure_normalization import Measured
from advbench.jobs import normalizing
from advbench.jobs.normalizing import (
    Chosen,
    Weights,
    accuracies_line,
    choose_normalization,
    given_normalization,
    noted_normalization,
    notes_of_normalization,
    spelt,
    told_normalization,
    usual_normalization,
)
from advbench.jobs.ranks import Ranks
from advbench.jobs.settings.run import RunSettings
from advbench.models.normalization import HALF, Answers, Standing
from advbench.models.registry import IMAGENET, MODELS, PIXELS, Normalization

CPU = torch.device("cpu")
CIFAR, DIGITS = DATASETS["cifar10"], DATASETS["digits"]
TWO = Normalization((0.25, 0.5), (1.0, 2.0))


def weights(**changes: Any) -> Weights:
    usual: dict[str, Any] = {
        "network": nn.Flatten(),
        "name": "mine",
        "entry": None,
        "path": None,
        "sha256": None,
        "bundled": False,
        "untrained": False,
    }
    return Weights(**{**usual, **changes})


@pytest.mark.parametrize(
    ("options", "chosen"),
    [
        ({}, None),
        ({"normalization": "half"}, Chosen(HALF, "--normalization")),
        ({"normalization": "dataset"}, Chosen(CIFAR.normalization, "--normalization")),
        ({"normalization": "none"}, Chosen(PIXELS, "--normalization")),
        ({"mean": "0.25,1/2", "std": "1, 2"}, Chosen(TWO, "--mean and --std")),
    ],
)
def test_what_the_user_says_is_taken(options: dict[str, Any], chosen: Chosen | None) -> None:
    assert given_normalization(RunSettings(**options).subject, CIFAR) == chosen


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"normalization": "half", "mean": "0"}, "give --normalization or --mean and --std, not both."),
        ({"normalization": "half", "std": "1"}, "give --normalization or --mean and --std, not both."),
        ({"mean": "0"}, "give --mean and --std together."),
        ({"std": "1"}, "give --mean and --std together."),
        ({"mean": "0,", "std": "1"}, "--mean"),
        ({"mean": "0", "std": "one"}, "--std"),
    ],
)
def test_what_the_user_says_by_halves_or_twice_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        given_normalization(RunSettings(**options).subject, CIFAR)


def test_the_usual_constants_are_the_models_else_the_data_sets() -> None:
    assert usual_normalization(MODELS["resnet20"], CIFAR) == IMAGENET
    assert usual_normalization(None, CIFAR) == CIFAR.normalization


@pytest.mark.parametrize(
    ("known", "by"),
    [
        ({}, None),
        ({"untrained": True}, "usual: the weights are untrained"),
        ({"entry": MODELS["digits-cnn"], "bundled": True}, "the model's own weights"),
        ({"entry": MODELS["lenet5"], "sha256": "0" * 64}, None),
        ({"entry": MODELS["resnet20"], "path": Path("none.pt"), "sha256": "0" * 64}, None),
    ],
)
def test_weights_say_what_they_need_only_where_they_are_known(known: dict[str, Any], by: str | None) -> None:
    told = told_normalization(weights(**known), DIGITS)
    assert (told.by if told else None) == by


def test_the_notes_of_a_checkpoint_are_read_back_and_other_files_have_none(tmp_path: Path) -> None:
    path = tmp_path / "own.safetensors"
    tensors = {"a": torch.zeros(1)}
    save_file(tensors, path, notes_of_normalization(TWO))
    assert noted_normalization(path) == TWO
    assert told_normalization(weights(path=path), DIGITS) == Chosen(TWO, "the checkpoint's notes")
    for notes in (
        None,
        {},
        {"normalization_mean": "[0]"},
        {"normalization_mean": "x", "normalization_std": "[1]"},
    ):
        save_file(tensors, path, notes)
        assert noted_normalization(path) is None
    path.write_bytes(b"no such file")
    assert noted_normalization(path) is None
    assert noted_normalization(tmp_path / "none.pt") is None


def answers(right: int, n: int) -> Answers:
    """Answers of which so many of `n` images of class 0 are right."""
    found = Answers()
    found.predictions = [0] * right + [1] * (n - right)
    return found


def measured(near: tuple[Any, ...], **right: tuple[int, int]) -> Measured:
    constants: dict[Any, Normalization] = {"none": PIXELS, "half": HALF, "imagenet": IMAGENET}
    return Measured(
        constants={name: constants[name] for name in right},  # type: ignore[misc]  # names of the table
        answers={name: answers(*counts) for name, counts in right.items()},  # type: ignore[misc]
        labels=[0] * 64,
        standing=Standing(near[0], near, at_chance=False),
        alike={},
    )


def test_accuracies_are_said_the_best_first_and_apart_by_how_many_images_were_seen() -> None:
    found = measured(("half",), none=(16, 64), half=(48, 64), imagenet=(8, 32))
    assert accuracies_line(found) == "half 75.0%, none 25.0% of 64 images; of the first 32: imagenet 25.0%"


def test_constants_are_written_as_the_options_that_give_them_again() -> None:
    words = spelt(TWO).split()
    options = RunSettings(mean=words[1], std=words[3])
    chosen = given_normalization(options.subject, CIFAR)
    assert words[::2] == ["--mean", "--std"]
    assert chosen is not None
    assert chosen.normalization == TWO


def choose(ranks: Ranks) -> Chosen:
    images = load_dataset("digits", Place(root=Path(), split="test"))
    return choose_normalization(weights(), images, DIGITS, CPU, seed=0, ranks=ranks)


def test_the_leading_process_measures_for_all(monkeypatch: pytest.MonkeyPatch) -> None:
    store = HashStore()
    measurements: list[Chosen] = [Chosen(TWO, "clean accuracy", "a note", {"half": 0.5}, 64)]
    monkeypatch.setattr(normalizing, "_measured", lambda *_: measurements.pop())
    led = choose(Ranks(0, 2, 0, store))
    followed = choose(Ranks(1, 2, 1, store))
    assert led.account == {"by": "clean accuracy", "accuracies": {"half": 0.5}, "images": 64}
    assert followed == led._replace(accuracies=None, images=None)


def test_what_the_leading_process_refuses_all_refuse(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> Chosen:
        raise InputError("none and half are too near")

    monkeypatch.setattr(normalizing, "_measured", refuse)
    store = HashStore()
    for rank in (0, 1):
        with pytest.raises(InputError, match="none and half are too near"):
            choose(Ranks(rank, 2, rank, store))


def test_candidates_that_are_too_near_end_the_run_with_the_ways_on(monkeypatch: pytest.MonkeyPatch) -> None:
    found = measured(("half", "none"), none=(47, 64), half=(48, 64))
    monkeypatch.setattr(normalizing, "measure", lambda *_, **__: found)
    monkeypatch.setattr(normalizing, "normalizes_itself", lambda *_: False)
    with pytest.raises(InputError) as refused:
        choose(Ranks())
    text = str(refused.value)
    assert (
        "which normalisation model 'mine' was trained with cannot be told: clean accuracy is half 75.0%"
        in text
    )
    assert text.endswith(
        "Give the right one: --normalization half (--mean 0.5 --std 0.5), or --normalization none "
        "(--mean 0 --std 1)."
    )
    assert json.loads(json.dumps(Chosen(PIXELS, "usual").account)) == {"by": "usual"}


def test_a_candidate_that_was_ruled_out_early_is_held_to_the_images_that_it_has_seen() -> None:
    """Its order of classes is looked at where the network guesses under all that are left."""
    seen = Answers(predictions=[1, 0] * 8, losses=[0.0] * 16)
    guesses = Answers(predictions=[0] * 64, losses=[0.0] * 64)
    images = load_dataset("digits", Place(root=Path(), split="test"))
    measured = Measured(
        constants={"none": PIXELS, "half": HALF},
        answers={"none": guesses, "half": seen},
        labels=[0, 1] * 32,
        standing=Standing("none", ("none",), at_chance=True),
        alike={},
    )
    with pytest.raises(InputError, match="another order"):
        normalizing._refuse_order(measured, images)
