"""What a run is told: the same from words, from files and from Python."""

from pathlib import Path
from typing import Any

import pytest

from advbench.errors import SpecError
from advbench.jobs.settings.in_files import file_settings, values_of
from advbench.jobs.settings.option import made
from advbench.jobs.settings.run import RunSettings


def test_settings_of_python_are_those_of_words() -> None:
    words = {"batch_size": "16", "defenses": ["round", "none"], "checkpoint": "a.pt", "steps": None}
    assert made(RunSettings, words) == RunSettings(
        batch_size=16, defenses=("round", "none"), checkpoint=Path("a.pt")
    )
    assert values_of(RunSettings(batch_size=16, mean="0"))["batch_size"] == "16"
    assert set(values_of(RunSettings())) <= set(file_settings())


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
