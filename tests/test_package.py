"""The four folders install as one package, and nothing of ours lands beside it."""

import importlib
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

import advbench
from advbench import attacks, defenses, reports
from benchmarks.floor_plan import modules, without_test

ROOT = Path(__file__).parents[1]
MAPPED = ("attacks", "defenses", "reports")
UNTESTED = 20
"""Fewer modules than this have no file of tests of their name."""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of a copy, so that leftovers of an earlier build in the checkout cannot get into it."""
    source, folder = tmp_path_factory.mktemp("source") / "advbench", tmp_path_factory.mktemp("wheel")
    anywhere = shutil.ignore_patterns(".*", "*.egg-info", "__pycache__")

    def ignored(folder: str, names: list[str]) -> set[str]:
        at_the_top = {"build", "runs", "tests"} if Path(folder) == ROOT else set()
        return anywhere(folder, names) | at_the_top

    shutil.copytree(ROOT, source, symlinks=True, ignore=ignored)
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), "."]
    subprocess.run(build, check=True, capture_output=True, text=True, cwd=source)
    (wheel,) = folder.glob("*.whl")
    return wheel


@pytest.mark.parametrize("folder", MAPPED)
def test_each_mapped_folder_has_its_link(folder: str) -> None:
    link = ROOT / "advbench" / folder
    assert link.is_symlink()
    assert link.readlink() == Path("..") / folder


def test_every_package_folder_is_listed() -> None:
    setuptools = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    real = {"advbench", *(f"advbench.{each}" for each in MAPPED)}
    for init in (ROOT / "advbench").rglob("__init__.py"):
        real.add(".".join(init.parent.relative_to(ROOT).parts))
    assert set(setuptools["packages"]) == real


def test_tests_mirror_the_rooms() -> None:
    """A test in a folder is about the room of that name; tests beside the folders are about the whole."""
    for path in (ROOT / "tests").rglob("test_*.py"):
        room = path.parent.relative_to(ROOT / "tests")
        assert (ROOT / "advbench" / room).is_dir(), f"{path} is about no room"


def test_nearly_every_module_has_a_test_of_its_name() -> None:
    """Whoever changes a module finds what is promised of it where its name says."""
    without = without_test(modules(ROOT), ROOT)
    assert len(without) < UNTESTED, f"{without} have no test_NAME.py"


def test_public_names_do_not_shadow_modules() -> None:
    """A module of the same name would take the place of the public object once it is imported."""
    rooms = [
        importlib.import_module(f"advbench.{name}") for name in ("defended", "draws", "evaluation", "threat")
    ]
    for package in (advbench, attacks, defenses, reports, *rooms):
        (folder,) = package.__path__
        modules = {each.stem for each in Path(folder).glob("*.py")}
        assert not modules & set(dir(package)), package.__name__
        assert all(getattr(package, name) is not None for name in dir(package))


@pytest.mark.slow
def test_the_wheels_only_top_level_name_is_advbench(wheel: Path) -> None:
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.partition("/")[0] for name in names if ".dist-info/" not in name} == {"advbench"}
    assert {"advbench/attacks/pgd.py", "advbench/defenses/quantize.py", "advbench/reports/frame.py"} <= set(
        names
    )
    assert {"advbench/reports/page.css", "advbench/reports/page.js"} <= set(names)
    assert {"advbench/py.typed", "advbench/models/weights/digits-cnn.safetensors"} <= set(names)
    assert {f"advbench/defenses/weights/digits-denoiser.{kind}" for kind in ("safetensors", "md")} <= set(
        names
    )


@pytest.mark.slow
def test_the_wheel_works_from_an_empty_folder(wheel: Path, tmp_path: Path) -> None:
    """The built wheel, not the checkout, runs the main job."""
    home, empty = tmp_path / "site", tmp_path / "empty"
    empty.mkdir()
    install = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--target",
        str(home),
        str(wheel),
    ]
    subprocess.run(install, check=True, capture_output=True, text=True)
    code = (
        f"import sys; sys.path.insert(0, {str(home)!r}); import advbench; "
        f"assert advbench.__file__.startswith({str(home)!r}); "
        "from advbench.cli import main; "
        "sys.exit(main(['attack', '--defense', 'round', '--bpda', '--first', '50']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=empty, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert "round" in done.stdout
