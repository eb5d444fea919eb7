"""How much memory there is, as the system says; what is freed is kept where that can be asked for."""

import ctypes
import os
import platform
import subprocess
import sys
from types import SimpleNamespace

import pytest
import torch

from advbench.speed import memory
from advbench.speed.memory import available_memory, keep_freed_memory, release_memory

MEMINFO = ["MemTotal:       32000000 kB", "MemFree:         1000000 kB", "MemAvailable:    8000000 kB"]
GROUP = "/sys/fs/cgroup/memory."


def test_available_memory_is_what_the_system_says(monkeypatch: pytest.MonkeyPatch) -> None:
    free = available_memory(torch.device("cpu"))
    assert 64 << 20 < free < 1 << 45
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert available_memory(torch.device("cpu")) == pytest.approx(free / 4, rel=0.2)


FAULTS = """
import resource, sys, torch
from advbench.speed.memory import keep_freed_memory

kept = sys.argv[1] == "keep" and keep_freed_memory()
for number in range(12):
    if number == 4:  # the heap has its size
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    one = torch.empty(1 << 24).fill_(1.0)
    other = one + 1.0
    del one, other
print(kept, resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the allocator is another library's")
def test_memory_that_is_kept_comes_without_page_faults(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [each for each in os.environ if each.startswith("MALLOC_")]:
        monkeypatch.delenv(name)

    def faults(word: str) -> tuple[str, int]:
        command = [sys.executable, "-c", FAULTS, word]
        kept, count = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
        return kept, int(count)

    (no, many), (yes, few) = faults("leave"), faults("keep")
    assert (no, yes) == ("False", "True")
    assert few * 4 < many
    monkeypatch.setenv("MALLOC_TOP_PAD_", "0")
    assert faults("keep")[0] == "False", "what the user has set stays"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"/proc/meminfo": MEMINFO}, 8_000_000 << 10),
        ({"/proc/meminfo": MEMINFO, GROUP + "max": ["max"], GROUP + "current": ["5"]}, 8_000_000 << 10),
        ({"/proc/meminfo": MEMINFO, GROUP + "max": ["5000"], GROUP + "current": ["2000"]}, 3000),
        ({"/proc/meminfo": MEMINFO, GROUP + "max": ["5000"], GROUP + "current": ["9000"]}, 0),
        ({"/proc/meminfo": MEMINFO, GROUP + "max": ["5000"]}, 8_000_000 << 10),
        ({GROUP + "max": ["5000"], GROUP + "current": ["2000"]}, 3000),
        ({}, 2 << 30),
    ],
)
def test_the_tighter_of_host_and_control_group_counts(
    files: dict[str, list[str]], expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "_lines", lambda path: files.get(path, []))
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    assert available_memory(torch.device("cpu")) == expected
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "3")
    assert available_memory(torch.device("cpu")) == expected // 3


@pytest.mark.parametrize(
    ("library", "kept"),
    [
        (SimpleNamespace(gnu_get_libc_version=0, mallopt=lambda *_: 1), True),
        (SimpleNamespace(gnu_get_libc_version=0, mallopt=lambda setting, _: int(setting != -3)), False),
        (SimpleNamespace(mallopt=lambda *_: 1), False),
    ],
)
def test_the_allocator_is_only_told_where_it_is_glibcs_and_nothing_counts_as_set_by_half(
    library: SimpleNamespace, kept: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [each for each in os.environ if each.startswith("MALLOC_")]:
        monkeypatch.delenv(name)
    monkeypatch.setattr(ctypes, "CDLL", lambda _: library)
    assert keep_freed_memory() is kept


@pytest.mark.parametrize("there", [False, True])
def test_memory_is_given_back_where_there_is_an_accelerator(
    there: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    emptied: list[bool] = []
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: there)
    monkeypatch.setattr(torch.accelerator, "empty_cache", lambda: emptied.append(True), raising=False)
    release_memory()
    assert emptied == [True] * there
