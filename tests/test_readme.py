"""Every command and every example of the README runs, and prints what the README says it prints."""

import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from advbench.results.records import LOSS_COLUMNS, SAMPLE_TYPES

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```console\n((?:.*\n)*?)```", README)
EXAMPLES = re.findall(r"```python\n((?:.*\n)*?)```(?:(?!```)[\s\S])*```text\n((?:.*\n)*?)```", README)
FILES = re.findall(r"Save this as `([\w.]+)`:\n\n```python\n((?:.*\n)*?)```", README)
PROGRAMS = {"advbench": "advbench", "torchrun": "torch.distributed.run"}


TOML = re.findall(r"```toml\n((?:.*\n)*?)```", README)


def commands_of(block: str) -> list[tuple[str, str]]:
    """The commands of a block, each with what it prints."""
    return re.findall(r"^\$ (.+)\n((?:(?!\$ ).*\n)*)", block, re.MULTILINE)


def assert_same_table(printed: str, promised: str) -> None:
    """Words to the letter; counts up to the images that another machine's rounding may decide otherwise."""
    counts = re.compile(r"(\d+)/(\d+)")
    measured, expected = counts.findall(printed), counts.findall(promised)
    assert len(measured) == len(expected)
    for (count, n), (promised_count, promised_n) in zip(measured, expected, strict=True):
        assert n == promised_n
        assert abs(int(count) - int(promised_count)) <= max(2, int(n) // 1000), printed
    number = re.compile(r"[-+\d.,\s]+|─+")
    assert number.sub(" ", printed).strip() == number.sub(" ", promised).strip()


def test_the_readme_shows_commands_and_examples() -> None:
    assert len(BLOCKS) >= 5
    assert sum(len(commands_of(block)) for block in BLOCKS) == len(re.findall(r"^\$ ", README, re.MULTILINE))
    assert len(EXAMPLES) == README.count("```python") >= 2


def test_the_readme_names_every_column_of_the_records() -> None:
    told = README[README.index("`samples.parquet` holds, for each image") :].split("\n\n")[0]
    names = set(re.findall(r"`(\w+)`", told))
    assert names <= SAMPLE_TYPES.keys()
    assert SAMPLE_TYPES.keys() - names <= set(LOSS_COLUMNS), "of which some are enough"


def test_the_sweep_that_the_readme_shows_is_the_one_that_it_runs() -> None:
    shown, kept = (tomllib.loads(each) for each in (TOML[0], (ROOT / "sweeps/digits.toml").read_text()))
    assert shown == kept


@pytest.mark.slow
@pytest.mark.parametrize("block", BLOCKS, ids=[block[2:60].partition("\n")[0] for block in BLOCKS])
def test_commands_print_what_the_readme_says(
    block: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if "checkpoints/" in block:
        shared: Path = request.getfixturevalue("shared")
        for name in ("checkpoints", "data"):
            (tmp_path / name).symlink_to(shared / name)
    for name, code in FILES:
        (tmp_path / name).write_text(code, encoding="utf-8")
    if "sweeps/" in block:
        (tmp_path / "sweeps").symlink_to(ROOT / "sweeps")
    for library in re.findall(r"--attack (\w+):", block):
        pytest.importorskip(library, reason=f"{library} is not installed: pip install 'advbench[{library}]'")
    for command, promised in commands_of(block):
        program, *arguments = shlex.split(command)
        done = subprocess.run(
            [sys.executable, "-m", PROGRAMS[program], *arguments],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert_same_table(done.stdout, promised)


@pytest.mark.slow
@pytest.mark.parametrize(("code", "promised"), EXAMPLES)
def test_an_example_prints_what_the_readme_says(code: str, promised: str, tmp_path: Path) -> None:
    script = tmp_path / "example.py"
    script.write_text(code, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-W", "error", script], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert_same_table(done.stdout, promised)
