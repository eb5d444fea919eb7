"""What `advbench view` shows of a run, a sweep, and a folder of many."""

import shutil
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from advbench import cli
from advbench.errors import InputError, RunFolderError, SpecError
from advbench.jobs.settings.view import ViewSettings
from advbench.jobs.view import page_to_view, write_view


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two runs, one of them with pictures, a sweep, a training's folder, and what does not open."""
    home = tmp_path_factory.mktemp("runs")
    words = "attack --first 3 --steps 2 --defense round --quiet --no-settings".split()  # noqa: SIM905
    assert cli.main([*words, "--save-adversarial", "--out", str(home / "kept")]) == 0
    assert cli.main([*words, "--eps", "0.1", "--out", str(home / "deep" / "plain")]) == 0
    grid = home / "grid.toml"
    grid.write_text('defenses = ["round"]\n[defaults]\nfirst = 2\nsteps = 1\n')
    assert cli.main(["sweep", str(grid), "--quiet", "--out", str(home / "sweep")]) == 0
    shutil.copytree(home / "deep" / "plain", home / "forged")
    manifest = home / "forged" / "run.json"
    manifest.write_text(manifest.read_text().replace('"linf"', '"l2"'))
    (home / "running").mkdir()
    (home / "running" / "run.json").write_text('{"status": "running"}')
    shutil.copytree(home / "sweep", home / "half")
    (run,) = (home / "half" / "runs").iterdir()
    shutil.copytree(run, run.with_name("whole"))
    (run / "samples.parquet").unlink()
    return home


def view(folder: Path, **others: object) -> str:
    return page_to_view(ViewSettings(folder=folder, **others))  # type: ignore[arg-type]  # by name


def test_a_folder_has_every_run_and_why_others_do_not_open(runs: Path) -> None:
    text = view(runs)
    for name in ("kept", "deep/plain", "half/runs/whole", "sweep/runs/"):
        assert f'<th scope="row">{name}' in text
    closed = text[text.index("Could not be read") :]
    for name, reason in (
        ("forged", "not the settings that the run was hashed with"),
        ("running", "is not finished (status &#x27;running&#x27;)"),
        ("half", "samples.parquet cannot be read"),
    ):
        assert f'<th scope="row">{name}' in closed
        assert reason in closed
    assert text.count("<figure data-rung") > 0
    assert 'data-run="kept"' in text
    assert "5 runs" not in text
    assert text == view(runs)


def test_pictures_whose_data_are_gone_are_told(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(*_: object) -> object:
        raise InputError("the data set is not there.")

    monkeypatch.setattr("advbench.jobs.gallery.gallery", gone)
    assert "No pictures of kept: kept: the data set is not there." in view(runs)


def test_one_run_and_one_sweep_have_their_own_page(runs: Path) -> None:
    assert "<h2>Gallery</h2>" in view(runs / "kept")
    assert "Robustness of digits-cnn" in view(runs / "sweep")


def test_what_cannot_be_shown_is_one_sentence(runs: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no run and no sweep, and nothing below it does"):
        view(tmp_path)
    with pytest.raises(InputError, match="there is no folder"):
        view(tmp_path / "none")
    with pytest.raises(RunFolderError, match="is not finished"):
        view(runs / "running")
    with pytest.raises(SpecError, match="--out or --serve, not both"):
        ViewSettings(folder=runs, out=tmp_path, serve=True)
    with pytest.raises(SpecError, match="--port is of --serve"):
        ViewSettings(folder=runs, port=80)


def test_a_page_replaces_a_page_and_nothing_else(runs: Path, tmp_path: Path) -> None:
    page = view(runs / "kept")
    out = tmp_path / "new" / "page.html"
    write_view(page, out, overwrite=False)
    write_view(page, out, overwrite=False)
    assert out.read_text(encoding="utf-8") == page
    other = tmp_path / "thesis.html"
    other.write_text("mine")
    with pytest.raises(RunFolderError, match="is no page of advbench"):
        write_view(page, other, overwrite=False)
    assert other.read_text() == "mine"
    write_view(page, other, overwrite=True)
    with pytest.raises(RunFolderError, match="whose files are evidence"):
        write_view(page, runs / "kept" / "page.html", overwrite=True)
    with pytest.raises(RunFolderError, match="is a folder"):
        write_view(page, tmp_path, overwrite=True)


def test_the_command_writes_and_opens_the_page(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    opened: list[str] = []

    def show(address: str) -> bool:
        opened.append(address)
        return False

    monkeypatch.setattr("webbrowser.open", show)
    out = tmp_path / "page.html"
    assert cli.main(["view", str(runs / "kept"), "--out", str(out), "--no-open"]) == 0
    assert capsys.readouterr().out == f"written: {out}\n"
    assert opened == []
    assert cli.main(["view", str(runs / "kept"), "--out", str(out)]) == 0
    assert opened == [out.as_uri()]
    assert f"no browser was found: open {out.as_uri()} in one" in capsys.readouterr().err
    assert cli.main(["view", str(tmp_path / "none")]) == 2
    assert capsys.readouterr().err == f"advbench: error: there is no folder {tmp_path}/none.\n"


def test_serving_ends_with_an_interrupt(runs: Path) -> None:
    words = [sys.executable, "-m", "advbench", "view", str(runs / "kept"), "--serve", "--no-open", "--quiet"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        line = process.stdout.readline()
        address = line.split()[1]
        assert address.startswith("http://127.0.0.1:")
        with urllib.request.urlopen(address, timeout=20) as response:
            assert b"Robustness of digits-cnn" in response.read()
        process.send_signal(signal.SIGINT)
        try:
            assert process.wait(timeout=30) == 0
        finally:
            process.kill()  # a parent that ignores the signal passes that on, and nothing else ends it
