"""How much memory there is, and what running out of it looks like."""

import os
from collections.abc import Iterator
from pathlib import Path

import torch

_UNKNOWN = 2 << 30  # where the system does not say: what the smallest machines have


def available_memory(device: torch.device) -> int:
    """Bytes that this process may still take on a device; processes on the same host share its memory."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    if device.type == "mps":
        return int(torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory())
    return min(_host_memory(), default=_UNKNOWN) // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def release_memory() -> None:
    """Give back what an accelerator's allocator keeps for later, so that other sizes find room."""
    if torch.accelerator.is_available():
        torch.accelerator.empty_cache()


def _host_memory() -> Iterator[int]:
    """Free bytes as Linux counts them, and as far as this process's control group goes."""
    for line in _lines("/proc/meminfo"):
        if line.startswith("MemAvailable:"):
            yield int(line.split()[1]) * 1024
    limit, used = (_lines(f"/sys/fs/cgroup/memory.{name}") for name in ("max", "current"))
    if limit and used and limit[0].isdigit():
        yield max(0, int(limit[0]) - int(used[0]))


def _lines(path: str) -> list[str]:
    try:
        return Path(path).read_text(encoding="ascii").splitlines()
    except OSError:
        return []
