"""The soak test sees what is lost, and a run that is killed loses nothing."""

import shutil
from pathlib import Path
from random import Random

import pandas as pd
import pytest

from benchmarks.soak import WORDS, live_through, undisturbed
from benchmarks.soak_troubles import Ended, Run, Trouble, troubles

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> tuple[pd.DataFrame, float]:
    """The records of a run that nobody disturbed, and how many seconds it took."""
    return undisturbed(tmp_path_factory.mktemp("calm"))


def _lose_a_record(run: Run, _moments: Random) -> Ended:
    """A fault that nobody may have: the command ends with 0, and an example of its own is gone."""
    ended = run.in_peace()
    min(run.folder.glob("adversarial/*")).unlink()
    return ended


def _lose_a_part(run: Run, _moments: Random) -> Ended:
    ended = run.in_peace()
    min(run.folder.glob("parts/*.parquet")).unlink()
    return Ended(1, ended.out, ended.err)


def test_the_soak_test_sees_losses_and_a_killed_run_has_none(
    tmp_path: Path, calm: tuple[pd.DataFrame, float]
) -> None:
    expected, seconds = calm
    assert len(expected) > 0

    with troubles(tmp_path) as (known, absent):
        kinds = {trouble.name: trouble for trouble in known}
        assert {"kills", "full disks"} <= {*kinds, *absent}
        killed = live_through(Run(tmp_path / "killed", WORDS, seconds), [kinds["kills"]] * 2, expected)
    assert killed.losses == ()
    assert killed.troubles == ("kills", "kills")

    faults = [Trouble("no example", _lose_a_record), Trouble("no part", _lose_a_part)]
    robbed = live_through(Run(tmp_path / "robbed", WORDS, seconds), faults, expected)
    assert any(loss.startswith("no example: it ended with 0, and verify says") for loss in robbed.losses)
    assert any(loss.startswith("no part: ") and "finished parts are gone" in loss for loss in robbed.losses)


def _remove_after_the_seal(run: Run, _moments: Random) -> Ended:
    ended = run.in_peace()
    shutil.rmtree(run.folder / "adversarial")
    return ended


def test_what_is_removed_after_the_seal_is_no_loss_and_is_made_again(
    tmp_path: Path, calm: tuple[pd.DataFrame, float]
) -> None:
    expected, seconds = calm
    late = Trouble("late", _remove_after_the_seal, removes=True)
    assert live_through(Run(tmp_path / "late", WORDS, seconds), [late], expected).losses == ()
