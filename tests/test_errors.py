"""Errors end in one line that says what to do, with an exit code of their family."""

from pathlib import Path

import pytest

from advbench import errors
from advbench.errors import (
    AdvbenchError,
    InputError,
    RunError,
    StoppedError,
    first_line,
    nearest,
    printable,
    ran_out_of_memory,
    reason_of,
    refused_name,
)


def test_every_error_is_an_advbench_error_and_what_the_user_gave_wrong_ends_with_two() -> None:
    found = [each for each in vars(errors).values() if isinstance(each, type)]
    classes: list[type[AdvbenchError]] = [each for each in found if each.__module__ == errors.__name__]
    assert all(issubclass(each, AdvbenchError) for each in classes)
    wrong_input = {each for each in classes if issubclass(each, InputError)}
    assert {each.exit_code for each in wrong_input} == {2}
    assert all(issubclass(each, ValueError) for each in wrong_input)
    assert {each for each in classes if each.exit_code == 1} == {AdvbenchError, RunError, StoppedError}
    assert set(classes) - wrong_input == {AdvbenchError, RunError, StoppedError}


class OutOfMemoryError(RuntimeError):
    """Called as torch's is, which this test does not import."""


@pytest.mark.parametrize(
    ("error", "ran_out"),
    [
        (MemoryError(), True),
        (OutOfMemoryError("anything"), True),
        (RuntimeError("CUDA out of memory. Tried to allocate 3 GiB"), True),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"), True),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), False),
        (OSError("out of memory"), False),
        (RuntimeError(), False),
    ],
)
def test_memory_that_ran_out_is_told_from_other_errors(error: Exception, ran_out: bool) -> None:
    assert ran_out_of_memory(error) is ran_out


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (ValueError("one\ntwo"), "one"),
        (ValueError("\n\n  one  \ntwo"), "one"),
        (ValueError("one\r\ntwo"), "one"),
        (ValueError("one\u2028two"), "one"),
        (ValueError("only one"), "only one"),
        (ValueError(""), "ValueError"),
        (ValueError(" \n "), "ValueError"),
        (KeyError("a"), "'a'"),
    ],
)
def test_the_first_line_of_a_message_is_a_line(error: Exception, line: str) -> None:
    assert first_line(error) == line


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", ""),
        ("naïve – 漢 🙂", "naïve – 漢 🙂"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("a\nb\r\tc", "a\\nb\\r\\tc"),
        ("\u202eevil", "\\u202eevil"),
        ("\ud800", "\\ud800"),
        ("back\\slash 'quote'", "back\\slash 'quote'"),
    ],
)
def test_control_characters_are_spelt_out_and_nothing_else(text: str, shown: str) -> None:
    assert printable(text) == shown
    assert printable(shown) == shown


def test_a_misspelt_name_is_told_the_nearest_ones_the_nearest_first() -> None:
    known = ["pgd", "apgd", "fgsm", "square"]
    assert nearest("pdg", known) == "Did you mean 'pgd' or 'apgd'?"
    assert nearest("sqare", known) == "Did you mean 'square'?"
    assert nearest("pdg", known, count=1) == "Did you mean 'pgd'?"


@pytest.mark.parametrize(
    ("known", "told"),
    [
        (["b", "a"], "Known: a, b."),
        ([f"n{k:02}" for k in range(12)], f"Known: {', '.join(f'n{k:02}' for k in range(12))}."),
        ([f"n{k:02}" for k in range(13)], f"Known: {', '.join(f'n{k:02}' for k in range(12))}, ...."),
    ],
)
def test_where_nothing_is_near_the_first_dozen_are_named(known: list[str], told: str) -> None:
    assert nearest("zzzzzz", known) == told
    assert nearest("zzzzzz", iter(known)) == told


def test_links_that_go_in_a_circle_are_no_fault_of_ours(tmp_path: Path) -> None:
    (tmp_path / "circle").symlink_to("circle")
    error = RuntimeError(f"Symlink loop from {str(tmp_path / 'circle')!r}")  # as pathlib says before 3.13
    assert refused_name(error) is not None
    assert reason_of(error) == f"the links of {str(tmp_path / 'circle')!r} lead round in a circle."
    assert refused_name(RuntimeError("something else")) is None


@pytest.mark.parametrize(
    "error",
    [
        ImportError("libtorch_cpu.so: failed to map segment from shared object"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"),
    ],
)
def test_denied_memory_is_no_fault_of_advbench(error: Exception) -> None:
    assert reason_of(error) == f"memory ran out ({error}): allow the process more of it."
    assert "a fault of advbench" in reason_of(ImportError("no module"))
