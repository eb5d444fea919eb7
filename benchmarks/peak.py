"""Peak memory of a process, as the kernel keeps it."""

import resource
import sys
from pathlib import Path


def peak_of_this_process() -> float:
    """Peak resident memory in bytes.

    On Linux `ru_maxrss` survives exec and so may be the parent's; the kernel's own high-water mark does not.
    """
    status = Path("/proc/self/status")
    if status.exists():
        (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return float(line.split()[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit)
