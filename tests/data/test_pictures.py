"""Only pictures are opened as pictures, whatever a file is called, and no file starts a program."""

import ast
import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import EpsImagePlugin, Image, features

from advbench.data import pictures
from advbench.data.load import load_dataset
from advbench.data.pictures import FORMATS
from advbench.data.pixels import Reading, read_pixels
from advbench.data.read_ahead import ReadAhead
from advbench.data.sources import Place
from advbench.errors import DatasetError
from advbench.models.resnet_cifar import resnet20
from tests.hostile import refusal
from tests.other_formats import BY_HAND, file_of
from tests.programs import programs_started

ROOT = Path(__file__).parents[2]
OTHERS = sorted(set(Image.OPEN) - set(FORMATS))
OWN_PROGRAMS = {"git", "uname", "ldconfig"}
"""What a run starts to say in `run.json` where it ran, and torch to find its libraries."""
RUN = Callable[[Path], str]


def write_good(root: Path) -> Path:
    """A folder of two classes with a picture each; returns the folder of the second."""
    for name in ("a", "b"):
        (root / name).mkdir(parents=True)
        Image.new("RGB", (32, 32), (200, 100, 50)).save(root / name / "good.png")
    return root / "b"


def refused(path: Path) -> str:
    """The line that refuses a file, and that names it."""
    with pytest.raises(DatasetError) as caught:
        read_pixels(str(path), Reading())
    message = str(caught.value)
    del caught  # a file that was left open warns here, not in a later test
    assert "\n" not in message
    assert str(path) in message
    return message


