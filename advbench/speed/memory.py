"""How much memory there is, and what running out of it looks like."""

import ctypes
import os
from collections.abc import Iterator
from pathlib import Path

import torch

# mallopt(3): M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_TOP_PAD, in bytes
_KEEPING = {-1: (1 << 31) - 1, -3: 1 << 30, -2: 1 << 26}
_UNKNOWN = 2 << 30  # where the system does not say: what the smallest machines have


def available_memory(device: torch.device) -> int:
    """Bytes that this process may still take on a device; processes on the same host share its memory."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    if device.type == "mps":
        return int(torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory())
    return min(_host_memory(), default=_UNKNOWN) // int(os.environ.get("LOCAL_WORLD_SIZE", "1"))


def keep_freed_memory() -> bool:
    """Have glibc's allocator keep what is freed instead of giving it back to the system.

    A gradient step takes and frees the same activations again and again; given back, each page comes
    again with a fault and is filled with zeros, which can take a third of the time. It is a setting of the
    whole process, and so the command line's to make; other allocators, and users who have set glibc's by
    environment variables, are left alone.

    Returns:
        Whether it was set.
    """
    if any(name.startswith("MALLOC_") for name in os.environ):
        return False
    try:
        library = ctypes.CDLL(None)
        library.gnu_get_libc_version  # noqa: B018  # other C libraries do not have it
        return all(library.mallopt(setting, value) == 1 for setting, value in _KEEPING.items())
    except (AttributeError, OSError, TypeError):  # another system
        return False


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
