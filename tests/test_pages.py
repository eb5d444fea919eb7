"""Every command and every example of the README and of the site runs, and prints what the page says."""

import re
import shlex
import tomllib
from pathlib import Path

import pytest

from advbench.attacks import ATTACKS
from advbench.names.registry import ANY_NAME
from docs.made.commands import commands
from tests.forked import run_command, run_launched, run_script
from tests.pages import ROOT, Example, Page, commands_of, page, pages

PAGES = pages()
BLOCKS = {block: known for known in reversed(PAGES) for block in known.blocks}
"""Every block of commands, with a page that has it; a block that stands on several pages runs once."""
EXAMPLES = {example: known.name for known in reversed(PAGES) for example in known.examples_alone}
LIBRARIES = {name.removesuffix(ANY_NAME) for name in ATTACKS if name.endswith(ANY_NAME)}

OPTIONS = {"--help", *re.findall(r"`(--[a-z][\w-]*)`", commands())}
OTHERS_OPTIONS = {
    "--index-url",  # pip's
    *("--no-bpda", "--no-ladder"),  # ours, which take back what a settings file says, and no help lists
    *("--build-arg", "--rm", "--gpus"),  # docker's
    "--rounds",  # of `benchmarks.purify_cost`
    "--minutes",  # of `benchmarks.soak`
    *("--nnodes", "--nproc-per-node", "--max-restarts", "--rdzv-backend", "--rdzv-endpoint", "--rdzv-id"),
    *("--nodes", "--ntasks-per-node", "--gpus-per-node", "--requeue", "--signal"),  # SLURM's
}


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


def assert_prints(example: Example, folder: Path) -> None:
    """Run a script in a folder, and compare."""
    script = folder / "example.py"
    script.write_text(example.code, encoding="utf-8")
    done = run_script(script, folder)
    assert done.returncode == 0, done.stderr
    assert_same_table(done.stdout, example.printed)


@pytest.mark.parametrize("known", PAGES, ids=[known.name for known in PAGES])
def test_every_command_and_example_of_a_page_is_seen(known: Page) -> None:
    found = [command for block in known.blocks for command in commands_of(block)]
    assert len(found) == len(re.findall(r"^\$ ", known.text, re.MULTILINE))
    assert all(block.startswith("$ ") for block in known.blocks)
    assert len(known.examples) == known.text.count("```python"), "an example without what it prints"


def test_the_pages_show_commands_and_examples() -> None:
    assert len(BLOCKS) >= 14
    assert len(EXAMPLES) >= 6


def test_the_sweep_that_a_page_shows_is_the_one_that_it_runs() -> None:
    first, *_ = page("docs/howto/sweeps.md").tomls
    assert tomllib.loads(first) == tomllib.loads((ROOT / "sweeps/digits.toml").read_text())


@pytest.mark.parametrize("known", PAGES, ids=[known.name for known in PAGES])
def test_a_page_names_options_that_there_are(known: Page) -> None:
    """Also in blocks that are not run, and in prose; benchmarks have options of their own."""
    if "evidence/" not in known.name:
        named = set(re.findall(r"(?<![\w-])--[a-z][\w-]*", known.text))
        assert named <= OPTIONS | OTHERS_OPTIONS


@pytest.mark.slow
@pytest.mark.parametrize("block", BLOCKS, ids=[block[2:60].partition("\n")[0] for block in BLOCKS])
def test_commands_print_what_the_page_says(
    block: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    if "checkpoints/" in block:
        shared: Path = request.getfixturevalue("shared")
        for name in ("checkpoints", "data"):
            (tmp_path / name).symlink_to(shared / name)
    for name, code in BLOCKS[block].files.items():
        (tmp_path / name).write_text(code, encoding="utf-8")
    if "sweeps/" in block:
        (tmp_path / "sweeps").symlink_to(ROOT / "sweeps")
    for library in LIBRARIES & set(re.findall(r"--attack (\w+):", block)):
        pytest.importorskip(library, reason=f"{library} is not installed: pip install 'advbench[{library}]'")
    for command, promised in commands_of(block):
        program, *arguments = shlex.split(command)
        assert program in ("advbench", "torchrun")
        done = (run_command if program == "advbench" else run_launched)(arguments, tmp_path)
        assert done.returncode == 0, done.stderr
        assert_same_table(done.stdout, promised)
    for example in BLOCKS[block].examples_behind(block):
        assert_prints(example, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("example", EXAMPLES, ids=EXAMPLES.values())
def test_an_example_prints_what_the_page_says(example: Example, tmp_path: Path) -> None:
    assert_prints(example, tmp_path)
