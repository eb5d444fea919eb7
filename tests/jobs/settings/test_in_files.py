"""A run is told the same by a file as by words."""

from dataclasses import replace
from pathlib import Path

import pytest

from advbench.jobs.settings.in_files import settings_from, values_of, words_of
from advbench.jobs.settings.run import RunSettings

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
