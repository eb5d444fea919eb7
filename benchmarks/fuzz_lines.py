"""Fuzzed command lines: options and values at random, sound and unsound, over every command.

    python -m benchmarks.fuzz_lines --count 2000 --seed 0 --out lines.jsonl

Prints a line of figures; ends with 1 where a line hung, filled the memory, showed a traceback, was blamed on
advbench, or started a program. The same command goes on where it was stopped. Numbers that are within their
ranges are small: a billion steps are what somebody asked for.
"""

import os
import random
import socket
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Final

from advbench.jobs.settings.option import Setting, settings_of
from advbench.jobs.settings.report import ReportSettings
from advbench.jobs.settings.run import RunSettings
from advbench.jobs.settings.sweep import SweepSettings
from advbench.jobs.settings.train import TrainSettings
from advbench.jobs.settings.verify import VerifySettings
from benchmarks.forked_cases import Case, asked, outcomes, tell

_COMMANDS: Final = {
    "attack": RunSettings,
    "finetune": TrainSettings,
    "report": ReportSettings,
    "sweep": SweepSettings,
    "verify": VerifySettings,
}
_LEFT_OUT: Final = ("download", "trust_program", "watch", "debug", "command")
"""What asks for the network or for code, waits by design, or is to show a traceback."""

_NUMBERS: Final = (
    *(
        "0",
        "-1",
        "1.5",
        "nan",
        "inf",
        "1e3",
        "9" * 20,
        "9" * 30,
        "9" * 5000,
        "-" + "9" * 30,
        "0x10",
        "٣",
        "1_0",
    ),
    *("", " ", "True", "1" * 400 + ".5", "2147483648", "9223372036854775808", "1/0", "8/255", "0/0", "−1"),
)
_TEXTS: Final = (
    *(
        "",
        " ",
        "\x1b[31mred\x1b[0m",
        "a\nb",
        "\udcff",
        "a" * 5000,
        "[",
        "]]]",
        "🦜",
        "../..",
        "-",
        "--",
        "%s%n",
    ),
    *(
        "{}",
        ":",
        "@",
        "x=1",
        "a:b:c",
        "(" * 3000,
        "'",
        '"',
        "\\",
        "*",
        "~",
        "$HOME",
        "`id`",
        "=;|&",
        "\u202eabc",
    ),
    *(
        "none",
        "round:step=0",
        "round:step=nan",
        "jpeg:quality=" + "9" * 25,
        "round@logits",
        "bit-depth:bits=1e9",
    ),
    *("+".join(["round"] * 50), "round++round", "pgd:steps=" + "9" * 30, "pgd:steps=-1", "square:queries=0"),
    *("os:system", "json:loads", "no.such.module:net", "file.py:net", "pipe.py:net", "round@" + "x" * 300),
    *("quilt:bank=pipe", "quilt:bank=/dev/zero", "purify:denoiser=pipe.py:net", "tv-min:steps=" + "9" * 40),
    *(
        "resize-pad:ratio=1e300",
        "gaussian:sigma=1e300",
        "median:kernel=99999",
        "noise:sigma=-1",
        "1,2,3",
        "0,0,0",
    ),
)
_SOUND: Final = {
    "model": ("digits-cnn",),
    "defenses": ("round", "jpeg:quality=75", "noise", "bit-depth:bits=3+round"),
    "detectors": ("noise",),
    "attacks": ("pgd", "apgd:steps=1", "square:queries=2", "fgsm"),
    "dataset": ("digits",),
    "eps": ("0.1", "8/255"),
    "norm": ("linf", "l2"),
    "device": ("cpu",),
    "formats": ("csv", "latex", "html", "json,markdown"),
}
_PATHS: Final = (
    *("pipe", "pipe.py", "socket", "folder", "circle", "missing", "empty", "zeros", "text.toml", "runs"),
    *(
        "/dev/zero",
        "/dev/full",
        "/dev/null",
        "/proc/self",
        "/proc/self/mem",
        "/proc/self/fd/0",
        "/",
        ".",
        "\udcff",
    ),
    *("x" * 300, "folder/" * 1500, "nul\n", "\x1b]0;title\x07", "sub/missing"),
)
SMALL_ATTACK: Final = ("--first", "3", "--steps", "1", "--batch-size", "8", "--device", "cpu")
SMALL_TRAINING: Final = (
    *("--epochs", "1", "--train-limit", "20", "--limit", "10", "--batch-size", "8", "--device", "cpu"),
)
_SMALL: Final = {"attack": SMALL_ATTACK, "finetune": SMALL_TRAINING}


