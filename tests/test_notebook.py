"""The example with cells runs, and examples and benchmarks keep to the public names."""

import ast
import runpy
from pathlib import Path

import pytest

import advbench as ab

ROOT = Path(__file__).parents[1]
PACKAGES = ("advbench", "advbench.attacks", "advbench.defenses", "advbench.reports")
PUBLIC_ALONE = ("examples/notebook.py", "benchmarks/attack_strength.py", "benchmarks/peer_points.py")


def imported(path: Path) -> set[str]:
    """The modules of advbench that a file imports."""
    modules = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            modules.add(node.module or "")
    return {module for module in modules if module.partition(".")[0] == "advbench"}


@pytest.fixture
def told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> dict[str, object]:
    """Everything that the notebook's cells have named, and what they printed."""
    pytest.importorskip("matplotlib", reason="figures are an extra")
    monkeypatch.chdir(tmp_path)
    names = runpy.run_path(str(ROOT / "examples/notebook.py"))
    return {**names, "printed": capsys.readouterr().out}


def test_the_notebook_runs_from_its_first_cell_to_its_last(told: dict[str, object]) -> None:
    run, sweep, curve = told["run"], told["sweep"], told["curve"]
    assert isinstance(run, ab.Run)
    assert isinstance(sweep, ab.Sweep)
    assert isinstance(curve, ab.Sweep)
    by_defense = {row.defense: row for row in run.rows}
    assert list(by_defense) == ["none", "bit-depth:bits=3", "posterized"]
    assert all(row.verdict for row in run.rows)
    assert by_defense["posterized"].rates["shattered"].count > by_defense["posterized"].rates["bpda"].count
    assert len(sweep.rows) == 2 * 2 * 2
    assert not sweep.failed
    assert told["again"] == run
    assert Path("runs/notebook/ladder.png").read_bytes().startswith(b"\x89PNG")
    printed = str(told["printed"])
    assert printed.startswith("60 of 60 images are right\n")
    assert run.table() in printed
    assert "True ()" in printed.splitlines()[-1]
    assert Path("runs/notebook").is_dir()


@pytest.mark.parametrize("name", PUBLIC_ALONE)
def test_what_shows_the_library_imports_public_names(name: str) -> None:
    assert imported(ROOT / name) <= set(PACKAGES)


FUZZERS = {"fuzz_lines", "hostile_files", "hostile_onnx"}
"""What they try is the command line itself, in forks of one process."""


@pytest.mark.parametrize(
    "path",
    [path for path in sorted((ROOT / "benchmarks").glob("*.py")) if path.stem not in FUZZERS],
    ids=lambda path: path.stem,
)
def test_no_benchmark_knows_the_command_line_or_its_jobs(path: Path) -> None:
    assert not [name for name in imported(path) if name.startswith(("advbench.cli", "advbench.jobs"))]
