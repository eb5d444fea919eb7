"""Where results come from: every file that a run writes says it, and asking git runs nobody's programs."""

import csv
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet
import pytest
import safetensors

import advbench
from advbench import cli
from advbench.runs.provenance import commits, origin_of

WORDS = (
    "attack --first 6 --defense round --bpda --substitute soft --substitute learned --save-adversarial "
    "--format csv,markdown,latex,json --out run"
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("provenance")
    before = Path.cwd()
    os.chdir(home)
    try:
        assert cli.main(WORDS.split()) == 0
    finally:
        os.chdir(before)
    return home / "run"


@pytest.fixture(scope="module")
def origin(run: Path) -> dict[str, str]:
    """What `run.json` says, in the words of the other files."""
    return origin_of(json.loads((run / "run.json").read_text()))


def test_the_origin_names_all_that_the_numbers_depend_on(origin: dict[str, str]) -> None:
    assert origin["command"] == f"advbench {WORDS}"
    assert origin["seed"] == "0"
    assert len(origin["checkpoint_sha256"]) == len(origin["data_fingerprint"]) == len(origin["run"]) == 64
    assert origin["device"].startswith("cpu ")
    assert origin["precision"] == "float32"
    assert f"advbench {advbench.__version__}; python 3." in origin["versions"]
    assert "torch " in origin["versions"]


def parquet_origin(path: Path) -> dict[str, str]:
    metadata = pyarrow.parquet.ParquetFile(path).schema_arrow.metadata
    found: dict[str, str] = json.loads(metadata[b"advbench"])
    return {name: text for name, text in found.items() if name != "examples"}


def tensors_origin(path: Path) -> dict[str, str]:
    with safetensors.safe_open(path, framework="pt") as file:
        found: dict[str, str] = json.loads(file.metadata()["origin"])
    return found


def csv_origin(path: Path) -> dict[str, str]:
    with path.open(newline="", encoding="utf-8") as file:
        return next(csv.DictReader(file))


def json_origin(path: Path) -> dict[str, str]:
    rows: list[dict[str, str]] = json.loads(path.read_text())
    return rows[-1]


def search_origin(path: Path) -> dict[str, str]:
    found: dict[str, str] = json.loads(path.read_text())["origin"]
    return found


def markdown_origin(path: Path) -> dict[str, str]:
    comment = path.read_text().partition("<!--\n")[2].partition("-->")[0]
    return dict(line.split(": ", 1) for line in comment.splitlines())


def latex_origin(path: Path) -> dict[str, str]:
    lines = [line for line in path.read_text().splitlines() if line.startswith("% ") and ": " in line]
    return dict(line.removeprefix("% ").split(": ", 1) for line in lines)


READERS: dict[str, Callable[[Path], dict[str, str]]] = {
    "samples.parquet": parquet_origin,
    "parts/*.parquet": parquet_origin,
    "adversarial/*.safetensors": tensors_origin,
    "substitutes.csv": csv_origin,
    "substitutes/*.json": search_origin,
    "substitutes/*.safetensors": tensors_origin,
    "table.csv": csv_origin,
    "table.json": json_origin,
    "table.md": markdown_origin,
    "table.tex": latex_origin,
}


@pytest.mark.parametrize(("pattern", "read"), READERS.items(), ids=READERS.keys())
def test_every_file_says_where_it_comes_from(
    run: Path, origin: dict[str, str], pattern: str, read: Callable[[Path], dict[str, str]]
) -> None:
    files = list(run.glob(pattern))
    assert files
    for file in files:
        found = read(file)
        assert {name: found.get(name) for name in origin} == origin


def test_no_kind_of_file_is_left_out(run: Path) -> None:
    known = {each for pattern in [*READERS, "run.json"] for each in run.glob(pattern)}
    assert {each for each in run.rglob("*") if each.is_file()} == known


def git(folder: Path, *words: str) -> str:
    settings = ["-c", "user.name=somebody", "-c", "user.email=somebody@example.org"]
    done = subprocess.run(["git", *settings, *words], cwd=folder, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder as a git repository with one commit."""
    git(tmp_path, "init", "--quiet")
    (tmp_path / "model.py").write_text("old\n")
    git(tmp_path, "add", "model.py")
    git(tmp_path, "commit", "--quiet", "--message", "a model")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_commit_of_the_current_folder_is_named(checkout: Path) -> None:
    assert commits()["current_folder"] == git(checkout, "rev-parse", "HEAD")


def test_asking_for_a_commit_runs_nothing_that_the_folder_names(checkout: Path) -> None:
    (checkout / "spy").write_text(f"#!/bin/sh\ntouch {checkout}/ran\n")
    (checkout / "spy").chmod(0o755)
    (checkout / ".gitattributes").write_text("* filter=spy diff=spy\n")
    for name in ("core.fsmonitor", "filter.spy.clean", "diff.spy.textconv", "core.pager", "core.hooksPath"):
        git(checkout, "config", name, str(checkout / "spy"))
    (checkout / "model.py").write_text("new\n")
    assert "current_folder" in commits()
    assert not (checkout / "ran").exists()
    git(checkout, "status")
    assert (checkout / "ran").exists(), "the spy works where git is asked for more"


def test_outside_of_git_and_without_git_there_is_no_commit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_DIR", str(Path(__file__).parents[2] / ".git"))
    assert "current_folder" not in commits(), "another process's GIT_DIR is not ours"
    monkeypatch.setenv("PATH", str(tmp_path))
    assert commits() == {}


@pytest.mark.parametrize("manifest", [{}, {"versions": [], "commits": 3, "command": "x", "settings": None}])
def test_what_is_not_said_stays_empty(manifest: dict[str, object]) -> None:
    said = origin_of(manifest)
    assert {name for name, text in said.items() if text} == {"run"}