def main() -> None:
    """The figures, as the module says."""
    asked("Fuzzed command lines.", 2000, run)


def run(count: int, seed: int, kept: Path | None = None, *, verbose: bool = False) -> tuple[str, bool]:
    """Run the lines; the figures, and whether all is well."""
    from advbench.cli import main as advbench  # noqa: PLC0415  # with all that it imports

    import_everything()
    return tell(outcomes(cases(count, seed), kept, advbench), "fuzzed lines", seed, verbose=verbose)


def import_everything() -> None:
    """Import what commands import late, so that forks have it."""
    import pandas  # noqa: F401, PLC0415
    import pyarrow.parquet  # noqa: F401, PLC0415
    import torch  # noqa: PLC0415
    import torchvision.transforms.v2  # noqa: F401, PLC0415
    from PIL import Image  # noqa: PLC0415

    import advbench.attacks  # noqa: PLC0415
    import advbench.cli.app  # noqa: PLC0415
    import advbench.defenses  # noqa: PLC0415
    import advbench.jobs.verify_deep  # noqa: F401, PLC0415

    torch.set_num_threads(1)
    Image.init()


def cases(count: int, seed: int) -> Iterator[Case]:
    """The lines, each a function of the seed and its number."""
    for number in range(count):
        draw = random.Random(f"{seed}/{number}")  # noqa: S311  # no secrets
        command = draw.choice([*_COMMANDS, "attack", "attack"])
        yield Case(number, command, partial(_write, command, draw))


def _write(command: str, draw: random.Random, folder: Path) -> list[str]:
    make_places(folder)
    words = [command, *_SMALL.get(command, ())]
    known = [setting for name, setting in settings_of(_COMMANDS[command]).items() if name not in _LEFT_OUT]
    for setting in draw.sample(known, min(len(known), draw.randint(1, 5))):
        words += _words(setting, draw)
    return _mangled(words, draw) if draw.random() < 0.2 else words


def _words(setting: Setting, draw: random.Random) -> list[str]:
    if setting.kind == "flag":
        return [draw.choice([setting.word, *([setting.negation] if setting.negation else [])])]
    value = _value(setting, draw)
    if setting.name == "smooth" and value == "8/255":
        value = "sigma=8/255,draws=2"  # not the hundred that stand for no number
    if setting.option.argument:
        return [value]
    return [f"{setting.word}={value}"] if draw.random() < 0.3 else [setting.word, value]


def _value(setting: Setting, draw: random.Random) -> str:
    sound = _SOUND.get(setting.name, setting.choices)
    if sound and draw.random() < 0.6:
        return draw.choice(sound)
    if setting.kind == "number":
        return draw.choice([*_NUMBERS, "1", "2", "2", "3"])
    if "Path" in str(setting.type):
        return draw.choice(_PATHS)
    return draw.choice([*_TEXTS, *_NUMBERS, *_PATHS])


def _mangled(words: list[str], draw: random.Random) -> list[str]:
    """The words with one changed, left out, or there twice."""
    place = draw.randrange(len(words))
    word = words[place]
    at = draw.randrange(len(word) + 1)
    new: Callable[[], list[str]] = draw.choice(
        [
            lambda: [],
            lambda: [word, word],
            lambda: [word[:at] + draw.choice("-=:@+,\x7fé ") + word[at:]],
            lambda: [word[:at]],
            lambda: [word.upper()],
        ]
    )
    return [*words[:place], *new(), *words[place + 1 :]]


def make_places(folder: Path) -> None:
    """What paths may lead to: files, and what stands in the place of files."""
    for name in ("pipe", "pipe.py", "pipe.toml"):
        os.mkfifo(folder / name)
    with socket.socket(socket.AF_UNIX) as made:
        made.bind("socket")
    (folder / "folder").mkdir()
    (folder / "circle").symlink_to("circle")
    (folder / "empty").touch()
    (folder / "zeros").write_bytes(bytes(1000))
    (folder / "text.toml").write_text("defenses = ['round']\n[defaults]\nfirst = 2\nsteps = 1\n")


if __name__ == "__main__":
    main()
