"""How much memory there is, as the system says."""

import pytest
import torch

from advbench.speed import memory
from advbench.speed.memory import available_memory, release_memory

MEMINFO = ["MemTotal:       32000000 kB", "MemFree:         1000000 kB", "MemAvailable:    8000000 kB"]
GROUP = "/sys/fs/cgroup/memory."


def test_available_memory_is_what_the_system_says(monkeypatch: pytest.MonkeyPatch) -> None:
    free = available_memory(torch.device("cpu"))
    assert 64 << 20 < free < 1 << 45
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    assert available_memory(torch.device("cpu")) == pytest.approx(free / 4, rel=0.2)


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


@pytest.mark.parametrize("there", [False, True])
def test_memory_is_given_back_where_there_is_an_accelerator(
    there: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    emptied: list[bool] = []
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: there)
    monkeypatch.setattr(torch.accelerator, "empty_cache", lambda: emptied.append(True), raising=False)
    release_memory()
    assert emptied == [True] * there
