"""An earlier start of a run is recognised by what its `run.json` says."""

from pathlib import Path

import pytest

from advbench.files import FolderLock
from advbench.runs.earlier_start import unfinished_run
from advbench.runs.folder import open_folder
from tests.runs.test_folder import RUN


def test_only_an_unfinished_start_of_the_same_run_is_found_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert unfinished_run(RUN) is None
    paths = {}
    for status in ("running", "interrupted", "done"):
        folder = open_folder(None, status, {**RUN, "status": status})
        paths[status] = folder.path
        folder.release()
    open_folder(None, "another", {**RUN, "settings": {"seed": 9}, "status": "running"}).release()
    (tmp_path / "runs/zzz").mkdir()
    assert unfinished_run(RUN) == max(paths["running"], paths["interrupted"])
    held = [FolderLock(paths[each]) for each in ("running", "interrupted")]
    assert unfinished_run(RUN) is None
    held[0].release()
    assert unfinished_run(RUN) == paths["running"]
