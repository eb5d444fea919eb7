"""What a run is told: the same from words, from files and from Python."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from advbench.errors import SpecError
from advbench.jobs.settings.option import made
from advbench.jobs.settings.run import (
    RunSettings,
    file_settings,
    settings_from,
    values_of,
    words_of,
)


def test_settings_of_python_are_those_of_words() -> None:
    words = {"batch_size": "16", "defenses": ["round", "none"], "checkpoint": "a.pt", "steps": None}
    assert made(RunSettings, words) == RunSettings(
        batch_size=16, defenses=("round", "none"), checkpoint=Path("a.pt")
    )
    assert values_of(RunSettings(batch_size=16, mean="0"))["batch_size"] == "16"
    assert set(values_of(RunSettings())) <= set(file_settings())


SETTINGS = [
    RunSettings(),
    RunSettings(seed=0, first=3, eps="0.1"),
    RunSettings(fast=False, random_start=False, compiled=True, bpda=True),
    RunSettings(
        defenses=("round", "none"), attacks=("fgsm",), substitutes=("identity",), checkpoint=Path("a.pt")
    ),
    RunSettings(batch_size=16, step_size="1/255", save_adversarial=True, successful_only=True, formats=""),
]


@pytest.mark.parametrize("settings", SETTINGS)
def test_what_settings_say_makes_them_again(settings: RunSettings) -> None:
    said = values_of(settings)
    again = settings_from(said, None)
    assert again == replace(settings, command=again.command)
    assert settings_from(values_of(again), None) == again


def test_a_run_of_a_file_is_told_its_folder_and_keeps_the_words_that_say_the_same() -> None:
    found = settings_from({"defense": ["round"], "fast": False, "seed": 3}, Path("here"), overwrite=True)
    assert (found.out, found.overwrite, found.defenses, found.fast, found.seed) == (
        Path("here"), True, ("round",), False, 3,
    )  # fmt: skip
    assert found.command == (
        *(
            "advbench",
            "attack",
            "--defense",
            "round",
            "--seed",
            "3",
            "--no-fast",
            "--out",
            "here",
            "--overwrite",
        ),
    )
    assert words_of({}) == []


@pytest.mark.parametrize(
    ("settings", "bpda", "ladder", "kept"),
    [
        ({}, False, False, None),
        ({"bpda": True}, True, False, None),
        ({"substitutes": ("identity",)}, True, False, None),
        ({"ladder": True}, False, True, None),
        ({"fail_on": "masked"}, False, True, None),
        ({"min_robust": 0.0}, False, True, None),
        ({"save_adversarial": True}, False, False, "all"),
        ({"save_adversarial": True, "successful_only": True}, False, False, "successful"),
    ],
)
def test_one_option_asks_for_what_it_needs(
    settings: dict[str, Any], bpda: bool, ladder: bool, kept: str | None
) -> None:
    found = RunSettings(**settings)
    assert (found.wants_bpda, found.wants_ladder, found.kept_examples) == (bpda, ladder, kept)


def test_settings_that_cannot_be_are_refused_before_anything_runs() -> None:
    with pytest.raises(SpecError, match="--save-adversarial keeps; give both"):
        RunSettings(successful_only=True)
    with pytest.raises(SpecError, match=r"a table has no column 'cleann'\. Did you mean 'clean'"):
        RunSettings(columns="cleann")