@pytest.fixture(params=["absent", "present"])
def interpreter(request: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for the interpreter of PostScript, on the path or not; the file that it would write."""
    programs, marker = tmp_path / "bin", tmp_path / "it-ran"
    programs.mkdir()
    if request.param == "present":
        (programs / "gs").write_text(f"#!/bin/sh\necho ran >> {marker}\nexit 1\n")
        (programs / "gs").chmod(0o755)
    monkeypatch.setenv("PATH", str(programs) + os.pathsep + "/usr/bin:/bin")
    monkeypatch.setattr(EpsImagePlugin, "gs_binary", None)  # where Pillow keeps what it has found
    return marker


@pytest.fixture
def attack(capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RUN:
    """The line by which the command refuses a folder of images with exit code 2, nothing written."""
    monkeypatch.chdir(tmp_path)
    torch.save(resnet20(num_classes=2).state_dict(), tmp_path / "resnet20.pt")

    def attack(root: Path) -> str:
        words = f"attack --checkpoint {tmp_path}/resnet20.pt --model resnet20 --dataset imagefolder --steps 1"
        line = refusal([*words.split(), "--data-root", str(root)], lambda: capsys.readouterr().err)
        assert not Path("runs").exists()
        return line

    return attack


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("ending", [".png", ".jpg", ".tif"])
def test_each_format_that_is_read_is_read_whatever_the_ending(kind: str, ending: str, tmp_path: Path) -> None:
    if kind == "WEBP" and not features.check("webp"):
        pytest.skip("Pillow without WebP")
    path = tmp_path / f"picture{ending}"
    path.write_bytes(file_of(kind))
    assert read_pixels(path, Reading()).shape == (3, 32, 32)


@pytest.mark.parametrize("kind", OTHERS)
@pytest.mark.parametrize("ending", [".png", ".jpeg", ".tiff"])
def test_a_file_of_any_other_format_is_refused_by_name(
    kind: str, ending: str, interpreter: Path, tmp_path: Path
) -> None:
    if kind == "AVIF" and not features.check("avif"):
        pytest.skip("Pillow without AVIF")
    path = tmp_path / f"picture{ending}"
    path.write_bytes(file_of(kind))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        unsafe = Image.open(path)
    with unsafe:  # the file is what it is said to be
        assert (unsafe.format or "").upper() == kind
    with programs_started() as started:
        assert "in a format that is not read" in refused(path)
    assert started == []
    assert not interpreter.exists()


def test_pillow_by_itself_starts_the_interpreter(interpreter: Path, tmp_path: Path) -> None:
    """The negative control: what the tests beside this one watch for can be seen."""
    path = tmp_path / "picture.png"
    path.write_bytes(file_of("EPS"))
    is_there = (tmp_path / "bin/gs").exists()
    if not is_there and any(Path(each, "gs").exists() for each in ("/usr/bin", "/bin")):
        pytest.skip("an interpreter is installed here")
    with (
        programs_started() as started,
        Image.open(path) as unsafe,
        pytest.raises((OSError, subprocess.CalledProcessError)),
    ):
        unsafe.load()
    assert bool(started)
    assert interpreter.exists() == is_there


@pytest.mark.parametrize("kind", ["EPS", "WMF", "PSD", "ICNS", "TGA"])
def test_the_command_refuses_a_file_of_another_format_by_name_and_starts_nothing(
    kind: str, attack: RUN, interpreter: Path, tmp_path: Path
) -> None:
    (write_good(tmp_path / "images") / "other.png").write_bytes(file_of(kind))
    with programs_started() as started:
        line = attack(tmp_path / "images")
    assert "images/b/other.png" in line
    assert "BMP, GIF, JPEG, PNG, PPM, TIFF, WEBP" in line
    assert {each.rpartition("/")[2].rpartition(" ")[2] for each in started} <= OWN_PROGRAMS
    assert not interpreter.exists()


def test_every_other_format_in_one_folder_is_refused_in_a_process_of_its_own(tmp_path: Path) -> None:
    """In a fresh process, in which no plug-in of Pillow's has been imported by another test."""
    for kind in OTHERS:
        (tmp_path / f"{kind}.png").write_bytes(file_of(kind))
    code = (
        "import sys, pathlib\n"
        "from advbench.data.pixels import Reading, read_pixels\n"  # torch looks for its libraries
        "started = []\n"
        "kinds = 'subprocess', 'os.system', 'os.posix_spawn', 'os.exec', 'os.fork'\n"
        "sys.addaudithook(lambda event, _: event.startswith(kinds) and started.append(event))\n"
        "for path in sorted(pathlib.Path(sys.argv[1]).iterdir()):\n"
        "    try: read_pixels(path, Reading())\n"
        "    except ValueError as error: print(path.stem, 'not read' in str(error))\n"
        "print(started)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    found = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert found.stdout.splitlines() == [*(f"{kind} True" for kind in OTHERS), "[]"]


def declares(width: int, height: int) -> bytes:
    """A bitmap's header of this size, with hardly any pixels behind it."""
    from tests.cli.test_hostile_files import png_that_declares  # noqa: PLC0415

    return png_that_declares(width, height)


@pytest.mark.parametrize(
    ("width", "height"), [(9460, 9460), (13_000, 13_000), (20_000, 20_000), (1 << 30, 8)]
)
def test_a_picture_of_more_pixels_than_the_bound_is_refused_before_it_is_decoded(
    width: int, height: int, attack: RUN, tmp_path: Path
) -> None:
    path = write_good(tmp_path / "images") / "large.png"
    path.write_bytes(declares(width, height))
    assert "declares more than 89,478,485 pixels" in refused(path)
    assert f"{path} declares more than 89,478,485 pixels, the most that are read. Save it smaller." in attack(
        tmp_path / "images"
    )


def test_the_bound_on_pixels_is_the_largest_size_that_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pictures, "MOST_PIXELS", 32 * 32)
    for side in (32, 33):
        Image.new("RGB", (side, 32)).save(tmp_path / f"{side}.png")
    assert read_pixels(tmp_path / "32.png", Reading()).shape == (3, 32, 32)
    assert "more than 1,024 pixels" in refused(tmp_path / "33.png")
    assert Image.MAX_IMAGE_PIXELS == 89_478_485, "the message would be wrong"


@pytest.mark.slow
def test_pillows_own_warning_of_a_large_picture_is_not_printed_beside_the_refusal(tmp_path: Path) -> None:
    path = write_good(tmp_path / "images") / "large.png"
    path.write_bytes(declares(13_000, 13_000))
    torch.save(resnet20(num_classes=2).state_dict(), tmp_path / "resnet20.pt")
    words = (
        "attack --checkpoint resnet20.pt --model resnet20 --dataset imagefolder --data-root images --quiet"
    )
    done = subprocess.run(
        [sys.executable, "-m", "advbench", *words.split()],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 2
    assert "DecompressionBomb" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith("advbench: error: image images/b/large.png declares")


def make_pipe(path: Path) -> None:
    os.mkfifo(path)


def link_to_device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def link_to_nothing(path: Path) -> None:
    path.symlink_to("nothing")


IRREGULAR = [
    (make_pipe, "cannot be read: it is a pipe, not a file"),
    (link_to_device, "cannot be read: it is a device, not a file"),
    (link_to_nothing, "cannot be read: No such file or directory"),
]


@pytest.mark.parametrize(("make", "said"), IRREGULAR)
def test_what_is_no_regular_file_is_refused_by_name_without_waiting(
    make: Callable[[Path], None], said: str, attack: RUN, tmp_path: Path
) -> None:
    path = write_good(tmp_path / "images") / "odd.png"
    make(path)
    assert said in refused(path)
    assert said in (line := attack(tmp_path / "images"))
    assert str(path) in line


def test_a_picture_refused_in_the_thread_that_reads_ahead_is_named(tmp_path: Path) -> None:
    (write_good(tmp_path) / "other.png").write_bytes(BY_HAND["PSD"])
    dataset = load_dataset("imagefolder", Place(root=tmp_path, split="test"))
    with ReadAhead(dataset, range(3)) as images, pytest.raises(DatasetError, match=r"b/other\.png"):
        images.first(3)


SHIPPED = [
    path
    for folder in ("advbench", "attacks", "defenses", "reports", "benchmarks")
    for path in sorted((ROOT / folder).rglob("*.py"))
    if not path.is_relative_to(ROOT / "advbench/attacks")
]


def test_no_shipped_file_opens_a_picture_without_a_list_of_formats() -> None:
    """Calls of Pillow's opener; torchvision's folders, which open with any, are called nowhere."""
    careless, seen = [], 0
    for path in SHIPPED:
        for call in ast.walk(ast.parse(path.read_text())):
            if not isinstance(call, ast.Call):
                continue
            name = ast.unparse(call.func)
            needs = {"Image.open": "formats", "pil.open": "formats", "ImageFolder": "nothing"}.get(name)
            seen += needs is not None
            if needs and needs not in {each.arg for each in call.keywords}:
                careless.append(f"{path}:{call.lineno}")
        assert "default_loader" not in path.read_text(), path
    assert careless == []
    assert seen >= 2
