"""Peak memory of a stretch of this process's life."""

from __future__ import annotations

import contextlib
import ctypes
import sys
from pathlib import Path

_earlier: list[int] = [0]
"""Peaks before each reset."""
STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def status(name: str) -> int | None:
    """A line of /proc/self/status in bytes; None where there is no such file (not Linux)."""
    if not STATUS.exists():
        return None
    for line in STATUS.read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    return None


def start() -> int | None:
    """Give freed memory back to the system and set the peak to what is resident now, which is returned."""
    if not CLEAR.exists():
        return None
    with contextlib.suppress(AttributeError):  # another C library: what it keeps counts as resident at the start
        ctypes.CDLL(None).malloc_trim(0)
    # The reset is of all peaks, also of what getrusage gives.
    _earlier.append(status("VmHWM") or 0)
    CLEAR.write_text("5")
    return status("VmRSS")


def peak() -> int | None:
    """Largest resident memory since `start`, in bytes; None where it is not known."""
    return status("VmHWM")


def whole_life() -> int:
    """Largest resident memory of the process so far, compilation included, in bytes; 0 on Windows."""
    if sys.platform == "win32":
        return 0
    import resource

    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return used if sys.platform == "darwin" else max(used * 1024, *_earlier)


def children() -> float:
    """Processor seconds of ended child processes; 0 on Windows."""
    if sys.platform == "win32":
        return 0.0
    import resource

    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
