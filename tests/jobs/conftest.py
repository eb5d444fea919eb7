"""What the tests of jobs share: a small run that kept its examples, and a copy of it in an empty folder."""

import shutil
from pathlib import Path

import pytest

import advbench as ab


@pytest.fixture(scope="session")
def made_run(tmp_path_factory: pytest.TempPathFactory) -> ab.Run:
    """Eight digits behind rounding, with examples; its folder is for reading alone."""
    home = tmp_path_factory.mktemp("made")
    return ab.run(defenses=["round"], bpda=True, save_adversarial=True, first=8, steps=2, out=home / "run")


@pytest.fixture
def copied_run(made_run: ab.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same run as `run` in an empty folder, which is the current one."""
    monkeypatch.chdir(tmp_path)
    return Path(shutil.copytree(made_run.path, "run"))
