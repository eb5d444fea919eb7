"""A seal holds whatever a run goes through: stops, other formats, a curve, a report, a page that fails."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import advbench as ab
from advbench.errors import InputError, RunFolderError
from advbench.jobs import recorder
from advbench.jobs.recorder import Recorder
from advbench.runs.folder import files_of_run, is_file_of_run
from advbench.runs.manifest import MANIFEST, open_manifest, read_manifest
from advbench.runs.seal import Seal, breaches, digest_of, seal_of
from tests.forging import manifest_of, write_manifest


def small(out: Path, **more: Any) -> ab.Run:
    words = {"first": 8, "steps": 2, "batch_size": 4, "save_adversarial": True, "bpda": True}
    return ab.run(defenses=["round"], out=out, **{**words, **more})


def said(run: Path, **more: Any) -> dict[str, str]:
    """What a verification says of everything, all of which holds."""
    checks = ab.verify(run, **more)
    assert all(check.holds for check in checks), [check for check in checks if not check.holds]
    return {check.what: check.said for check in checks}


def stop_after(parts: int, monkeypatch: pytest.MonkeyPatch) -> None:
    keep = Recorder.keep

    def keep_and_stop(self: Recorder, done: Any) -> None:
        keep(self, done)
        if self.folder is not None and self.folder.parts >= parts:
            raise KeyboardInterrupt

    monkeypatch.setattr(Recorder, "keep", keep_and_stop)


def test_a_seal_has_every_file_in_the_order_of_their_paths(copied_run: Path) -> None:
    seal = open_manifest(copied_run).seal
    assert seal is not None
    files = [path.relative_to(copied_run).as_posix() for path in copied_run.rglob("*") if path.is_file()]
    assert list(seal.files) == sorted(set(files) - {MANIFEST})
    assert all(is_file_of_run(name) for name in seal.files)
    assert said(copied_run)["seal"].startswith(seal.digest)


def test_the_same_run_has_the_same_seal_whatever_the_order_of_its_entries(copied_run: Path) -> None:
    values = read_manifest(copied_run)
    seal = seal_of(copied_run, reversed(files_of_run(copied_run)), dict(reversed(values.items())))
    assert seal == open_manifest(copied_run).seal
    assert digest_of(values) == digest_of(json.loads(json.dumps(values, indent=3)))


def test_a_run_that_was_stopped_has_no_seal_and_one_that_goes_on_has_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        stop_after(2, patched)
        with pytest.raises(KeyboardInterrupt):
            small(tmp_path / "run")
    assert open_manifest(tmp_path / "run").seal is None
    small(tmp_path / "run")
    assert "files say that they are of this run" in said(tmp_path / "run")["origins"]


def test_a_crash_before_the_seal_leaves_an_unfinished_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(Recorder, "_ending", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            small(tmp_path / "run")
    assert not open_manifest(tmp_path / "run").is_done
    small(tmp_path / "run")
    assert said(tmp_path / "run", deep=True)


def test_a_run_in_another_format_takes_the_tables_that_are_there_with_it(tmp_path: Path) -> None:
    small(tmp_path / "run", formats="csv,html", digits=3)
    small(tmp_path / "run", formats="markdown", digits=2)
    told = said(tmp_path / "run")
    assert {"table.csv", "table.md", "report.html"} <= told.keys()
    assert told["numbers of report.html"].endswith("to the byte")


def test_a_run_that_replaces_another_is_sealed_as_itself(tmp_path: Path) -> None:
    small(tmp_path / "run", formats="csv,html,latex")
    small(tmp_path / "run", steps=3, overwrite=True)
    assert "report.html" not in said(tmp_path / "run")


def test_every_run_of_a_curve_is_sealed(tmp_path: Path) -> None:
    curve = ab.curve(
        eps="0.05,0.1",
        defenses=["round"],
        bpda=True,
        first=8,
        steps=2,
        save_adversarial=True,
        out=tmp_path / "c",
    )
    assert len(curve.rows) == 4
    folders = sorted((tmp_path / "c/runs").iterdir())
    assert len(folders) == 2
    assert all(said(folder) for folder in folders)


def test_a_report_leaves_the_folder_of_a_run_alone(copied_run: Path, tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="its evidence"):
        ab.report(copied_run, out=copied_run, overwrite=True)
    ab.report(copied_run, out=tmp_path / "report", formats="csv,html")
    ab.report(copied_run, out=tmp_path / "report", formats="csv,html")
    assert said(copied_run)


def test_a_page_that_fails_leaves_a_run_that_is_done_and_sealed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> str:
        raise InputError("no page today")

    with monkeypatch.context() as patched:
        patched.setattr(recorder, "page_of_run", fail)
        with pytest.raises(InputError, match="no page today"):
            small(tmp_path / "run", formats="csv,html")
    assert "report.html" not in said(tmp_path / "run")


def test_a_run_may_be_moved_and_renamed(tmp_path: Path) -> None:
    small(tmp_path / "run", formats="csv,html")
    shutil.move(tmp_path / "run", tmp_path / "elsewhere")
    assert said(tmp_path / "elsewhere")["numbers of report.html"].endswith("to the byte")


def test_what_lies_beside_is_told_and_no_fault(copied_run: Path) -> None:
    (copied_run / "notes.txt").write_text("mine")
    assert "beside it lies notes.txt" in said(copied_run)["seal"]


def test_a_run_without_a_seal_is_verified_as_far_as_it_can_be(copied_run: Path) -> None:
    values = manifest_of(copied_run)
    del values["seal"]
    write_manifest(copied_run, values)
    told = said(copied_run)
    assert told["seal"].startswith("none: an earlier version wrote the run")
    assert told["samples.parquet"] == "as the run wrote it"


@pytest.mark.parametrize("digits", [16, 64])
def test_a_published_seal_is_compared(copied_run: Path, digits: int) -> None:
    seal = open_manifest(copied_run).seal
    assert seal is not None
    assert said(copied_run, seal=seal.digest[:digits].upper())
    for other in (seal.digest[:15], "0" * digits):
        checks = {check.what: check.holds for check in ab.verify(copied_run, seal=other)}
        assert not checks["seal"]


@pytest.mark.parametrize(
    "seal", [[], {"files": {}}, {"entries": 1, "files": {}}, {"entries": "", "files": {"table.csv": 1}}]
)
def test_a_seal_that_no_run_has_written_is_refused(copied_run: Path, seal: Any) -> None:
    write_manifest(copied_run, {**manifest_of(copied_run), "seal": seal})
    with pytest.raises(RunFolderError, match="seal"):
        ab.verify(copied_run)


def test_a_seal_opens_no_file_outside_of_the_folder(copied_run: Path, tmp_path: Path) -> None:
    seal = Seal(entries="", files={"../secret": "0" * 64, "/etc/passwd": "0" * 64})
    assert {breach.how for breach in breaches(copied_run, seal, [])} == {"missing"}
    assert not is_file_of_run("../table.csv")
    assert not is_file_of_run("parts/../../x.parquet")
