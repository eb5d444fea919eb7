"""How the command line's process keeps the memory that it frees."""

import ctypes
import os
from typing import Final

# mallopt(3): M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_TOP_PAD, in bytes
_KEEPING: Final = {-1: (1 << 31) - 1, -3: 1 << 30, -2: 1 << 26}


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
