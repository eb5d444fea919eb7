"""What is freed is kept where the allocator can be asked for that and nobody has asked for something else."""

import ctypes
import os
import platform
import subprocess
import sys
from types import SimpleNamespace

import pytest

from advbench.cli.allocator import keep_freed_memory

FAULTS = """
import resource, sys, torch
from advbench.cli.allocator import keep_freed_memory

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
