"""Commands and scripts in processes of their own that need not import torch anew.

A server imports once what every command needs, and forks for each of them: a clean process, whose standard
output is a file. How a process starts by itself is for tests of that (`test_cold_start`, `test_package`).
"""

import io
import multiprocessing
import os
import runpy
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final, NamedTuple

_IMPORTED: Final = (
    "tests.forked",
    "advbench.cli",
    "advbench.jobs.run",
    "sklearn.datasets",
    "torchvision.transforms.v2",
)


class Ended(NamedTuple):
    """How a process ended, and what it wrote."""

    returncode: int
    stdout: str
    stderr: str


def run_command(
    words: Sequence[str], folder: Path, environment: Mapping[str, str] = MappingProxyType({})
) -> Ended:
    """What `advbench WORDS` comes to in a folder."""
    return _ended(_command, list(words), folder, environment)


def run_script(script: Path, folder: Path) -> Ended:
    """What `python -W error SCRIPT` comes to in a folder."""
    return _ended(_script, [str(script)], folder, {})


def run_launched(words: Sequence[str], folder: Path) -> Ended:
    """What `torchrun WORDS` comes to in a folder, with processes that are started as ever."""
    done = subprocess.run(
        [sys.executable, "-m", "torch.distributed.run", *words],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    return Ended(done.returncode, done.stdout, done.stderr)


def _ended(
    function: Callable[[list[str]], int], words: list[str], folder: Path, environment: Mapping[str, str]
) -> Ended:
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload(list(_IMPORTED))
    with tempfile.TemporaryDirectory() as home:
        out, err = Path(home, "out"), Path(home, "err")
        told = {**os.environ, **environment}
        process = server.Process(target=_begin, args=(function, words, folder, told, out, err))
        process.start()
        process.join()
        assert process.exitcode is not None
        return Ended(process.exitcode, out.read_text("utf-8"), err.read_text("utf-8"))


def _begin(  # what a process is told
    function: Callable[[list[str]], int],
    words: list[str],
    folder: Path,
    environment: Mapping[str, str],
    out: Path,
    err: Path,
) -> None:
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for path, descriptor in ((out, 1), (err, 2)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), descriptor)
    sys.stdout, sys.stderr = (io.TextIOWrapper(io.FileIO(number, "w"), "utf-8") for number in (1, 2))
    try:
        code = function(words)
    except SystemExit as exit_:
        code = exit_.code if isinstance(exit_.code, int) else 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    raise SystemExit(code)


def _command(words: list[str]) -> int:
    from advbench.cli import main  # noqa: PLC0415  # the server has it

    sys.argv = ["advbench", *words]
    return main(words)


def _script(words: list[str]) -> int:
    warnings.simplefilter("error")
    sys.argv = words
    sys.path.insert(0, str(Path(words[0]).parent))
    runpy.run_path(words[0], run_name="__main__")
    return 0
