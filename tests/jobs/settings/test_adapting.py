"""`--episodic` and `--stream` become rows."""

import pytest

from advbench.errors import SpecError
from advbench.jobs.settings.adapting import with_adaptation
from advbench.jobs.settings.in_files import values_of
from advbench.jobs.settings.run import RunSettings


def test_rows_are_added_once() -> None:
    rows = with_adaptation(
        ("jpeg", "stream:batch=8"), "64", "8", tested=False, successful=False, stood_in=False
    )
    assert rows == ("jpeg", "stream:batch=8", "episodic:batch=64")
    settings = RunSettings(episodic="64", stream="batch=8,attacked=one")
    assert settings.defenses == ("episodic:batch=64", "stream:batch=8,attacked=one")
    assert values_of(settings)["defense"] == list(settings.defenses)
    assert RunSettings().defenses == ()


def test_what_does_not_go_together_is_refused() -> None:
    with pytest.raises(SpecError, match="answers image by image"):
        with_adaptation((), "8", None, tested=True, successful=False, stood_in=False)
    with pytest.raises(SpecError, match="--successful-only would keep parts of batches"):
        with_adaptation(("episodic:batch=8",), None, None, tested=False, successful=True, stood_in=False)
    with pytest.raises(SpecError, match="its static network stands in"):
        RunSettings(episodic="8", surrogate="distill")
